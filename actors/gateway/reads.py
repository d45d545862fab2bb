"""Methods that read an account: from its own view first, from history for what it forgot."""

import asyncio
from typing import TYPE_CHECKING, Final

from actors.gateway.calls import Call
from exchange.account.commands import ReadAccount, ReadKind
from exchange.answers import AccountState, Answer, Orders, Refused
from exchange.protocol import errors, orders, requests, results
from exchange.protocol.errors import Family, RequestError, error_of
from exchange.reject import RejectReason

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway

DAY_NS: Final = 86_400_000_000_000
COLD_WAIT_NS: Final = 2_000_000_000  # how long history may lag behind the account
COLD_POLL_S: Final = 0.01
TRADES_DEFAULT: Final = 500
TRADES_MAX: Final = 1_000


def account_status(gateway: "Gateway", call: Call) -> None:
    call.detail = "omit" if requests.boolean(call.params, "omitZeroBalances") else ""
    _read(gateway, call, ReadKind.BALANCES)
    call.complete = _account


def order_status(gateway: "Gateway", call: Call) -> None:
    gateway.market_of(call)
    reference = orders.order_reference(call.params, "orderId", "origClientOrderId")
    _read(gateway, call, ReadKind.ORDER, reference.order_id, reference.client_order_id)
    call.complete = _order


def open_orders(gateway: "Gateway", call: Call) -> None:
    if call.params.get("symbol") is not None:
        gateway.market_of(call)
    _read(gateway, call, ReadKind.OPEN_ORDERS)
    call.complete = _open_orders


def my_trades(gateway: "Gateway", call: Call) -> None:
    gateway.market_of(call)
    _trades_query(call)
    _read(gateway, call, ReadKind.POSITION)
    call.complete = _my_trades


def _read(
    gateway: "Gateway", call: Call, kind: ReadKind, order_id: int = 0, client_order_id: str = ""
) -> None:
    request_id = gateway.pending.next_request_id(call)
    call.command = ReadAccount(
        call.account_id,
        kind,
        call.texts.symbol if call.texts is not None else "",
        order_id,
        client_order_id,
        b"",
        gateway.positions_of(call.account_id),
        gateway.host_name,
        request_id,
    )
    gateway.pending.start(call, request_id, True)


# ------------------------------------------------------------------ answers


def _account(gateway: "Gateway", call: Call, answer: Answer) -> str:
    if type(answer) is not AccountState:
        raise _refusal(answer)
    directory = gateway.backend.directory
    maker, taker = gateway.default_fees(call.account_id)
    return results.account_result(
        answer,
        directory.assets,
        maker,
        taker,
        omit_zero=call.detail == "omit",
        can_trade=True,
        unit=call.port.unit,
    )


def _open_orders(gateway: "Gateway", call: Call, answer: Answer) -> str:
    if type(answer) is not Orders:
        raise _refusal(answer)
    unit = call.port.unit
    rows = [
        results.order_json(order, gateway.texts_of(order.symbol), unit) for order in answer.orders
    ]
    return f"[{','.join(rows)}]"


def _order(gateway: "Gateway", call: Call, answer: Answer) -> str | None:
    if type(answer) is not Orders:
        raise _refusal(answer)
    assert call.texts is not None
    if answer.orders:
        return results.order_json(answer.orders[0], call.texts, call.port.unit)
    gateway.start_task(call, _order_of_history(gateway, call, answer))
    return None


async def _order_of_history(gateway: "Gateway", call: Call, position: Orders) -> str:
    command = call.command
    assert type(command) is ReadAccount and call.texts is not None
    is_current = await _wait_for_history(gateway, position)
    order = await gateway.backend.cold.order(
        call.account_id, command.symbol, command.order_id, command.client_order_id
    )
    if order is None:
        # Not found in a history that lags says nothing about the order.
        raise RequestError(errors.NO_SUCH_ORDER if is_current else errors.DISCONNECTED)
    wanted = command.client_order_id
    if command.order_id and wanted and order.client_order_id != wanted:
        raise RequestError(error_of(RejectReason.ORDER_ID_MISMATCH, Family.QUERY))
    return results.order_json(order, call.texts, call.port.unit)


def _my_trades(gateway: "Gateway", call: Call, answer: Answer) -> None:
    if type(answer) is not Orders:
        raise _refusal(answer)
    gateway.start_task(call, _trades_of_history(gateway, call, answer))


async def _trades_of_history(gateway: "Gateway", call: Call, position: Orders) -> str:
    assert call.texts is not None
    if not await _wait_for_history(gateway, position):
        # A list without the newest trades looks complete: better none than one that misleads.
        raise RequestError(errors.DISCONNECTED)
    trades = await gateway.backend.cold.account_trades(
        call.account_id, call.texts.symbol, *_trades_query(call)
    )
    return results.my_trades(trades, call.texts, call.port.unit)


def _trades_query(call: Call) -> tuple[int, int, int, int, int]:
    """Return (order id, from id, start, end, limit) as ColdStore.account_trades takes them."""
    params = call.params
    from_id = requests.integer(params, "fromId")
    start = _time_ns(params, "startTime")
    end = _time_ns(params, "endTime")
    if start and end:
        if end < start:
            raise RequestError(errors.BAD_COMBINATION)
        if end - start > DAY_NS:
            raise RequestError(errors.MORE_THAN_24_HOURS)
    if from_id is not None and (start or end):
        raise RequestError(errors.BAD_COMBINATION)
    return (
        requests.integer(params, "orderId") or 0,
        -1 if from_id is None else from_id,
        start,
        end,
        requests.limit(params, TRADES_DEFAULT, TRADES_MAX),
    )


def _time_ns(params: requests.Params, name: str) -> int:
    value = requests.integer(params, name)
    if value is None:
        return 0
    nanoseconds = value * (1_000 if value >= 10**15 else 1_000_000)
    if nanoseconds > requests.INTEGER_MAX:
        raise errors.invalid(name)
    return nanoseconds


async def _wait_for_history(gateway: "Gateway", position: Orders) -> bool:
    """Wait until the cold store has what the account had; False: it lags too long."""
    backend = gateway.backend
    give_up_ns = backend.now_ns() + COLD_WAIT_NS
    while await backend.cold.watermark(position.shard) < position.seq:
        if backend.now_ns() >= give_up_ns:
            return False
        await asyncio.sleep(COLD_POLL_S)
    return True


def _refusal(answer: Answer) -> RequestError:
    if type(answer) is Refused:
        return RequestError(error_of(answer.reason, Family.QUERY))
    return RequestError(errors.UNEXPECTED_RESPONSE)
