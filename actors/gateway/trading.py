"""Methods that change orders: parameters to a command, and the exchange's answer to a result."""

from typing import TYPE_CHECKING

from actors.gateway.calls import Call
from exchange.account.commands import PlaceOrder, ReplaceOrder
from exchange.answers import (
    Answer,
    OrderAmendedAnswer,
    OrderCanceled,
    OrderPlaced,
    OrderReplaced,
    OrdersCanceled,
    Refused,
)
from exchange.protocol import errors, orders, requests, results
from exchange.protocol.errors import DialectError, Family, RequestError, error_of
from exchange.protocol.orders import Origin
from exchange.reject import RejectReason

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway


class ReplaceError(RequestError):
    """A cancel-replace of which a part failed; `data` tells which."""

    def __init__(self, error: DialectError, data: str) -> None:
        super().__init__(error)
        self.data = data


def place(gateway: "Gateway", call: Call) -> None:
    view = gateway.market_of(call)
    request_id = gateway.pending.next_request_id(call)
    command = orders.place_order(
        call.params, view.texts.instrument, _origin(gateway, call, request_id), view.last_ticks
    )
    call.command = command
    call.detail = orders.response_type(call.params, command.order_type)
    call.complete = _placed
    gateway.pending.start(call, request_id, False)


def test(gateway: "Gateway", call: Call) -> str:
    """Validate as for a new order, and forget it."""
    view = gateway.market_of(call)
    instrument = view.texts.instrument
    command = orders.place_order(
        call.params, instrument, _origin(gateway, call, 0), view.last_ticks
    )
    orders.response_type(call.params, command.order_type)
    if not requests.boolean(call.params, "computeCommissionRates"):
        return "{}"
    maker, taker = gateway.backend.directory.fee_rates(call.account_id, instrument.symbol)
    return results.test_result(maker, taker)


def cancel(gateway: "Gateway", call: Call) -> None:
    view = gateway.market_of(call)
    request_id = gateway.pending.next_request_id(call)
    call.command = orders.cancel_order(
        call.params, view.texts.instrument, _origin(gateway, call, request_id)
    )
    call.complete = _canceled
    gateway.pending.start(call, request_id, True)


def cancel_all(gateway: "Gateway", call: Call) -> None:
    view = gateway.market_of(call)
    request_id = gateway.pending.next_request_id(call)
    call.command = orders.cancel_all_orders(
        view.texts.instrument, _origin(gateway, call, request_id)
    )
    call.complete = _all_canceled
    gateway.pending.start(call, request_id, True)


def cancel_replace(gateway: "Gateway", call: Call) -> None:
    view = gateway.market_of(call)
    request_id = gateway.pending.next_request_id(call)
    command = orders.replace_order(
        call.params, view.texts.instrument, _origin(gateway, call, request_id), view.last_ticks
    )
    call.command = command
    call.detail = orders.response_type(call.params, command.place.order_type)
    call.complete = _replaced
    gateway.pending.start(call, request_id, False)


def amend(gateway: "Gateway", call: Call) -> None:
    view = gateway.market_of(call)
    request_id = gateway.pending.next_request_id(call)
    call.command = orders.amend_order(
        call.params, view.texts.instrument, _origin(gateway, call, request_id)
    )
    call.complete = _amended
    gateway.pending.start(call, request_id, True)


def _origin(gateway: "Gateway", call: Call, request_id: int) -> Origin:
    return Origin(
        call.account_id, call.received_at_ns, call.identity, gateway.host_name, request_id
    )


# ------------------------------------------------------------------ answers


def _placed(gateway: "Gateway", call: Call, answer: Answer) -> str:
    command = call.command
    assert type(command) is PlaceOrder and call.texts is not None
    if type(answer) is not OrderPlaced:
        raise _refusal(answer, Family.PLACE)
    gateway.limits.count_order(call.account_id, call.received_at_ns)
    call.has_placed = True
    return results.place_result(answer, command, call.detail, call.texts, call.port.unit)


def _canceled(_: "Gateway", call: Call, answer: Answer) -> str:
    if type(answer) is not OrderCanceled:
        raise _refusal(answer, Family.CANCEL)
    assert call.texts is not None
    return results.canceled(answer, call.texts, call.port.unit)


def _all_canceled(_: "Gateway", call: Call, answer: Answer) -> str:
    if type(answer) is not OrdersCanceled:
        raise _refusal(answer, Family.CANCEL)
    texts = call.texts
    assert texts is not None
    unit = call.port.unit
    # No client names these cancels: each order's own id stands for the cancel's.
    rows = [
        results.cancel_result(order, order.client_order_id, answer.at_ns, texts, unit)
        for order in answer.orders
    ]
    return f"[{','.join(rows)}]"


def _replaced(gateway: "Gateway", call: Call, answer: Answer) -> str:
    command = call.command
    assert type(command) is ReplaceOrder and call.texts is not None
    if type(answer) is not OrderReplaced:
        raise _refusal(answer, Family.PLACE)
    unit = call.port.unit
    cancel_half: str | DialectError | None
    place_half: str | DialectError | None
    if answer.canceled is not None:
        cancel_half = results.cancel_result(
            answer.canceled, answer.cancel_client_order_id, answer.at_ns, call.texts, unit
        )
    else:
        cancel_half = _half_refused(answer.cancel_reason, Family.CANCEL)
    if answer.placed is not None:
        gateway.limits.count_order(call.account_id, call.received_at_ns)
        call.has_placed = True
        place_half = results.place_result(
            answer.placed, command.place, call.detail, call.texts, unit
        )
    else:
        place_half = _half_refused(answer.place_reason, Family.PLACE)
    data = results.replace_data(cancel_half, place_half)
    succeeded = (answer.canceled is not None) + (answer.placed is not None)
    if succeeded == 2:
        return data
    raise ReplaceError(
        errors.REPLACE_HALF_FAILED if succeeded == 1 else errors.REPLACE_FAILED, data
    )


def _half_refused(reason: RejectReason, family: Family) -> DialectError | None:
    if reason == RejectReason.REPLACE_NOT_ATTEMPTED:
        return None
    return error_of(reason, family)


def _amended(_: "Gateway", call: Call, answer: Answer) -> str:
    if type(answer) is not OrderAmendedAnswer:
        raise _refusal(answer, Family.AMEND)
    assert call.texts is not None
    return results.amend_result(answer, call.texts, call.port.unit)


def _refusal(answer: Answer, family: Family) -> RequestError:
    """Return the refusal; another kind of answer is of an earlier request with this signature."""
    if type(answer) is Refused:
        return RequestError(error_of(answer.reason, family))
    return RequestError(errors.UNEXPECTED_RESPONSE)
