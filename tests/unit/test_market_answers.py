"""What requesters are told. Refusals of cancels and replacements: test_market_cancels.py."""

from typing import Any

from exchange.answers import (
    Fill,
    OrderAmendedAnswer,
    OrderCanceled,
    OrderPlaced,
    OrdersCanceled,
    Refused,
)
from exchange.directory.events import MarketStatusSet
from exchange.instrument import MarketStatus
from exchange.market.answers import answer_of
from exchange.market.decider import decide, evolve
from exchange.market.state import Market
from exchange.orders import ExpiryReason, OrderState, OrderStatus, TimeInForce
from exchange.reject import RejectReason
from tests.support.market_flow import (
    BUY,
    NOW_NS,
    PER_TICK_LOT,
    SELL,
    SYMBOL,
    Trader,
    open_market,
    play,
)

SHARD = "market/BTCUSDT"


def ask(market: Market, message: Any) -> Any:
    events = decide(market, message, NOW_NS)
    answer = answer_of(market, message, events, SHARD, 12)
    for event in events:
        evolve(market, event)
    return answer


def test_a_placed_order_is_answered_with_the_fills_of_its_first_pass() -> None:
    market = open_market()
    play(market, Trader(9).limit(SELL, 100, 2))
    answer = ask(market, Trader(1).limit(BUY, 101, 3))
    quote = 200 * PER_TICK_LOT
    assert answer == OrderPlaced(
        request_id=1,
        shard=SHARD,
        after=12,
        symbol=SYMBOL,
        order_id=2,
        client_order_id="a1-1",
        status=OrderStatus.PARTIALLY_FILLED,
        expiry_reason=ExpiryReason.NONE,
        executed_lots=2,
        executed_quote=quote,
        at_ns=NOW_NS,
        fills=(Fill(1, 100, 2, quote, 2 * 100_000 * 234_571 // 10**8),),
    )


def test_the_status_after_the_first_pass_is_told() -> None:
    market = open_market()
    maker, trader = Trader(9), Trader(1)
    play(market, maker.limit(SELL, 100, 9))
    ioc = TimeInForce.IOC
    quote = 150 * PER_TICK_LOT
    statuses = [
        (ask(market, message).status, ask_reason)
        for message, ask_reason in (
            (trader.limit(BUY, 90, 1), "rests"),
            (trader.limit(BUY, 100, 1), "filled"),
            (trader.limit(BUY, 99, 1, ioc), "expired"),
            (trader.market_for(BUY, quote, 100), "filled by amount"),
            (trader.market_for(BUY, quote * 100, 100), "expired by amount"),
        )
    ]
    assert statuses == [
        (OrderStatus.NEW, "rests"),
        (OrderStatus.FILLED, "filled"),
        (OrderStatus.EXPIRED, "expired"),
        (OrderStatus.FILLED, "filled by amount"),
        (OrderStatus.EXPIRED, "expired by amount"),
    ]


def test_a_refused_order_is_answered_with_its_reason() -> None:
    answer = ask(open_market(), Trader(1).limit(BUY, 0, 1))
    assert answer == Refused(1, RejectReason.PRICE_FILTER, 12)


def test_a_canceled_order_is_answered_with_its_final_state() -> None:
    market, trader = open_market(), Trader(1)
    play(market, trader.limit(BUY, 100, 5))
    play(market, Trader(2).limit(SELL, 100, 2))
    answer = ask(market, trader.cancel(1))
    assert isinstance(answer, OrderCanceled)
    assert type(answer.order) is OrderState  # not the market's own order, which is about to change
    assert answer.order.status is OrderStatus.CANCELED
    assert (answer.order.executed_lots, answer.order.quantity_lots) == (2, 5)
    assert (answer.cancel_client_order_id, answer.after) == ("cancel-1", 12)


def test_cancel_all_is_answered_with_every_order() -> None:
    market, trader = open_market(), Trader(1)
    play(market, trader.limit(BUY, 100, 5))
    play(market, trader.limit(BUY, 101, 5))
    answer = ask(market, trader.cancel_all())
    assert isinstance(answer, OrdersCanceled)
    assert [order.order_id for order in answer.orders] == [1, 2]
    assert {order.status for order in answer.orders} == {OrderStatus.CANCELED}


def test_an_amended_order_is_answered_as_it_now_is() -> None:
    market, trader = open_market(), Trader(1)
    play(market, trader.limit(BUY, 100, 5))
    answer = ask(market, trader.amend(1, 3, "new"))
    assert isinstance(answer, OrderAmendedAnswer)
    assert (answer.orig_client_order_id, answer.order.client_order_id) == ("a1-1", "new")
    assert answer.order.quantity_lots == 3
    assert market.orders[1].quantity_lots == 3


def test_a_replacement_is_answered_with_both_halves() -> None:
    market, trader = open_market(), Trader(1)
    play(market, trader.limit(BUY, 100, 5))
    answer = ask(market, trader.replace(1, "", trader.limit(BUY, 101, 5)))
    assert answer.canceled.order_id == 1
    assert answer.placed.order_id == 2
    assert (answer.cancel_reason, answer.place_reason) == (RejectReason.NONE, RejectReason.NONE)


def test_nobody_is_told_what_nobody_waits_for() -> None:
    market = open_market()
    order = Trader(1).limit(BUY, 100, 5, reply_to="")
    assert ask(market, order) is None
    assert ask(market, MarketStatusSet(SYMBOL, MarketStatus.HALT, "", NOW_NS)) is None
