"""Cancels, amends and replacements."""

from typing import Any

import pytest

from exchange.answers import Refused
from exchange.directory.events import MarketStatusSet
from exchange.instrument import MarketStatus
from exchange.market.answers import answer_of
from exchange.market.decider import decide
from exchange.market.events import OrderAccepted, OrderClosed, OrderRejected
from exchange.market.state import Market
from exchange.orders import CancelRestriction, OrderStatus, OrderType, ReplaceMode
from exchange.reject import RejectReason
from tests.support.market_flow import BUY, NOW_NS, SELL, SYMBOL, Trader, open_market, play

STOP, ALLOW = ReplaceMode.STOP_ON_FAILURE, ReplaceMode.ALLOW_FAILURE


@pytest.fixture
def owner() -> Trader:
    return Trader(1)


@pytest.fixture
def market(owner: Trader) -> Market:
    """Order 1 of account 1, bid 100 x 5; order 2 of account 2, ask 110 x 5."""
    market = open_market()
    play(market, owner.limit(BUY, 100, 5, client_order_id="one"))
    play(market, Trader(2).limit(SELL, 110, 5))
    return market


def refusal(market: Market, message: Any) -> RejectReason:
    """Why a cancel or amend is refused: it leaves no event, only the answer."""
    events = decide(market, message, NOW_NS)
    assert events == []
    answer = answer_of(market, message, events, "market/BTCUSDT", 0)
    assert isinstance(answer, Refused)
    return answer.reason


@pytest.mark.parametrize(("order_id", "client_id"), [(1, ""), (0, "one"), (1, "one")])
def test_an_owner_cancels_by_either_id_or_both(
    market: Market, owner: Trader, order_id: int, client_id: str
) -> None:
    closed = play(market, owner.cancel(order_id, client_id))[0]
    assert (closed.order_id, closed.status) == (1, OrderStatus.CANCELED)
    assert (closed.cancel_client_order_id, closed.identity) == ("cancel-1", b"i" * 16)
    assert market.book.depth_bids(1) == ()
    assert 1 not in market.accounts


@pytest.mark.parametrize(
    ("account", "order_id", "client_id", "reason"),
    [
        (1, 7, "", RejectReason.UNKNOWN_ORDER),
        (1, 0, "two", RejectReason.UNKNOWN_ORDER),
        (1, 0, "", RejectReason.UNKNOWN_ORDER),
        (2, 1, "", RejectReason.UNKNOWN_ORDER),  # another's
        (3, 0, "one", RejectReason.UNKNOWN_ORDER),
        (1, 1, "two", RejectReason.ORDER_ID_MISMATCH),
    ],
)
def test_cancels_of_what_is_not_ones_own_are_refused(
    market: Market, account: int, order_id: int, client_id: str, reason: RejectReason
) -> None:
    assert refusal(market, Trader(account).cancel(order_id, client_id)) is reason


def test_a_restricted_cancel_looks_at_the_fills(market: Market, owner: Trader) -> None:
    only_new = owner.cancel(1, restriction=CancelRestriction.ONLY_NEW)
    only_filled = owner.cancel(1, restriction=CancelRestriction.ONLY_PARTIALLY_FILLED)
    assert refusal(market, only_filled) is RejectReason.CANCEL_RESTRICTED
    play(market, Trader(5).limit(SELL, 100, 1))
    assert refusal(market, only_new) is RejectReason.CANCEL_RESTRICTED
    assert len(play(market, only_filled)) == 1


def test_cancels_are_obeyed_in_cancel_only_and_refused_in_halt(
    market: Market, owner: Trader
) -> None:
    play(market, MarketStatusSet(SYMBOL, MarketStatus.HALT, "", NOW_NS))
    for message in (owner.cancel(1), owner.cancel_all(), owner.amend(1, 2)):
        assert refusal(market, message) is RejectReason.MARKET_CLOSED
    play(market, MarketStatusSet(SYMBOL, MarketStatus.CANCEL_ONLY, "", NOW_NS))
    assert len(play(market, owner.cancel(1))) == 1


def test_a_market_without_an_instrument_cancels_nothing(owner: Trader) -> None:
    market = Market(SYMBOL)
    for message in (owner.cancel(1), owner.cancel_all(), owner.amend(1, 2)):
        assert refusal(market, message) is RejectReason.UNKNOWN_SYMBOL


