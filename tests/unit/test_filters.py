"""The instrument's rules as a table."""

import pytest

from exchange.filters import check_order
from exchange.instrument import Instrument
from exchange.money import AMOUNT_MAX
from exchange.orders import OrderType
from exchange.reject import RejectReason

LIMIT, MAKER, MARKET = OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET
RULES = Instrument(
    symbol="BTCUSDT",
    base_asset="BTC",
    quote_asset="USDT",
    tick_size=1_000_000,
    lot_size=100_000,  # one lot at one tick is worth 1,000 minor units
    price_ticks_min=10,
    price_ticks_max=1_000,
    quantity_lots_min=2,
    quantity_lots_max=100,
    market_quantity_lots_max=50,
    notional_min=100_000,
    notional_max=50_000_000,
)
R = RejectReason


@pytest.mark.parametrize(
    ("order_type", "price", "lots", "amount", "reference", "reason"),
    [
        (LIMIT, 100, 10, 0, 0, R.NONE),
        (MAKER, 100, 10, 0, 0, R.NONE),
        (LIMIT, 9, 100, 0, 0, R.PRICE_FILTER),
        (LIMIT, 10, 100, 0, 0, R.NONE),
        (LIMIT, 1_000, 2, 0, 0, R.NONE),
        (LIMIT, 1_001, 2, 0, 0, R.PRICE_FILTER),
        (LIMIT, 0, 2, 0, 0, R.PRICE_FILTER),
        (LIMIT, -5, 2, 0, 0, R.PRICE_FILTER),
        (LIMIT, 100, 1, 0, 0, R.LOT_SIZE),
        (LIMIT, 100, 101, 0, 0, R.LOT_SIZE),
        (LIMIT, 100, 0, 0, 0, R.LOT_SIZE),
        (LIMIT, 100, -3, 0, 0, R.LOT_SIZE),
        (LIMIT, 10, 9, 0, 0, R.NOTIONAL),
        (LIMIT, 10, 10, 0, 0, R.NONE),
        (LIMIT, 1_000, 50, 0, 0, R.NONE),
        (LIMIT, 1_000, 51, 0, 0, R.NOTIONAL),
        (MARKET, 0, 50, 0, 0, R.NONE),
        (MARKET, 0, 51, 0, 0, R.MARKET_LOT_SIZE),
        (MARKET, 0, 101, 0, 0, R.LOT_SIZE),
        (MARKET, 0, 1, 0, 0, R.LOT_SIZE),
        (MARKET, 0, 0, 0, 0, R.LOT_SIZE),
        (MARKET, 0, 9, 0, 10, R.NOTIONAL),  # valued at the last trade
        (MARKET, 0, 10, 0, 10, R.NONE),
        (MARKET, 0, 0, 100_000, 0, R.NONE),
        (MARKET, 0, 0, 99_999, 0, R.NOTIONAL),
        (MARKET, 0, 0, 50_000_001, 0, R.NOTIONAL),
        (MARKET, 0, 0, -1, 0, R.NOTIONAL),
        (MARKET, 0, 0, AMOUNT_MAX + 1, 0, R.AMOUNT_OVERFLOW),
        (MARKET, 0, 5, 100_000, 0, R.LOT_SIZE),
        (OrderType.STOP_LOSS, 100, 10, 0, 0, R.UNSUPPORTED_ORDER_TYPE),
        (OrderType.TAKE_PROFIT_LIMIT, 100, 10, 0, 0, R.UNSUPPORTED_ORDER_TYPE),
    ],
)
def test_orders_within_the_rules_pass_and_others_have_a_reason(
    order_type: OrderType,
    price: int,
    lots: int,
    amount: int,
    reference: int,
    reason: RejectReason,
) -> None:
    assert check_order(RULES, order_type, price, lots, amount, reference) is reason


@pytest.mark.parametrize(
    ("price", "lots", "reason"),
    [
        (10**6, 10**10, R.AMOUNT_OVERFLOW),  # the value
        (1, 10**14, R.AMOUNT_OVERFLOW),  # the quantity alone
        (10**6, 9 * 10**9, R.NONE),
    ],
)
def test_amounts_beyond_63_bits_are_refused(price: int, lots: int, reason: RejectReason) -> None:
    wide = Instrument(
        symbol="BTCUSDT",
        base_asset="BTC",
        quote_asset="USDT",
        tick_size=1_000_000,
        lot_size=100_000,
        price_ticks_max=10**15,
        quantity_lots_max=10**15,
    )
    assert check_order(wide, LIMIT, price, lots, 0) is reason


def test_a_market_order_whose_quantity_overflows_is_refused_without_a_reference() -> None:
    wide = Instrument(
        symbol="BTCUSDT",
        base_asset="BTC",
        quote_asset="USDT",
        tick_size=1_000_000,
        lot_size=100_000,
        quantity_lots_max=10**15,
        market_quantity_lots_max=10**15,
    )
    assert check_order(wide, MARKET, 0, 10**14, 0) is R.AMOUNT_OVERFLOW
