"""What the requester is told. Built from the state before the events and the events themselves.

Refused cancels and amends leave no event; their reason is computed by the rules that refused them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.answers import (
    Answer,
    Fill,
    OrderAmendedAnswer,
    OrderCanceled,
    OrderPlaced,
    OrderReplaced,
    OrdersCanceled,
    Refused,
)
from exchange.market.decider import MarketMessage
from exchange.market.events import (
    MarketEvent,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.market.order import state_of
from exchange.market.rules import find_amendable, find_cancelable, refuse_cancel_all
from exchange.market.state import Market
from exchange.orders import ExpiryReason, OrderState, OrderStatus, ReplaceMode
from exchange.reject import RejectReason

_NONE = RejectReason.NONE
_NEW = OrderStatus.NEW
_PARTIALLY_FILLED = OrderStatus.PARTIALLY_FILLED
_FILLED = OrderStatus.FILLED
_NO_EXPIRY = ExpiryReason.NONE


def answer_of(
    market: Market, message: MarketMessage, events: Sequence[MarketEvent], shard: str, after: int
) -> Answer | None:
    """Return the answer to `message`, None if nobody waits for one.

    Call it between `decide`, which gave `events`, and `evolve`. `after` is the number of the last
    message that these events make to the account's shard.
    """
    handler = _ANSWERS.get(type(message))
    return None if handler is None else handler(market, message, events, shard, after)


def _placed_or_refused(
    market: Market, order: OrderSubmitted, events: Sequence[Any], shard: str, after: int
) -> Answer | None:
    if not order.reply_to:
        return None
    first = events[0]
    if type(first) is OrderRejected:
        return Refused(order.request_id, first.reason, after)
    return _placed(order.request_id, events, 0, shard, after)


def _placed(
    request_id: int, events: Sequence[Any], first: int, shard: str, after: int
) -> OrderPlaced:
    """Describe the order accepted by `events[first]` as the events after it left it."""
    accepted: OrderAccepted = events[first]
    executed_lots = executed_quote = 0
    status = _NEW
    expiry_reason = _NO_EXPIRY
    fills: list[Fill] = []
    for event in events[first + 1 :]:
        if type(event) is TradeExecuted:
            lots, quote = event.quantity_lots, event.quote_amount
            executed_lots += lots
            executed_quote += quote
            fills.append(
                Fill(event.trade_id, event.price_ticks, lots, quote, event.taker_commission)
            )
        else:
            status, expiry_reason = event.status, event.expiry_reason
    if fills and status is _NEW:
        # An order by amount would have been closed if it were not filled.
        is_filled = bool(accepted.quote_amount) or executed_lots == accepted.quantity_lots
        status = _FILLED if is_filled else _PARTIALLY_FILLED
    return OrderPlaced(
        request_id,
        shard,
        after,
        accepted.symbol,
        accepted.order_id,
        accepted.client_order_id,
        status,
        expiry_reason,
        executed_lots,
        executed_quote,
        accepted.at_ns,
        tuple(fills),
    )


def _canceled_state(market: Market, closed: OrderClosed) -> OrderState:
    return state_of(market.orders[closed.order_id], closed.status, closed.at_ns)


def _canceled(
    market: Market, request: CancelRequested, events: Sequence[Any], shard: str, after: int
) -> Answer | None:
    if not request.reply_to:
        return None
    if not events:
        return Refused(request.request_id, find_cancelable(market, request)[1], after)
    closed: OrderClosed = events[0]
    return OrderCanceled(
        request.request_id,
        shard,
        after,
        closed.cancel_client_order_id,
        _canceled_state(market, closed),
        closed.at_ns,
    )


def _all_canceled(
    market: Market, request: CancelAllRequested, events: Sequence[Any], shard: str, after: int
) -> Answer | None:
    if not request.reply_to:
        return None
    if not events:
        return Refused(request.request_id, refuse_cancel_all(market, request), after)
    orders = tuple([_canceled_state(market, closed) for closed in events])
    return OrdersCanceled(request.request_id, shard, after, orders, events[0].at_ns)


def _amended(
    market: Market, request: AmendRequested, events: Sequence[Any], shard: str, after: int
) -> Answer | None:
    if not request.reply_to:
        return None
    if not events:
        return Refused(request.request_id, find_amendable(market, request)[1], after)
    amended: OrderAmended = events[0]
    order = market.orders[amended.order_id]
    state = state_of(order, order.status, amended.at_ns)
    state.quantity_lots = amended.new_quantity_lots
    state.client_order_id = amended.new_client_order_id
    return OrderAmendedAnswer(
        request.request_id, shard, after, amended.orig_client_order_id, state, amended.at_ns
    )


def _replaced(
    market: Market, request: ReplaceSubmitted, events: Sequence[Any], shard: str, after: int
) -> Answer | None:
    """Both halves; or a plain refusal when the new order's filters stopped it before either."""
    new = request.order
    if not new.reply_to:
        return None
    canceled: OrderState | None = None
    cancel_reason = _NONE
    first = 0
    if type(events[0]) is OrderClosed:
        canceled = _canceled_state(market, events[0])
        first = 1
    else:
        cancel_reason = find_cancelable(market, request)[1]
    outcome = events[first]
    place_reason = outcome.reason if type(outcome) is OrderRejected else _NONE
    if (
        canceled is None
        and request.mode is ReplaceMode.STOP_ON_FAILURE
        and place_reason is not RejectReason.REPLACE_NOT_ATTEMPTED
    ):
        return Refused(new.request_id, place_reason, after)
    placed = None
    if place_reason is _NONE:
        placed = _placed(new.request_id, events, first, shard, after)
    return OrderReplaced(
        new.request_id,
        shard,
        after,
        cancel_reason,
        canceled,
        request.cancel_client_order_id,
        place_reason,
        placed,
        outcome.at_ns,
    )


_ANSWERS: dict[type, Callable[[Market, Any, Sequence[Any], str, int], Answer | None]] = {
    OrderSubmitted: _placed_or_refused,
    CancelRequested: _canceled,
    CancelAllRequested: _all_canceled,
    AmendRequested: _amended,
    ReplaceSubmitted: _replaced,
}
