"""What an account answers and reports, and what a snapshot of it keeps."""

from typing import Any

import msgspec
import pytest

from exchange.account import snapshot
from exchange.account.closed import find_by_client_id
from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    ReadAccount,
    ReadKind,
    Withdraw,
)
from exchange.account.ledger import ShardLedger
from exchange.account.reports import position
from exchange.account.state import Account
from exchange.answers import (
    AccountPosition,
    AccountState,
    Balance,
    BalanceChanged,
    ExecutionReport,
    ExecutionType,
    OrderPlaced,
    Orders,
    OrdersCanceled,
    OutcomePending,
    Refused,
)
from exchange.errors import InvariantError
from exchange.market.events import TradeExecuted
from exchange.money import UNIT
from exchange.orders import CancelRestriction, OrderStatus, OrderType, Side, TimeInForce
from exchange.reject import RejectReason
from tests.support.shards import Exchange

BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def exchange() -> Exchange:
    exchange = Exchange(1)
    for account_id in (1, 2):
        exchange.deposit(account_id, "USDT", UNIT)
        exchange.deposit(account_id, "BTC", UNIT)
    return exchange


def read(
    exchange: Exchange, kind: ReadKind, symbol: str = "", order_id: int = 0, client_id: str = ""
) -> Any:
    _, identity, reply_to, request_id = exchange.next_request()
    return exchange.command(
        ReadAccount(1, kind, symbol, order_id, client_id, identity, (), reply_to, request_id)
    )


def reports(exchange: Exchange, account_id: int) -> list[ExecutionReport]:
    return [
        event
        for event in exchange.shards[0].user_events
        if isinstance(event, ExecutionReport) and event.account_id == account_id
    ]


# ------------------------------------------------------------------ reads


def test_balances_are_all_assets_sorted(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 1))
    answer = read(exchange, ReadKind.BALANCES)
    assert isinstance(answer, AccountState)
    held = 100_000
    assert answer.balances == (Balance("BTC", UNIT, 0), Balance("USDT", UNIT - held, held))
    assert answer.updated_at_ns == exchange.account(1).updated_at_ns


def test_orders_are_found_by_either_id_open_or_closed(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 1, client_order_id="first"))
    exchange.command(exchange.order(1, BUY, 100, 1, client_order_id="second"))
    exchange.run()
    for order_id, client_id, found in (
        (1, "", ["first"]),
        (0, "second", ["second"]),
        (2, "second", ["second"]),
        (9, "", []),
        (0, "third", []),
    ):
        answer = read(exchange, ReadKind.ORDER, "BTCUSDT", order_id, client_id)
        assert isinstance(answer, Orders)
        assert [order.client_order_id for order in answer.orders] == found
        assert (answer.shard, answer.seq) == ("account/0", len(exchange.shards[0].journal))
    mismatch = read(exchange, ReadKind.ORDER, "BTCUSDT", 1, "second")
    assert isinstance(mismatch, Refused)
    assert mismatch.reason is RejectReason.ORDER_ID_MISMATCH
    assert read(exchange, ReadKind.ORDER, "ETHBTC", 1).orders == ()


def test_a_client_id_used_again_finds_the_newest_order(exchange: Exchange) -> None:
    for _ in range(2):
        order = exchange.order(
            1, BUY, 100, 1, client_order_id="same", time_in_force=TimeInForce.IOC
        )
        exchange.command(order)
        exchange.run()
    assert read(exchange, ReadKind.ORDER, "BTCUSDT", 0, "same").orders[0].order_id == 2
    restored = snapshot.decode(snapshot.encode(exchange.account(1)))
    found = find_by_client_id(restored, "BTCUSDT", "same")
    assert found is not None
    assert found.order_id == 2


def test_open_orders_are_those_the_market_has_accepted(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 1))
    exchange.command(exchange.order(1, SELL, 1, 1, symbol="ETHBTC"))  # no ETH: refused
    exchange.command(exchange.order(1, BUY, 1, 1, symbol="ETHBTC"))
    exchange.run()
    exchange.command(exchange.order(1, BUY, 99, 1))  # still on its way
    assert len(read(exchange, ReadKind.OPEN_ORDERS).orders) == 2
    assert len(read(exchange, ReadKind.OPEN_ORDERS, "ETHBTC").orders) == 1
    assert read(exchange, ReadKind.POSITION).orders == ()


def test_answers_do_not_change_with_the_account(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 4))
    exchange.run()
    answer = read(exchange, ReadKind.OPEN_ORDERS)
    exchange.command(exchange.order(2, SELL, 100, 1))
    exchange.run()
    assert answer.orders[0].executed_lots == 0
    assert exchange.account(1).orders[1].executed_lots == 1


# ------------------------------------------------------------------ outcomes


