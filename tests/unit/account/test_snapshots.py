"""Accounts with much to remember: kept as bytes, captured while they go on, restored the same."""

from typing import Any

import msgspec
import pytest

from exchange.account import snapshot
from exchange.account.closed import SCAN_MAX, find_by_client_id, find_by_id
from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    PlaceOrder,
    ReadAccount,
    ReadKind,
    ReplaceOrder,
)
from exchange.account.decider import evolve
from exchange.account.state import RETENTION_NS, Account, decode_order, encode_order
from exchange.answers import OrderAmendedAnswer, OrderCanceled, OrderPlaced, OrderReplaced
from exchange.errors import InvariantError
from exchange.market.events import OrderClosed
from exchange.money import UNIT
from exchange.orders import (
    CancelRestriction,
    ExpiryReason,
    OrderStatus,
    OrderType,
    ReplaceMode,
    Side,
    TimeInForce,
)
from tests.support.shards import Exchange, replayed

BUY, SELL = Side.BUY, Side.SELL
NONE = CancelRestriction.NONE


@pytest.fixture
def exchange() -> Exchange:
    exchange = Exchange(1)
    for account_id in (1, 2):
        exchange.deposit(account_id, "USDT", UNIT)
        exchange.deposit(account_id, "BTC", UNIT)
    return exchange


def trade(exchange: Exchange, times: int) -> None:
    """Accounts 1 and 2 each close `times` orders: fills, expiries and cancels by turns."""
    for turn in range(times):
        exchange.command(exchange.order(1, SELL, 100, 1))
        exchange.command(exchange.order(2, BUY, 100, 1 + turn % 2, time_in_force=TimeInForce.IOC))
        exchange.run()


def cancel(exchange: Exchange, client_order_id: str) -> CancelOrder:
    request = exchange.next_request()
    return CancelOrder(1, "BTCUSDT", 0, client_order_id, "x", NONE, *request)


def requests_of_all_kinds(exchange: Exchange) -> list[Any]:
    """Let account 1 make them; all are done when this returns."""
    place = exchange.order(1, BUY, 90, 5, client_order_id="placed")
    amend = AmendOrder(1, "BTCUSDT", 0, "placed", "amended", 2, *exchange.next_request())
    new = exchange.order(1, BUY, 91, 1, client_order_id="new")
    mode = ReplaceMode.STOP_ON_FAILURE
    commands = [
        place,
        amend,
        ReplaceOrder(0, "amended", "y", NONE, mode, new),
        cancel(exchange, "new"),
    ]
    for command in commands:
        exchange.command(command)
        exchange.run()
    return commands


def first_answers(exchange: Exchange, commands: list[Any]) -> list[Any]:
    identities = [
        (command.place if isinstance(command, ReplaceOrder) else command).identity
        for command in commands
    ]
    kind = ReadKind.OUTCOME
    return [
        exchange.command(ReadAccount(1, kind, "BTCUSDT", 0, "", identity, (), "gateway", 0))
        for identity in identities
    ]


def joined(capture: snapshot.Capture) -> bytes:
    while (pieces := capture.advance()) is None:
        continue
    return b"".join(pieces)


def restored(account: Account) -> Account:
    return snapshot.decode(snapshot.encode(account))


# ------------------------------------------------------------------ closed orders


def test_a_closed_order_reads_as_it_was_when_it_closed(exchange: Exchange) -> None:
    trade(exchange, 3)
    account = exchange.account(2)
    assert len(account.closed) == 3
    assert account.just_closed is not None
    for order_ref, data in account.closed.items():
        order = account.closed_order(order_ref)
        assert order is not None
        assert encode_order(order) == data
        assert order.order_ref == order_ref
        assert not order.is_open
    assert decode_order(account.closed[account.just_closed.order_ref]) == account.just_closed


def test_the_order_that_just_closed_is_at_hand_and_a_forgotten_one_is_not(
    exchange: Exchange,
) -> None:
    trade(exchange, 1)
    account = exchange.account(2)
    order = account.just_closed
    assert order is not None
    assert account.order(order.order_ref) is order
    account.closed.clear()
    assert account.order(order.order_ref) is None


def test_a_restored_account_takes_the_end_of_an_order_it_saw_filled(exchange: Exchange) -> None:
    """The last fill of an order by amount may end it here before the market says so."""
    exchange.command(exchange.order(1, SELL, 100, 2))
    exchange.run()
    amount = 2 * 100_000 + 5
    exchange.command(exchange.order(2, BUY, 0, 0, order_type=OrderType.MARKET, quote_amount=amount))
    exchange.run()
    live, again = exchange.account(2), restored(exchange.account(2))
    (order,) = live.closed_orders()
    ended = OrderClosed(
        order.order_id,
        2,
        order.order_ref,
        "BTCUSDT",
        OrderStatus.FILLED,
        ExpiryReason.NONE,
        "",
        0,
        b"",
        exchange.now_ns,
    )
    evolve(live, ended)
    evolve(again, ended)
    assert snapshot.encode(again) == snapshot.encode(live)
    with pytest.raises(InvariantError):
        evolve(again, msgspec.structs.replace(ended, status=OrderStatus.CANCELED))


