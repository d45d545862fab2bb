"""Names of market streams and the control messages of stream connections."""

import re
from typing import Any, Final, NamedTuple

import msgspec

from exchange.protocol.requests import quoted

STREAMS_MAX: Final = 1024  # per connection
_is_name = re.compile(r"[a-z0-9\-_.]{1,20}@[A-Za-z0-9_@:+]{1,24}").fullmatch


class StreamName(NamedTuple):
    symbol: str  # upper case
    kind: str  # "trade", "depth@100ms", ...


class ControlError(Exception):
    """Answered as {"code", "msg"} with the id of the request, if it has one."""

    def __init__(self, code: int, message: str, request_id: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.request_id = code, message, request_id


class Control(msgspec.Struct):
    method: str
    params: list[Any]
    id: str  # JSON


class _ControlFrame(msgspec.Struct):
    method: Any = None
    params: Any = None
    id: int | str | None = None


UNKNOWN_PROPERTY, WRONG_VALUE, INVALID_REQUEST, INVALID_JSON = 0, 1, 2, 3
_METHODS = frozenset(
    {"SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"}
)
_decode = msgspec.json.Decoder(_ControlFrame).decode
_encode = msgspec.json.encode


def parse_stream(name: object) -> StreamName | None:
    """Return what a name means, or None if it is not of the form `symbol@kind`."""
    if type(name) is not str or _is_name(name) is None:
        return None
    symbol, _, kind = name.partition("@")
    return StreamName(symbol.upper(), kind)


def decode_control(frame: bytes) -> Control:
    """Return a control message.

    Raises:
        ControlError: with the dialect's code 2 or 3.
    """
    try:
        control = _decode(frame)
    except msgspec.ValidationError:
        raise ControlError(INVALID_REQUEST, "Invalid request: wrong type of field.") from None
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError):
        raise ControlError(INVALID_JSON, "Invalid JSON.") from None
    if type(control.id) is str and len(control.id) > 36:
        raise ControlError(INVALID_REQUEST, "Invalid request: id is too long.")
    request_id = _encode(control.id).decode()
    if type(control.method) is not str or control.method not in _METHODS:
        raise ControlError(INVALID_REQUEST, "Invalid request: unknown method.", request_id)
    params = control.params
    if params is None and control.method == "LIST_SUBSCRIPTIONS":
        params = []
    if type(params) is not list:
        raise ControlError(INVALID_REQUEST, "Invalid request: params must be a list.", request_id)
    if len(params) > STREAMS_MAX:
        raise ControlError(INVALID_REQUEST, "Invalid request: too many parameters.", request_id)
    return Control(control.method, params, request_id)


def control_result(request_id: str, result: str) -> str:
    return f'{{"result":{result},"id":{request_id}}}'


def control_error(error: ControlError) -> str:
    tail = f',"id":{error.request_id}' if error.request_id else ""
    return f'{{"code":{error.code},"msg":{quoted(error.message)}{tail}}}'
