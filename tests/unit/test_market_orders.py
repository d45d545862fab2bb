"""Orders entering a market: every type, time in force and refusal."""

from typing import Any

import msgspec
import pytest

from exchange.directory.events import MarketStatusSet
from exchange.errors import InvariantError
from exchange.instrument import Instrument, MarketStatus
from exchange.market.decider import decide, evolve
from exchange.market.events import OrderAccepted, OrderClosed, OrderRejected, TradeExecuted
from exchange.market.state import Market
from exchange.money import AMOUNT_MAX, UNIT
from exchange.orders import ExpiryReason, OrderStatus, OrderType, SelfTradePrevention, TimeInForce
from exchange.reject import RejectReason
from tests.support.market_flow import (
    BUY,
    INSTRUMENT,
    NOW_NS,
    PER_TICK_LOT,
    SELL,
    SYMBOL,
    Trader,
    open_market,
    play,
    play_all,
)

GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def market_with_asks(*asks: tuple[int, int], instrument: Instrument = INSTRUMENT) -> Market:
    """A market where account 9 offers (price ticks, lots)."""
    market = open_market(instrument)
    maker = Trader(9)
    play_all(market, [maker.limit(SELL, price, lots) for price, lots in asks])
    return market


def market_with_bids(*bids: tuple[int, int]) -> Market:
    market = open_market()
    maker = Trader(9)
    play_all(market, [maker.limit(BUY, price, lots) for price, lots in bids])
    return market


def with_rules(**rules: Any) -> Instrument:
    return msgspec.structs.replace(INSTRUMENT, **rules)


def fills(events: list[Any]) -> list[tuple[int, int]]:
    return [(e.price_ticks, e.quantity_lots) for e in events if isinstance(e, TradeExecuted)]


def ending(events: list[Any]) -> tuple[OrderStatus, ExpiryReason] | None:
    """How the order was closed; None if it rests or its last fill ended it."""
    last = events[-1]
    return (last.status, last.expiry_reason) if isinstance(last, OrderClosed) else None


def reason_of(events: list[Any]) -> RejectReason:
    assert len(events) == 1
    assert isinstance(events[0], OrderRejected)
    return events[0].reason


def test_an_order_that_meets_nobody_rests() -> None:
    market = open_market()
    events = play(market, Trader(1).limit(BUY, 100, 5))
    assert [type(event) for event in events] == [OrderAccepted]
    assert market.book.depth_bids(10) == ((100, 5),)
    assert market.orders[1].status is OrderStatus.NEW


def test_better_prices_trade_first_then_older_orders() -> None:
    market = open_market()
    first, second, third = Trader(1), Trader(2), Trader(3)
    play_all(
        market,
        [first.limit(SELL, 102, 1), second.limit(SELL, 101, 2), third.limit(SELL, 101, 3)],
    )
    events = play(market, Trader(4).limit(BUY, 102, 6))
    makers = [(e.maker_account_id, e.price_ticks) for e in events if isinstance(e, TradeExecuted)]
    assert makers == [(2, 101), (3, 101), (1, 102)]


def test_a_trade_has_the_makers_price_both_fees_and_the_running_ids() -> None:
    market = market_with_asks((100, 5))
    event = play(market, Trader(1).limit(BUY, 103, 2))[1]
    assert event == TradeExecuted(
        trade_id=1,
        symbol=SYMBOL,
        price_ticks=100,
        quantity_lots=2,
        base_amount=200_000,
        quote_amount=100 * 2 * PER_TICK_LOT,
        taker_side=BUY,
        taker_account_id=1,
        taker_order_id=2,
        taker_order_ref=1,
        taker_commission=200_000 * 234_571 // UNIT,
        maker_account_id=9,
        maker_order_id=1,
        maker_order_ref=1,
        maker_commission=200_000 * 123_457 // UNIT,
        at_ns=NOW_NS,
    )


def test_the_rest_of_a_gtc_order_rests_at_its_own_price() -> None:
    market = market_with_asks((100, 5))
    events = play(market, Trader(1).limit(BUY, 103, 8))
    assert fills(events) == [(100, 5)]
    assert market.book.depth_bids(5) == ((103, 3),)
    assert market.book.depth_asks(5) == ()
    assert market.orders[2].status is OrderStatus.PARTIALLY_FILLED


