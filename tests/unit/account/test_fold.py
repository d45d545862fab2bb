"""Settlement case by case: what is spent, freed, received and charged."""

from typing import Any

import msgspec
import pytest

from exchange.account.commands import AmendOrder, CancelOrder, ReplaceOrder
from exchange.account.decider import evolve
from exchange.account.events import Withdrawn
from exchange.account.state import EXPIRY_GRAIN_NS, RETENTION_NS, AccountOrder, decode_order
from exchange.errors import InvariantError
from exchange.market.events import OrderAccepted, OrderClosed, OrderRejected, TradeExecuted
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
from tests.support.shards import BTCUSDT, Exchange

BUY, SELL = Side.BUY, Side.SELL
LOT, TICK_LOT = BTCUSDT.lot_size, BTCUSDT.minor_units_per_tick_lot
MAKER, TAKER = BTCUSDT.maker_rate_e8, BTCUSDT.taker_rate_e8
START = 10 * UNIT


@pytest.fixture
def exchange() -> Exchange:
    exchange = Exchange(1)
    for account_id in (1, 2):
        exchange.deposit(account_id, "USDT", START)
        exchange.deposit(account_id, "BTC", START)
    return exchange


def balance(exchange: Exchange, account_id: int, asset: str) -> tuple[int, int]:
    found = exchange.account(account_id).balances[asset]
    return found.available - START, found.held


def place(exchange: Exchange, *arguments: Any, **options: Any) -> int:
    command = exchange.order(*arguments, **options)
    exchange.command(command)
    exchange.run()
    return exchange.account(command.account_id).next_order_ref - 1


def closed(exchange: Exchange, account_id: int, order_ref: int) -> AccountOrder:
    """Return the order from the bytes that are kept of it."""
    return decode_order(exchange.account(account_id).closed[order_ref])


def last(exchange: Exchange, kind: Any) -> Any:
    return next(e for _, e in reversed(exchange.shards[0].journal) if type(e) is kind)