def test_closed_orders_are_found_in_their_market_by_the_id_they_have(exchange: Exchange) -> None:
    requests_of_all_kinds(exchange)
    account = restored(exchange.account(1))
    amended = find_by_client_id(account, "BTCUSDT", "amended")
    assert amended is not None
    assert find_by_client_id(account, "BTCUSDT", "placed") is None  # its name no longer
    assert find_by_client_id(account, "BTCUSDT", "") is None
    assert find_by_client_id(account, "ETHBTC", "amended") is None
    assert find_by_id(account, "BTCUSDT", amended.order_id) == amended
    assert find_by_id(account, "ETHBTC", amended.order_id) is None
    assert find_by_id(account, "BTCUSDT", amended.order_id + 99) is None


def test_a_read_looks_through_the_newest_closed_orders_only(exchange: Exchange) -> None:
    trade(exchange, 1)
    account = Account(2, next_order_ref=SCAN_MAX + 3)
    (order,) = exchange.account(2).closed_orders()
    for number in range(1, SCAN_MAX + 2):
        order.order_ref = order.order_id = number
        order.client_order_id = f"c{number}"
        account.closed[number] = encode_order(order)
    assert find_by_id(account, "BTCUSDT", 1) is None
    assert find_by_client_id(account, "BTCUSDT", "c1") is None
    second = find_by_id(account, "BTCUSDT", 2)
    assert second is not None
    assert find_by_client_id(account, "BTCUSDT", "c2") == second


# ------------------------------------------------------------------ snapshots


def test_replay_gives_the_bytes_of_the_live_state_with_many_closed_orders(
    exchange: Exchange,
) -> None:
    trade(exchange, 300)
    requests_of_all_kinds(exchange)
    shard = exchange.shards[0]
    live = snapshot.encode_shard(shard.ledger, shard.accounts.values())
    assert len(exchange.account(2).closed) == 300
    assert replayed(shard) == live
    ledger, accounts = snapshot.decode_shard(live)
    assert snapshot.encode_shard(ledger, accounts) == live
    assert accounts == [shard.accounts[1], shard.accounts[2]]


def test_a_restored_account_forgets_as_the_live_one_does(exchange: Exchange) -> None:
    trade(exchange, 20)
    account = exchange.account(1)
    again = restored(account)
    exchange.now_ns += 2 * RETENTION_NS
    deposits = len(exchange.shards[0].journal)
    for _ in range(20):
        exchange.deposit(1, "USDT", 1)
    for _, event in exchange.shards[0].journal[deposits:]:
        evolve(again, event)
    assert not account.closed
    assert snapshot.encode(again) == snapshot.encode(account)


def test_first_answers_are_given_again_after_a_snapshot(exchange: Exchange) -> None:
    commands = requests_of_all_kinds(exchange)
    before = first_answers(exchange, commands)
    kinds = [type(answer) for answer in before]
    assert kinds == [OrderPlaced, OrderAmendedAnswer, OrderReplaced, OrderCanceled]
    exchange.shards[0].accounts[1] = restored(exchange.account(1))
    assert first_answers(exchange, commands) == before
    again = commands[0]
    assert isinstance(again, PlaceOrder)
    assert exchange.command(again) is not None
    assert not exchange.markets["BTCUSDT"].incoming  # it has no second effect


@pytest.mark.parametrize("step", range(0, 12, 2))
def test_a_capture_is_encoded_later_as_the_account_was(
    exchange: Exchange, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the account does meanwhile: closes, cancels, amends, replaces, forgets."""
    trade(exchange, 5)
    requests_of_all_kinds(exchange)
    exchange.command(exchange.order(1, BUY, 80, 5, client_order_id="a"))
    exchange.command(exchange.order(1, BUY, 81, 5, client_order_id="b"))
    exchange.run()
    mode, new = ReplaceMode.STOP_ON_FAILURE, exchange.order(1, BUY, 79, 1, client_order_id="c")
    exchange.command(AmendOrder(1, "BTCUSDT", 0, "a", "aa", 2, *exchange.next_request()))
    exchange.command(ReplaceOrder(0, "b", "y", NONE, mode, new))
    exchange.command(CancelAllOrders(1, "BTCUSDT", *exchange.next_request()))
    shard, account = exchange.shards[0], exchange.account(1)
    while exchange.market_step("BTCUSDT"):
        continue
    for _ in range(step):
        exchange.settle_step(shard, "BTCUSDT")
    then = snapshot.encode(account)
    monkeypatch.setattr(snapshot, "PIECE_ENTRIES", 3)
    capture = snapshot.Capture(account)
    exchange.run()
    assert capture.advance() is None
    exchange.now_ns += 2 * RETENTION_NS
    for _ in range(3):
        exchange.deposit(1, "USDT", 1)
        assert capture.advance() is None
    trade(exchange, 2)
    assert snapshot.encode(account) != then
    assert joined(capture) == then
    assert account.trace is None


@pytest.mark.parametrize("closed", [0, 15, 16, 300])
def test_a_capture_has_the_bytes_of_the_account_however_much_it_keeps(
    exchange: Exchange, closed: int
) -> None:
    trade(exchange, closed)
    account = exchange.account(2)
    assert len(account.closed) == closed
    assert joined(snapshot.Capture(account)) == snapshot.encode(account)


def test_a_dropped_capture_leaves_no_trace_and_spares_a_newer_one(exchange: Exchange) -> None:
    account = exchange.account(1)
    older, newer = snapshot.Capture(account), snapshot.Capture(account)
    older.drop()
    assert account.trace is not None
    newer.drop()
    assert account.trace is None