@pytest.mark.parametrize(
    ("tif", "price", "lots", "expected_fills", "expected_end"),
    [
        (IOC, 101, 4, [(100, 2), (101, 2)], None),
        (IOC, 100, 4, [(100, 2)], ExpiryReason.UNFILLED_IOC_QUANTITY_EXPIRED),
        (IOC, 99, 4, [], ExpiryReason.UNFILLED_IOC_QUANTITY_EXPIRED),
        (FOK, 101, 5, [(100, 2), (101, 3)], None),
        (FOK, 101, 6, [], ExpiryReason.UNFILLED_FOK_ORDER_EXPIRED),
        (FOK, 99, 1, [], ExpiryReason.UNFILLED_FOK_ORDER_EXPIRED),
    ],
)
def test_ioc_takes_what_it_can_and_fok_all_or_nothing(
    tif: TimeInForce,
    price: int,
    lots: int,
    expected_fills: list[tuple[int, int]],
    expected_end: ExpiryReason | None,
) -> None:
    market = market_with_asks((100, 2), (101, 3))
    events = play(market, Trader(1).limit(BUY, price, lots, tif))
    assert isinstance(events[0], OrderAccepted)
    assert fills(events) == expected_fills
    assert ending(events) == (None if expected_end is None else (OrderStatus.EXPIRED, expected_end))
    assert market.taker is None
    assert len(market.book.bids) == 0


def test_limit_maker_rests_or_is_refused_but_never_takes() -> None:
    market = market_with_asks((100, 2))
    trader = Trader(1)
    refused = play(market, trader.limit(BUY, 100, 1, order_type=OrderType.LIMIT_MAKER))
    assert reason_of(refused) is RejectReason.WOULD_TAKE
    play(market, trader.limit(BUY, 99, 1, order_type=OrderType.LIMIT_MAKER))
    assert market.book.depth_bids(1) == ((99, 1),)


@pytest.mark.parametrize(
    ("lots", "protect", "expected_fills", "is_left"),
    [
        (2, 110, [(100, 2)], False),
        (5, 110, [(100, 2), (105, 3)], False),
        (6, 110, [(100, 2), (105, 3)], True),
        (6, 104, [(100, 2)], True),  # never beyond the protective price
        (6, 99, [], True),
        (6, 0, [], True),  # no protective price known: it cannot trade
    ],
)
def test_market_order_by_quantity(
    lots: int, protect: int, expected_fills: list[tuple[int, int]], is_left: bool
) -> None:
    market = market_with_asks((100, 2), (105, 3))
    events = play(market, Trader(1).market(BUY, lots, protect))
    assert fills(events) == expected_fills
    expired = (OrderStatus.EXPIRED, ExpiryReason.INSUFFICIENT_LIQUIDITY)
    assert ending(events) == (expired if is_left else None)


def test_market_sell_without_a_protective_price_sells_nothing() -> None:
    market = market_with_bids((100, 2))
    events = play(market, Trader(1).market(SELL, 2, 0))
    assert fills(events) == []
    assert ending(events) == (OrderStatus.EXPIRED, ExpiryReason.INSUFFICIENT_LIQUIDITY)


def test_market_order_in_an_empty_book_is_accepted_and_expires() -> None:
    events = play(open_market(), Trader(1).market(BUY, 2, 100))
    assert [type(event) for event in events] == [OrderAccepted, OrderClosed]
    assert ending(events) == (OrderStatus.EXPIRED, ExpiryReason.INSUFFICIENT_LIQUIDITY)


AMOUNT = PER_TICK_LOT  # of one lot at one tick


@pytest.mark.parametrize(
    ("amount", "expected_fills", "expected_end"),
    [
        (100 * AMOUNT, [(100, 1)], None),
        (199 * AMOUNT, [(100, 1)], None),  # the rest buys less than a lot
        (200 * AMOUNT, [(100, 2)], None),
        (299 * AMOUNT, [(100, 2)], None),
        # The rest, 104, would buy a lot at 100 but not at 105, where trading stopped.
        (304 * AMOUNT, [(100, 2)], OrderStatus.FILLED),
        (305 * AMOUNT, [(100, 2), (105, 1)], None),
        (900 * AMOUNT, [(100, 2), (105, 3)], OrderStatus.EXPIRED),
    ],
)
def test_market_buy_by_amount_never_exceeds_it(
    amount: int, expected_fills: list[tuple[int, int]], expected_end: OrderStatus | None
) -> None:
    market = market_with_asks((100, 2), (105, 3))
    events = play(market, Trader(1).market_for(BUY, amount, 110))
    assert fills(events) == expected_fills
    assert (ending(events) or (None,))[0] is expected_end
    assert sum(e.quote_amount for e in events if isinstance(e, TradeExecuted)) <= amount
    assert market.taker is None