def test_an_outcome_is_unknown_then_pending_then_the_first_answer(exchange: Exchange) -> None:
    exchange.command(exchange.order(2, SELL, 100, 1))
    order = exchange.order(1, BUY, 100, 3)
    unknown = exchange.outcome(1, order.identity)
    assert isinstance(unknown, OutcomePending)
    assert not unknown.is_known
    exchange.command(order)
    pending = exchange.outcome(1, order.identity)
    assert isinstance(pending, OutcomePending)
    assert pending.is_known
    exchange.run()
    exchange.command(exchange.order(2, SELL, 100, 2))  # fills the rest: no part of the answer
    exchange.run()
    placed = exchange.outcome(1, order.identity)
    assert isinstance(placed, OrderPlaced)
    assert (placed.status, placed.executed_lots) == (OrderStatus.PARTIALLY_FILLED, 1)
    assert len(placed.fills) == 1
    assert (placed.shard, placed.after) == ("market/BTCUSDT", 0)


def test_a_repeated_order_still_open_is_left_to_the_outcome_read(exchange: Exchange) -> None:
    order = exchange.order(1, BUY, 100, 1)
    exchange.command(order)
    exchange.run()
    pending = exchange.command(order)
    assert isinstance(pending, OutcomePending)
    assert pending.is_known
    assert isinstance(exchange.outcome(1, order.identity), OrderPlaced)


def test_a_cancel_without_effect_is_refused_once_the_market_was_asked(exchange: Exchange) -> None:
    cancel = CancelOrder(1, "BTCUSDT", 9, "", "x", CancelRestriction.NONE, *exchange.next_request())
    exchange.command(cancel)
    exchange.run()
    assert isinstance(exchange.outcome(1, cancel.identity), OutcomePending)
    refused = exchange.outcome(1, cancel.identity, "BTCUSDT")
    assert isinstance(refused, Refused)
    assert refused.reason is RejectReason.UNKNOWN_ORDER


def test_an_amend_without_effect_is_refused_once_the_market_was_asked(exchange: Exchange) -> None:
    amend = AmendOrder(1, "BTCUSDT", 9, "", "", 1, *exchange.next_request())
    exchange.command(amend)
    exchange.run()
    assert isinstance(exchange.outcome(1, amend.identity), OutcomePending)
    assert isinstance(exchange.outcome(1, amend.identity, "BTCUSDT"), Refused)


def test_a_cancel_of_all_is_answered_only_when_all_is_known(exchange: Exchange) -> None:
    for price in (100, 101):
        exchange.command(exchange.order(1, BUY, price, 1))
    exchange.run()
    request = CancelAllOrders(1, "BTCUSDT", *exchange.next_request())
    exchange.command(request)
    while exchange.market_step("BTCUSDT"):
        continue
    exchange.settle_step(exchange.shards[0], "BTCUSDT")
    assert isinstance(exchange.command(request), OutcomePending)
    exchange.run()
    answer = exchange.outcome(1, request.identity, "BTCUSDT")
    assert isinstance(answer, OrdersCanceled)
    assert [order.order_id for order in answer.orders] == [1, 2]


# ------------------------------------------------------------------ user events


def test_an_accepted_order_reports_new_then_its_fills(exchange: Exchange) -> None:
    exchange.command(exchange.order(2, SELL, 100, 1))
    exchange.command(exchange.order(1, BUY, 100, 1, client_order_id="mine"))
    exchange.run()
    new, trade = reports(exchange, 1)
    assert (new.execution_type, new.order.status) == (ExecutionType.NEW, OrderStatus.NEW)
    assert (new.trade_id, new.commission_asset, new.orig_client_order_id) == (-1, "", "")
    assert (trade.execution_type, trade.order.status) == (ExecutionType.TRADE, OrderStatus.FILLED)
    assert (trade.trade_id, trade.last_ticks, trade.last_lots, trade.last_quote) == (
        1,
        100,
        1,
        100_000,
    )
    assert (trade.commission, trade.commission_asset, trade.is_maker) == (200, "BTC", False)
    maker = reports(exchange, 2)[-1]
    assert (maker.commission, maker.commission_asset, maker.is_maker) == (100, "USDT", True)


def test_a_cancel_reports_both_ids(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 1, client_order_id="mine"))
    exchange.command(
        CancelOrder(
            1, "BTCUSDT", 0, "mine", "stop", CancelRestriction.NONE, *exchange.next_request()
        )
    )
    exchange.run()
    report = reports(exchange, 1)[-1]
    assert report.execution_type is ExecutionType.CANCELED
    assert (report.client_order_id, report.orig_client_order_id) == ("stop", "mine")
    assert report.order.client_order_id == "mine"


def test_a_cancel_of_all_reports_the_orders_own_id_twice(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 1, client_order_id="mine"))
    exchange.command(CancelAllOrders(1, "BTCUSDT", *exchange.next_request()))
    exchange.run()
    report = reports(exchange, 1)[-1]
    assert (report.client_order_id, report.orig_client_order_id) == ("mine", "mine")