def test_a_better_price_frees_the_difference_at_once(exchange: Exchange) -> None:
    place(exchange, 1, SELL, 90, 4)
    place(exchange, 2, BUY, 100, 10)
    paid, received = 4 * 90 * TICK_LOT, 4 * LOT
    resting = 6 * 100 * TICK_LOT
    assert balance(exchange, 2, "USDT") == (-paid - resting, resting)
    assert balance(exchange, 2, "BTC") == (received - received * TAKER // UNIT, 0)
    assert balance(exchange, 1, "BTC") == (-received, 0)
    assert balance(exchange, 1, "USDT") == (paid - paid * MAKER // UNIT, 0)


def test_commissions_are_rounded_down(exchange: Exchange) -> None:
    place(exchange, 1, SELL, 1, 1)
    place(exchange, 2, BUY, 1, 1)
    assert LOT * TAKER % UNIT != 0
    assert balance(exchange, 2, "BTC")[0] == LOT - LOT * TAKER // UNIT
    assert exchange.shards[0].ledger.fees()["BTC"] == LOT * TAKER // UNIT


def test_a_self_trade_settles_both_sides_in_one_step(exchange: Exchange) -> None:
    place(exchange, 1, SELL, 90, 4)
    seq = exchange.account(1).user_seq
    place(exchange, 1, BUY, 100, 4)
    paid, received = 4 * 90 * TICK_LOT, 4 * LOT
    assert balance(exchange, 1, "USDT") == (-(paid * MAKER // UNIT), 0)
    assert balance(exchange, 1, "BTC") == (-(received * TAKER // UNIT), 0)
    assert exchange.account(1).user_seq == seq + 3  # NEW, and a fill of either side
    assert exchange.shards[0].ledger.settlements["BTCUSDT"].sides == 2


def test_a_market_order_by_amount_keeps_its_hold_until_it_ends(exchange: Exchange) -> None:
    for price in (100, 101):
        place(exchange, 1, SELL, price, 2)
    amount = (2 * 100 + 101) * TICK_LOT + 5
    before = len(exchange.shards[0].user_events)
    order_ref = place(exchange, 2, BUY, 0, 0, order_type=OrderType.MARKET, quote_amount=amount)
    assert balance(exchange, 2, "USDT") == (5 - amount, 0)
    order = closed(exchange, 2, order_ref)
    assert (order.status, order.executed_lots) == (OrderStatus.FILLED, 3)
    mine: list[Any] = [
        event
        for event in exchange.shards[0].user_events[before:]
        if event.account_id == 2 and hasattr(event, "order")
    ]
    assert [event.order.status for event in mine] == [
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
    ]


def test_a_market_sell_by_amount_frees_the_lots_it_did_not_need(exchange: Exchange) -> None:
    place(exchange, 1, BUY, 100, 5)
    amount = 250 * TICK_LOT
    order_ref = place(exchange, 2, SELL, 0, 0, order_type=OrderType.MARKET, quote_amount=amount)
    assert closed(exchange, 2, order_ref).executed_lots == 2
    assert balance(exchange, 2, "BTC") == (-2 * LOT, 0)


def test_a_market_order_without_a_price_ends_and_moves_nothing(exchange: Exchange) -> None:
    order_ref = place(exchange, 2, BUY, 0, 3, order_type=OrderType.MARKET)
    order = closed(exchange, 2, order_ref)
    assert order.status is OrderStatus.EXPIRED
    assert order.expiry_reason is ExpiryReason.INSUFFICIENT_LIQUIDITY
    assert balance(exchange, 2, "USDT") == (0, 0)


def test_an_expired_rest_is_freed(exchange: Exchange) -> None:
    place(exchange, 1, SELL, 90, 4)
    place(exchange, 2, BUY, 100, 10, time_in_force=TimeInForce.IOC)
    assert balance(exchange, 2, "USDT") == (-4 * 90 * TICK_LOT, 0)


def test_a_rejected_order_frees_all(exchange: Exchange) -> None:
    place(exchange, 1, BUY, 100, 1, client_order_id="same")
    order_ref = place(exchange, 1, BUY, 100, 1, client_order_id="same")
    assert closed(exchange, 1, order_ref).status is OrderStatus.REJECTED
    assert balance(exchange, 1, "USDT")[1] == 100 * TICK_LOT


@pytest.mark.parametrize(
    ("side", "price", "quantity", "held"),
    [
        (BUY, 100, 3, {"USDT": 3 * 100 * TICK_LOT, "BTC": 0}),  # the excess is freed
        (BUY, 200, 10, {"USDT": 10 * 200 * TICK_LOT, "BTC": 0}),  # topped up
        (SELL, 200, 2, {"USDT": 0, "BTC": 2 * LOT}),  # other asset: nothing is carried
    ],
)
def test_a_replacement_carries_what_it_needs(
    exchange: Exchange, side: Side, price: int, quantity: int, held: dict[str, int]
) -> None:
    place(exchange, 1, BUY, 100, 5, client_order_id="old")
    new = exchange.order(1, side, price, quantity)
    exchange.command(
        ReplaceOrder(0, "old", "x", CancelRestriction.NONE, ReplaceMode.STOP_ON_FAILURE, new)
    )
    exchange.run()
    for asset, amount in held.items():
        assert balance(exchange, 1, asset) == (-amount, amount)


def test_a_replacement_that_is_not_attempted_frees_its_top_up(exchange: Exchange) -> None:
    place(exchange, 1, BUY, 100, 5, client_order_id="old")
    new = exchange.order(1, BUY, 300, 9)
    exchange.command(
        ReplaceOrder(0, "none", "x", CancelRestriction.NONE, ReplaceMode.STOP_ON_FAILURE, new)
    )
    exchange.run()
    assert balance(exchange, 1, "USDT")[1] == 5 * 100 * TICK_LOT


def test_an_amend_frees_the_difference_and_renames(exchange: Exchange) -> None:
    order_ref = place(exchange, 1, BUY, 100, 5, client_order_id="old")
    exchange.command(AmendOrder(1, "BTCUSDT", 0, "old", "new", 2, *exchange.next_request()))
    exchange.run()
    assert balance(exchange, 1, "USDT")[1] == 2 * 100 * TICK_LOT
    order = exchange.account(1).orders[order_ref]
    assert (order.client_order_id, order.placed_client_order_id) == ("new", "old")
    index = exchange.account(1).index["BTCUSDT"]
    assert index.by_client_id == {"new": order}


def test_an_order_ended_by_the_exchange_is_freed_without_a_request(exchange: Exchange) -> None:
    order_ref = place(exchange, 1, BUY, 100, 5)
    order = exchange.account(1).orders[order_ref]
    closed = OrderClosed(
        order.order_id,
        1,
        order_ref,
        "BTCUSDT",
        OrderStatus.EXPIRED_IN_MATCH,
        ExpiryReason.NONE,
        "",
        0,
        b"",
        exchange.now_ns,
    )
    exchange.fold(exchange.shards[0], exchange.account(1), closed)
    assert balance(exchange, 1, "USDT") == (0, 0)


def test_requests_and_closed_orders_are_forgotten_after_two_minutes(exchange: Exchange) -> None:
    account = exchange.account(1)
    order_ref = place(exchange, 1, BUY, 100, 5, client_order_id="old")
    exchange.command(
        CancelOrder(1, "BTCUSDT", 0, "old", "x", CancelRestriction.NONE, *exchange.next_request())
    )
    exchange.run()
    open_ref = place(exchange, 1, BUY, 90, 1)
    assert order_ref in account.closed
    exchange.now_ns += RETENTION_NS - 1_000_000
    exchange.deposit(1, "USDT", 1)
    assert order_ref in account.closed
    exchange.now_ns += EXPIRY_GRAIN_NS + 2_000_000
    for _ in range(3):
        exchange.deposit(1, "USDT", 1)
    assert order_ref not in account.closed
    assert sorted(account.orders) == [open_ref]
    assert len(account.identities) == 4  # of the last four deposits
    assert account.index["BTCUSDT"].by_id.keys() == {account.orders[open_ref].order_id}


def test_forgetting_much_is_spread_over_events(exchange: Exchange) -> None:
    for _ in range(50):
        exchange.deposit(1, "USDT", 1)
    known = len(exchange.account(1).identities)
    exchange.now_ns += 2 * RETENTION_NS
    exchange.deposit(1, "USDT", 1)
    assert len(exchange.account(1).identities) == known - 4 + 1


def test_time_never_goes_back(exchange: Exchange) -> None:
    account = exchange.account(1)
    at_ns = account.updated_at_ns
    evolve(account, Withdrawn(1, "USDT", 1, at_ns - 500, b"late"))
    assert account.updated_at_ns == at_ns


def contradictions(exchange: Exchange) -> list[Any]:
    accepted, traded = last(exchange, OrderAccepted), last(exchange, TradeExecuted)
    change = msgspec.structs.replace
    closed = OrderClosed(1, 1, 1, "BTCUSDT", OrderStatus.CANCELED, ExpiryReason.NONE, "", 0, b"", 1)
    return [
        accepted,  # twice
        change(accepted, order_ref=99),
        change(traded, taker_order_ref=99, maker_order_ref=99),
        change(traded, taker_account_id=7, maker_account_id=8),
        change(traded, taker_order_id=99, maker_order_id=99),
        change(traded, quote_amount=traded.quote_amount * 50, base_amount=START),
        change(traded, maker_commission=START, taker_commission=START),
        change(closed, order_id=99),
        change(closed, order_ref=99),
        change(closed, carried_to_ref=99),
        OrderRejected(1, 1, "BTCUSDT", 0, 1),  # type: ignore[arg-type]
        Withdrawn(1, "USDT", 99 * START, 1, b"w"),
        Withdrawn(1, "USDT", -1, 1, b"w"),
    ]


@pytest.mark.parametrize("number", range(13))
def test_an_event_that_contradicts_the_account_is_a_bug(exchange: Exchange, number: int) -> None:
    place(exchange, 1, SELL, 90, 4)
    place(exchange, 2, BUY, 100, 2)
    events = contradictions(exchange)
    assert len(events) == 13
    account = exchange.account(2) if number == 0 else exchange.account(1)
    with pytest.raises(InvariantError):
        evolve(account, events[number])