@pytest.mark.parametrize(
    ("amount", "held", "protect", "expected_fills", "expected_end"),
    [
        (100 * AMOUNT, 9, 90, [(100, 1)], None),
        (150 * AMOUNT, 9, 90, [(100, 1)], OrderStatus.FILLED),
        (295 * AMOUNT, 9, 90, [(100, 2), (95, 1)], None),
        (400 * AMOUNT, 3, 90, [(100, 2), (95, 1)], OrderStatus.EXPIRED),  # holds no more
        (400 * AMOUNT, 9, 96, [(100, 2)], OrderStatus.EXPIRED),  # not below the protective price
        (900 * AMOUNT, 9, 90, [(100, 2), (95, 3)], OrderStatus.EXPIRED),
    ],
)
def test_market_sell_by_amount_is_bounded_by_amount_hold_and_price(
    amount: int,
    held: int,
    protect: int,
    expected_fills: list[tuple[int, int]],
    expected_end: OrderStatus | None,
) -> None:
    market = market_with_bids((100, 2), (95, 3))
    events = play(market, Trader(1).market_for(SELL, amount, protect, held))
    assert fills(events) == expected_fills
    assert (ending(events) or (None,))[0] is expected_end
    assert market.taker is None


@pytest.mark.parametrize(
    ("amount", "protect", "reason"),
    [
        (100 * AMOUNT, 99, RejectReason.NO_LIQUIDITY),
        (100 * AMOUNT, 0, RejectReason.NO_LIQUIDITY),
        (99 * AMOUNT, 110, RejectReason.LOT_SIZE),  # less than one lot
        (AMOUNT_MAX + 1, 110, RejectReason.AMOUNT_OVERFLOW),
        (-1, 110, RejectReason.NOTIONAL),
    ],
)
def test_market_order_by_amount_that_cannot_trade_is_refused(
    amount: int, protect: int, reason: RejectReason
) -> None:
    market = market_with_asks((100, 2))
    assert reason_of(play(market, Trader(1).market_for(BUY, amount, protect))) is reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"received_at_ns": NOW_NS - 10_000_000_001}, RejectReason.SUBMISSION_TOO_OLD),
        ({"stp_mode": SelfTradePrevention.EXPIRE_BOTH}, RejectReason.STP_MODE_NOT_ALLOWED),
        ({"order_type": OrderType.STOP_LOSS}, RejectReason.UNSUPPORTED_ORDER_TYPE),
        ({"stop_ticks": 5}, RejectReason.UNSUPPORTED_ORDER_TYPE),
        ({"iceberg_lots": 1}, RejectReason.UNSUPPORTED_ORDER_TYPE),
        ({"list_id": 3}, RejectReason.UNSUPPORTED_ORDER_TYPE),
        ({"price_ticks": 151}, RejectReason.PERCENT_PRICE),
        ({"price_ticks": 49}, RejectReason.PERCENT_PRICE),
        ({"price_ticks": 0}, RejectReason.PRICE_FILTER),
        ({"quantity_lots": 0}, RejectReason.LOT_SIZE),
    ],
)
def test_submissions_that_break_a_rule_are_refused(
    fields: dict[str, Any], reason: RejectReason
) -> None:
    rules = with_rules(band_up_e8=UNIT * 3 // 2, band_down_e8=UNIT // 2, stp_allowed=(0, 1, 2))
    market = market_with_asks((100, 2), instrument=rules)
    play(market, Trader(2).limit(BUY, 100, 1))
    order = Trader(1).limit(BUY, 100, 1)
    values = {name: getattr(order, name) for name in order.__struct_fields__} | fields
    refused = play(market, type(order)(**values))
    assert reason_of(refused) is reason
    assert refused[0].order_ref == order.order_ref


def test_a_submission_of_exactly_ten_seconds_ago_is_taken() -> None:
    order = Trader(1).limit(BUY, 100, 1, received_at_ns=NOW_NS - 10_000_000_000)
    assert isinstance(play(open_market(), order)[0], OrderAccepted)


def test_prices_on_the_edge_of_the_band_are_taken() -> None:
    rules = with_rules(band_up_e8=UNIT * 3 // 2, band_down_e8=UNIT // 2)
    market = market_with_asks((100, 2), instrument=rules)
    trader = Trader(1)
    play(market, trader.limit(BUY, 100, 1))
    for price in (50, 150):
        assert isinstance(play(market, trader.limit(BUY, price, 1))[0], OrderAccepted)


def test_a_client_id_is_unique_among_the_accounts_open_orders_only() -> None:
    market = open_market()
    one, two = Trader(1), Trader(2)
    play(market, one.limit(BUY, 100, 1, client_order_id="mine"))
    again = play(market, one.limit(BUY, 99, 1, client_order_id="mine"))
    assert reason_of(again) is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    assert isinstance(play(market, two.limit(BUY, 99, 1, client_order_id="mine"))[0], OrderAccepted)
    play(market, one.cancel(client_order_id="mine"))
    assert isinstance(play(market, one.limit(BUY, 98, 1, client_order_id="mine"))[0], OrderAccepted)


def test_open_orders_are_bounded_per_account() -> None:
    market = open_market(with_rules(open_orders_max=2))
    trader = Trader(1)
    play_all(market, [trader.limit(BUY, 100, 1), trader.limit(BUY, 99, 1)])
    assert reason_of(play(market, trader.limit(BUY, 98, 1))) is RejectReason.MAX_NUM_ORDERS
    assert isinstance(play(market, Trader(2).limit(BUY, 98, 1))[0], OrderAccepted)


@pytest.mark.parametrize("status", [MarketStatus.HALT, MarketStatus.CANCEL_ONLY])
def test_a_market_that_does_not_trade_takes_no_orders(status: MarketStatus) -> None:
    market = open_market()
    play(market, MarketStatusSet(SYMBOL, status, "test", NOW_NS))
    assert reason_of(play(market, Trader(1).limit(BUY, 1, 1))) is RejectReason.MARKET_CLOSED
    play(market, MarketStatusSet(SYMBOL, MarketStatus.TRADING, "test", NOW_NS))
    assert isinstance(play(market, Trader(1).limit(BUY, 1, 1))[0], OrderAccepted)


def test_a_market_without_an_instrument_knows_no_symbol() -> None:
    events = play(Market(SYMBOL), Trader(1).limit(BUY, 1, 1))
    assert reason_of(events) is RejectReason.UNKNOWN_SYMBOL


def test_proceeds_beyond_63_bits_are_refused_before_they_happen() -> None:
    market = open_market()
    price = 10**9
    lots = AMOUNT_MAX // (price * PER_TICK_LOT)
    play_all(market, [Trader(1).limit(BUY, price, lots), Trader(2).limit(BUY, price, lots)])
    events = play(market, Trader(3).limit(SELL, 1, 2 * lots))
    assert reason_of(events) is RejectReason.AMOUNT_OVERFLOW
    assert market.trades == 0


def test_time_never_goes_back_within_a_market() -> None:
    market = open_market()
    later = play(market, Trader(1).limit(BUY, 100, 1), NOW_NS + 50)
    earlier = play(market, Trader(1).limit(BUY, 99, 1, client_order_id="z"), NOW_NS + 20)
    assert (later[0].at_ns, earlier[0].at_ns) == (NOW_NS + 50, NOW_NS + 50)


def test_deciding_changes_nothing() -> None:
    market = market_with_asks((100, 2))
    message = Trader(1).limit(BUY, 100, 1)
    assert decide(market, message, NOW_NS) == decide(market, message, NOW_NS)
    assert market.book.depth_asks(1) == ((100, 2),)


def test_an_event_that_contradicts_the_state_stops_the_market() -> None:
    market = market_with_asks((100, 2))
    accepted, trade = play(market, Trader(1).limit(BUY, 100, 1))
    for event in (accepted, trade):
        with pytest.raises(InvariantError):
            evolve(market, event)
    canceled = decide(market, Trader(9).cancel(1), NOW_NS)[0]
    evolve(market, canceled)
    with pytest.raises(InvariantError):
        evolve(market, canceled)