def test_amended_expired_and_rejected_orders_are_reported(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 5, client_order_id="a"))
    exchange.command(AmendOrder(1, "BTCUSDT", 0, "a", "b", 2, *exchange.next_request()))
    exchange.command(exchange.order(1, BUY, 99, 1, time_in_force=TimeInForce.IOC))
    exchange.command(exchange.order(1, BUY, 99, 1, client_order_id="b"))
    exchange.run()
    types = [report.execution_type for report in reports(exchange, 1)]
    assert types == [
        ExecutionType.NEW,
        ExecutionType.REPLACED,
        ExecutionType.NEW,
        ExecutionType.EXPIRED,
        ExecutionType.REJECTED,
    ]
    amended, rejected = reports(exchange, 1)[1], reports(exchange, 1)[-1]
    assert (amended.client_order_id, amended.orig_client_order_id) == ("b", "a")
    assert rejected.reason is RejectReason.DUPLICATE_CLIENT_ORDER_ID


def test_a_self_trade_reports_taker_then_maker(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, SELL, 100, 1))
    exchange.command(exchange.order(1, BUY, 100, 1))
    exchange.run()
    taker, maker = reports(exchange, 1)[-2:]
    assert (taker.is_maker, maker.is_maker) == (False, True)
    assert maker.user_seq == taker.user_seq + 1 == exchange.account(1).user_seq


def test_a_market_sell_by_amount_ends_filled_though_only_the_market_knew(
    exchange: Exchange,
) -> None:
    exchange.command(exchange.order(2, BUY, 100, 5))
    exchange.run()
    amount = 250_000  # two lots and a half
    sell = exchange.order(1, SELL, 0, 0, order_type=OrderType.MARKET, quote_amount=amount)
    exchange.command(sell)
    exchange.run()
    report = reports(exchange, 1)[-1]
    assert (report.execution_type, report.order.status) == (
        ExecutionType.EXPIRED,
        OrderStatus.FILLED,
    )


def test_a_position_follows_each_step_with_both_assets_and_no_number_of_its_own(
    exchange: Exchange,
) -> None:
    exchange.command(exchange.order(1, BUY, 100, 1))
    exchange.run()
    *_, report, after = exchange.shards[0].user_events
    assert isinstance(report, ExecutionReport)
    assert isinstance(after, AccountPosition)
    assert after.user_seq == report.user_seq
    assert after.balances == (Balance("BTC", UNIT, 0), Balance("USDT", UNIT - 100_000, 100_000))
    assert position(exchange.account(1)).balances == after.balances
    assert position(exchange.account(1), ("ETH",)).balances == (Balance("ETH", 0, 0),)


def test_transfers_are_reported_with_their_sign(exchange: Exchange) -> None:
    exchange.command(Withdraw(1, "USDT", 7, *exchange.next_request()))
    changed, after = exchange.shards[0].user_events[-2:]
    assert isinstance(changed, BalanceChanged)
    assert (changed.delta, changed.asset) == (-7, "USDT")
    assert isinstance(after, AccountPosition)


# ------------------------------------------------------------------ books and snapshots


def test_a_trade_in_a_market_nobody_here_ordered_in_is_a_bug(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, SELL, 100, 1))
    exchange.command(exchange.order(2, BUY, 100, 1))
    exchange.run()
    trade = next(e for _, e in exchange.shards[0].journal if type(e) is TradeExecuted)
    with pytest.raises(InvariantError):
        ShardLedger().apply(1, trade)


def test_sums_beyond_64_bits_survive_a_snapshot(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, SELL, 100, 1))
    ledger = exchange.shards[0].ledger
    ledger.settlements["BTCUSDT"].trade_ids = 10**30
    ledger.external["USDT"] = -(10**25)
    assert snapshot.decode_ledger(snapshot.encode_ledger(ledger)) == ledger


def test_shard_snapshots_do_not_depend_on_the_order_of_their_parts(exchange: Exchange) -> None:
    shard = exchange.shards[0]
    accounts = {n: snapshot.encode(Account(n)) for n in (1, 127, 128, 256, 70_000)}
    ledger = snapshot.encode_ledger(shard.ledger)
    joined = b"".join(snapshot.shard_pieces(ledger, accounts))
    others = dict(reversed(accounts.items()))
    assert joined == b"".join(snapshot.shard_pieces(ledger, others))
    assert [a.account_id for a in snapshot.decode_shard(joined)[1]] == [1, 127, 128, 256, 70_000]


def test_a_snapshot_of_another_version_is_not_guessed_at(exchange: Exchange) -> None:
    parts = msgspec.msgpack.decode(snapshot.encode(exchange.account(1)))
    parts[1] = 99
    with pytest.raises(InvariantError):
        snapshot.decode(msgspec.msgpack.encode(parts))
