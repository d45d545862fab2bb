"""What an order must hold, to the last unit, and which orders can have no hold."""

import pytest

from exchange.account.holds import Hold, hold_of
from exchange.money import AMOUNT_MAX, UNIT
from exchange.orders import OrderType, Side
from exchange.reject import RejectReason
from tests.support.shards import BTCUSDT, Exchange

LOT = BTCUSDT.lot_size
TICK_LOT = BTCUSDT.minor_units_per_tick_lot
BUY, SELL = Side.BUY, Side.SELL
LIMIT, MARKET = OrderType.LIMIT, OrderType.MARKET


@pytest.mark.parametrize(
    ("side", "order_type", "price", "quantity", "amount", "protect", "expected"),
    [
        (BUY, LIMIT, 100, 7, 0, 0, Hold("USDT", 700 * TICK_LOT, 100 * TICK_LOT, 0)),
        (SELL, LIMIT, 100, 7, 0, 0, Hold("BTC", 7 * LOT, LOT, 0)),
        (BUY, OrderType.LIMIT_MAKER, 1, 1, 0, 0, Hold("USDT", TICK_LOT, TICK_LOT, 0)),
        (BUY, MARKET, 0, 7, 0, 105, Hold("USDT", 735 * TICK_LOT, 105 * TICK_LOT, 105)),
        (SELL, MARKET, 0, 7, 0, 95, Hold("BTC", 7 * LOT, LOT, 95)),
        (BUY, MARKET, 0, 0, 12_345, 105, Hold("USDT", 12_345, 0, 105)),
        # 10 lots at 95 ticks would give 950: one unit more needs an eleventh lot.
        (SELL, MARKET, 0, 0, 950 * TICK_LOT, 95, Hold("BTC", 10 * LOT, LOT, 95)),
        (SELL, MARKET, 0, 0, 950 * TICK_LOT + 1, 95, Hold("BTC", 11 * LOT, LOT, 95)),
        (SELL, MARKET, 0, 0, 10**9 * TICK_LOT, 95, Hold("BTC", 50 * LOT, LOT, 95)),
        # No protective price: nothing is held, the market lets the order end.
        (BUY, MARKET, 0, 7, 0, 0, Hold("USDT", 0, 0, 0)),
        (SELL, MARKET, 0, 7, 0, 0, Hold("BTC", 0, LOT, 0)),
        (BUY, MARKET, 0, 0, 12_345, 0, Hold("USDT", 0, 0, 0)),
        (SELL, MARKET, 0, 0, 12_345, 0, Hold("BTC", 0, LOT, 0)),
    ],
)
def test_hold_is_the_most_that_the_order_can_use(
    side: Side,
    order_type: OrderType,
    price: int,
    quantity: int,
    amount: int,
    protect: int,
    expected: Hold,
) -> None:
    command = Exchange().order(1, side, price, quantity, order_type=order_type, quote_amount=amount)
    assert hold_of(command, BTCUSDT, protect, 50 * LOT + LOT - 1) == expected


@pytest.mark.parametrize(
    ("side", "order_type", "price", "quantity", "amount", "base", "expected"),
    [
        (BUY, LIMIT, 0, 7, 0, 0, RejectReason.PRICE_FILTER),
        (BUY, LIMIT, -5, 7, 0, 0, RejectReason.PRICE_FILTER),
        (SELL, LIMIT, 100, 0, 0, 0, RejectReason.LOT_SIZE),
        (SELL, LIMIT, 100, -7, 0, 0, RejectReason.LOT_SIZE),
        (BUY, LIMIT, 100, 7, 1, 0, RejectReason.NOTIONAL),
        (BUY, LIMIT, AMOUNT_MAX, 1, 0, 0, RejectReason.AMOUNT_OVERFLOW),
        (SELL, LIMIT, 1, AMOUNT_MAX // LOT + 1, 0, 0, RejectReason.AMOUNT_OVERFLOW),
        (BUY, MARKET, 1, 7, 0, 0, RejectReason.PRICE_FILTER),
        (BUY, MARKET, 0, 7, 7, 0, RejectReason.LOT_SIZE),
        (BUY, MARKET, 0, 0, 0, 0, RejectReason.LOT_SIZE),
        (BUY, MARKET, 0, -7, 0, 0, RejectReason.LOT_SIZE),
        (BUY, MARKET, 0, 0, -7, 0, RejectReason.LOT_SIZE),
        (BUY, MARKET, 0, AMOUNT_MAX // (100 * TICK_LOT) + 1, 0, 0, RejectReason.AMOUNT_OVERFLOW),
        (BUY, MARKET, 0, 0, AMOUNT_MAX + 1, 0, RejectReason.AMOUNT_OVERFLOW),
        (SELL, MARKET, 0, 0, 7, LOT - 1, RejectReason.INSUFFICIENT_FUNDS),
        (SELL, OrderType.STOP_LOSS, 0, 7, 0, LOT, RejectReason.UNSUPPORTED_ORDER_TYPE),
        (BUY, OrderType.TAKE_PROFIT_LIMIT, 1, 7, 0, 0, RejectReason.UNSUPPORTED_ORDER_TYPE),
    ],
)
def test_orders_without_a_hold_are_refused(
    side: Side,
    order_type: OrderType,
    price: int,
    quantity: int,
    amount: int,
    base: int,
    expected: RejectReason,
) -> None:
    command = Exchange().order(1, side, price, quantity, order_type=order_type, quote_amount=amount)
    assert hold_of(command, BTCUSDT, 100, base) is expected


def test_the_largest_amount_that_fits_63_bits_is_held() -> None:
    price = AMOUNT_MAX // TICK_LOT
    held = hold_of(Exchange().order(1, BUY, price, 1), BTCUSDT, 0, 0)
    assert isinstance(held, Hold)
    assert held.amount == price * TICK_LOT > AMOUNT_MAX - UNIT