def test_cancel_all_ends_the_accounts_orders_by_age_and_no_others(
    market: Market, owner: Trader
) -> None:
    play(market, owner.limit(SELL, 120, 1))
    play(market, owner.amend(1, 4, "renamed"))
    events = play(market, owner.cancel_all())
    assert [event.order_id for event in events] == [1, 3]
    assert list(market.orders) == [2]
    assert refusal(market, owner.cancel_all()) is RejectReason.UNKNOWN_ORDER


def test_canceling_in_the_middle_of_a_level_keeps_everybody_elses_turn() -> None:
    market = open_market()
    for account in range(1, 11):
        play(market, Trader(account).limit(BUY, 100, 1))
    for account in (2, 3, 5, 6, 7, 9, 1):
        play(market, Trader(account).cancel(account))
    play(market, Trader(11).limit(BUY, 100, 1))
    trades = play(market, Trader(20).limit(SELL, 100, 4))[1:]
    assert [trade.maker_account_id for trade in trades] == [4, 8, 10, 11]
    assert market.book.levels == {}


# ------------------------------------------------------------------ amend


def test_an_amend_reduces_and_keeps_the_place(market: Market, owner: Trader) -> None:
    play(market, Trader(3).limit(BUY, 100, 1))
    amended = play(market, owner.amend(1, 2, "renamed"))[0]
    assert (amended.old_quantity_lots, amended.new_quantity_lots) == (5, 2)
    assert (amended.orig_client_order_id, amended.new_client_order_id) == ("one", "renamed")
    assert market.book.depth_bids(1) == ((100, 3),)
    trade = play(market, Trader(4).limit(SELL, 100, 1))[1]
    assert trade.maker_account_id == 1
    assert refusal(market, owner.cancel(0, "one")) is RejectReason.UNKNOWN_ORDER
    assert len(play(market, owner.cancel(0, "renamed"))) == 1


@pytest.mark.parametrize(
    ("lots", "new_id", "reason"),
    [
        (6, "x", RejectReason.AMEND_INCREASES),
        (5, "x", RejectReason.AMEND_CHANGES_NOTHING),
        (2, "x", RejectReason.AMEND_BELOW_EXECUTED),
        (1, "x", RejectReason.AMEND_BELOW_EXECUTED),
        (-3, "x", RejectReason.AMEND_BELOW_EXECUTED),
        (3, "taken", RejectReason.DUPLICATE_CLIENT_ORDER_ID),
    ],
)
def test_amends_that_do_not_reduce_are_refused(
    market: Market, owner: Trader, lots: int, new_id: str, reason: RejectReason
) -> None:
    play(market, owner.limit(BUY, 90, 1, client_order_id="taken"))
    play(market, Trader(5).limit(SELL, 100, 2))
    assert refusal(market, owner.amend(1, lots, new_id)) is reason
    assert refusal(market, Trader(2).amend(1, 3, "x")) is RejectReason.UNKNOWN_ORDER


# ------------------------------------------------------------------ replace


def test_a_replacement_closes_first_and_carries_the_hold(market: Market, owner: Trader) -> None:
    new = owner.limit(BUY, 101, 5)
    missing = new.hold_amount - 5 * market.orders[1].hold_per_lot
    closed, accepted = play(market, owner.replace(1, "", new, top_up=missing))
    assert (closed.order_id, closed.carried_to_ref) == (1, new.order_ref)
    assert closed.identity == new.identity
    assert isinstance(accepted, OrderAccepted)
    assert market.book.depth_bids(5) == ((101, 5),)


def test_a_replacement_that_lacks_one_unit_is_refused_and_the_cancel_stands(
    market: Market, owner: Trader
) -> None:
    new = owner.limit(BUY, 101, 5)
    missing = new.hold_amount - 5 * market.orders[1].hold_per_lot
    closed, rejected = play(market, owner.replace(1, "", new, top_up=missing - 1))
    assert (closed.status, closed.carried_to_ref) == (OrderStatus.CANCELED, 0)
    assert rejected.reason is RejectReason.REPLACE_INSUFFICIENT_FUNDS
    assert rejected.order_ref == new.order_ref


def test_the_hold_of_the_other_side_is_not_carried(market: Market, owner: Trader) -> None:
    new = owner.limit(SELL, 105, 1)
    closed, rejected = play(market, owner.replace(1, "", new, top_up=0))
    assert (closed.carried_to_ref, rejected.reason) == (
        0,
        RejectReason.REPLACE_INSUFFICIENT_FUNDS,
    )


