"""Is what traders were told true? Every answer against the streams."""

from collections.abc import Callable
from typing import Any

from exchange.account.commands import CancelAllOrders, Deposit, PlaceOrder, ReplaceOrder
from exchange.account.events import Deposited, OrderSubmitted, ReplaceSubmitted, Withdrawn
from exchange.answers import (
    OrderAmendedAnswer,
    OrderCanceled,
    OrderPlaced,
    OrderReplaced,
    OrdersCanceled,
    Refused,
    Transferred,
)
from exchange.orders import OrderStatus
from tests.simulation.history import History, order_of
from tests.simulation.traders import Request, Traders


def check_answers(traders: Traders, history: History) -> None:
    for identity, effects in history.effects.items():
        assert len(effects) == 1, ("one request, several effects", identity, effects)
    for request in traders.done:
        if request.is_read or request.shard.startswith("directory"):
            continue
        _CHECKS[type(request.answer)](request, history)


def _effect(request: Request, history: History) -> Any:
    body = getattr(request.command, "place", request.command)
    effects = history.effects.get(body.identity)
    assert effects, ("an answer without any event", request.command, request.answer)
    return effects[0]


def _check_refused(request: Request, history: History) -> None:
    """A refused request has no effect in any market."""
    effect = _effect(request, history)
    order = order_of(effect)
    if isinstance(effect, OrderSubmitted | ReplaceSubmitted):
        key = order.account_id, order.order_ref
        assert key not in history.accepted_refs, ("refused, and accepted", request.answer, order)
        assert key in history.rejected, ("refused, and never told the account", order)
    assert not isinstance(effect, Deposited | Withdrawn), ("refused, and moved", effect)
    assert order.identity not in history.closed_by, ("refused, and canceled", request.answer, order)
    assert order.identity not in history.amended_by, ("refused, and amended", order)


def _check_placed(request: Request, history: History) -> None:
    effect = _effect(request, history)
    assert isinstance(effect, OrderSubmitted), (effect, request.answer)
    _check_order(effect, request.answer, history)


def _check_order(submitted: OrderSubmitted, answer: OrderPlaced, history: History) -> None:
    accepted = history.accepted.get((answer.symbol, answer.order_id))
    assert accepted is not None, ("an order that was never accepted", answer)
    assert (accepted.account_id, accepted.order_ref) == (submitted.account_id, submitted.order_ref)
    assert accepted.client_order_id == answer.client_order_id
    taken = history.taken.get((answer.symbol, answer.order_id), [])
    assert [
        (t.trade_id, t.price_ticks, t.quantity_lots, t.quote_amount, t.taker_commission)
        for t in taken
    ] == [
        (f.trade_id, f.price_ticks, f.quantity_lots, f.quote_amount, f.commission)
        for f in answer.fills
    ], ("fills that did not happen so", answer, taken)
    assert answer.executed_lots == sum(fill.quantity_lots for fill in answer.fills)
    assert answer.executed_quote == sum(fill.quote_amount for fill in answer.fills)
    if answer.status in (OrderStatus.EXPIRED, OrderStatus.EXPIRED_IN_MATCH):
        assert history.closed[answer.symbol, answer.order_id].status is answer.status


def _check_canceled(request: Request, history: History) -> None:
    answer = request.answer
    closed = history.closed_by.get(request.command.identity, [])
    assert [event.order_id for event in closed] == [answer.order.order_id], (closed, answer)
    assert closed[0].status is answer.order.status is OrderStatus.CANCELED


def _check_all_canceled(request: Request, history: History) -> None:
    assert isinstance(request.command, CancelAllOrders)
    closed = history.closed_by.get(request.command.identity, [])
    told = [order.order_id for order in request.answer.orders]
    assert sorted(event.order_id for event in closed) == sorted(told), (closed, request.answer)


def _check_replaced(request: Request, history: History) -> None:
    assert isinstance(request.command, ReplaceOrder)
    answer, effect = request.answer, _effect(request, history)
    assert isinstance(effect, ReplaceSubmitted)
    key = effect.order.account_id, effect.order.order_ref
    if answer.placed is None:
        assert key not in history.accepted_refs, ("half refused, and accepted", answer)
        assert history.rejected[key].reason is answer.place_reason
    else:
        _check_order(effect.order, answer.placed, history)
    closed = history.closed_by.get(effect.order.identity, [])
    told = [] if answer.canceled is None else [answer.canceled.order_id]
    assert [event.order_id for event in closed] == told, ("the canceled half", closed, answer)


def _check_amended(request: Request, history: History) -> None:
    amended = history.amended_by.get(request.command.identity, [])
    order = request.answer.order
    assert [(event.order_id, event.new_quantity_lots) for event in amended] == [
        (order.order_id, order.quantity_lots)
    ], (amended, request.answer)


def _check_transferred(request: Request, history: History) -> None:
    effect = _effect(request, history)
    kind = Deposited if isinstance(request.command, Deposit) else Withdrawn
    assert type(effect) is kind, (effect, request.answer)
    assert (effect.asset, effect.amount) == (request.command.asset, request.command.amount)


_CHECKS: dict[type, Callable[[Request, History], None]] = {
    Refused: _check_refused,
    OrderPlaced: _check_placed,
    OrderCanceled: _check_canceled,
    OrdersCanceled: _check_all_canceled,
    OrderReplaced: _check_replaced,
    OrderAmendedAnswer: _check_amended,
    Transferred: _check_transferred,
}


def check_verdicts(history: History) -> None:
    """Every submission was judged once; accounts heard what markets said, once and in order."""
    submissions: dict[tuple[int, int], None] = {}
    for effects in history.effects.values():
        for effect in effects:
            if isinstance(effect, OrderSubmitted | ReplaceSubmitted):
                order = order_of(effect)
                key = order.account_id, order.order_ref
                submissions[key] = None
                verdicts = history.outcomes[key]
                assert verdicts == 1, ("a submission judged not once", verdicts, order)
    for key in history.outcomes:
        assert key in submissions, ("a verdict without a submission", key)
    for key in dict.fromkeys([*history.said, *history.heard]):
        said, heard = history.said.get(key, []), history.heard.get(key, [])
        assert said == heard, ("said and heard differ", key, len(said), len(heard))


def check_requests(traders: Traders) -> None:
    assert not traders.requests, "requests without an outcome"
    placed = [r for r in traders.done if isinstance(r.command, PlaceOrder)]
    assert all(request.answer is not None for request in placed)