def test_only_what_the_old_order_still_holds_is_carried(market: Market, owner: Trader) -> None:
    play(market, Trader(5).limit(SELL, 100, 4))
    new = owner.limit(BUY, 100, 2)
    one_lot = new.hold_per_lot
    events = play(market, owner.replace(1, "", new, top_up=one_lot - 1))
    assert isinstance(events[-1], OrderRejected)
    assert len(market.orders) == 1


def test_a_replacement_does_not_trade_with_the_order_it_replaces(
    market: Market, owner: Trader
) -> None:
    play(market, Trader(3).limit(BUY, 99, 1))
    events = play(market, owner.replace(1, "", owner.limit(SELL, 99, 2)))
    assert [type(event).__name__ for event in events] == [
        "OrderClosed",
        "OrderAccepted",
        "TradeExecuted",
    ]
    assert events[2].maker_account_id == 3
    assert market.book.depth_asks(1) == ((99, 1),)


def test_a_limit_maker_may_replace_the_only_order_it_would_take(
    market: Market, owner: Trader
) -> None:
    new = owner.limit(SELL, 100, 1, order_type=OrderType.LIMIT_MAKER)
    events = play(market, owner.replace(1, "", new))
    assert [type(event) for event in events] == [OrderClosed, OrderAccepted]


def test_a_replacement_may_have_the_client_id_of_the_order_it_replaces(
    market: Market, owner: Trader
) -> None:
    new = owner.limit(BUY, 100, 5, client_order_id="one")
    events = play(market, owner.replace(1, "", new))
    assert [type(event) for event in events] == [OrderClosed, OrderAccepted]


BAD_LOTS = 10**12 + 1
# mode, cancel can succeed, what is wrong with the new order -> events, reasons of the halves
MATRIX: list[tuple[ReplaceMode, bool, str, list[str], RejectReason]] = [
    (STOP, True, "", ["OrderClosed", "OrderAccepted"], RejectReason.NONE),
    (STOP, False, "", ["OrderRejected"], RejectReason.REPLACE_NOT_ATTEMPTED),
    (STOP, True, "filter", ["OrderRejected"], RejectReason.LOT_SIZE),
    (STOP, False, "filter", ["OrderRejected"], RejectReason.LOT_SIZE),
    (STOP, True, "match", ["OrderClosed", "OrderRejected"], RejectReason.WOULD_TAKE),
    (ALLOW, True, "", ["OrderClosed", "OrderAccepted"], RejectReason.NONE),
    (ALLOW, False, "", ["OrderAccepted"], RejectReason.NONE),
    (ALLOW, True, "filter", ["OrderClosed", "OrderRejected"], RejectReason.LOT_SIZE),
    (ALLOW, False, "filter", ["OrderRejected"], RejectReason.LOT_SIZE),
    (ALLOW, True, "match", ["OrderClosed", "OrderRejected"], RejectReason.WOULD_TAKE),
    (ALLOW, False, "match", ["OrderRejected"], RejectReason.WOULD_TAKE),
]


@pytest.mark.parametrize(("mode", "can_cancel", "fault", "kinds", "place_reason"), MATRIX)
def test_replace_modes_and_their_answers(
    market: Market,
    owner: Trader,
    mode: ReplaceMode,
    can_cancel: bool,
    fault: str,
    kinds: list[str],
    place_reason: RejectReason,
) -> None:
    if fault == "match":
        new = owner.limit(BUY, 110, 1, order_type=OrderType.LIMIT_MAKER)
    else:
        new = owner.limit(BUY, 101, BAD_LOTS if fault == "filter" else 3)
    message = owner.replace(1 if can_cancel else 99, "", new, mode)
    events = decide(market, message, NOW_NS)
    assert [type(event).__name__ for event in events] == kinds
    answer: Any = answer_of(market, message, events, "market/BTCUSDT", 4)
    assert answer.request_id == new.request_id
    if mode is STOP and fault == "filter":  # checked before either step: a plain refusal
        assert answer.reason is place_reason
        return
    assert answer.cancel_reason is (RejectReason.NONE if can_cancel else RejectReason.UNKNOWN_ORDER)
    assert (answer.canceled is not None) == can_cancel
    assert answer.place_reason is place_reason
    assert (answer.placed is not None) == (place_reason is RejectReason.NONE)
