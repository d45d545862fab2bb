"""Frames of the WebSocket API: strict JSON in, envelopes out, and the values of parameters.

Decoding gives parameters as a dict whose numbers with a point are still the text of the frame, so
that signatures cover what was sent and no amount passes through a float.
"""

import re
from typing import Any, Final

import msgspec

from exchange.protocol import errors
from exchange.protocol.decimals import (
    DECIMAL_PATTERN,
    INTEGER_END,
    MalformedDecimalError,
    PreciseDecimalError,
    parse_amount,
)
from exchange.protocol.errors import DialectError, RequestError

Params = dict[str, Any]

ID_LENGTH_MAX: Final = 36
INTEGER_MAX: Final = 2**63 - 1
SYMBOL_PATTERN: Final = "^[A-Z0-9\\-_.]{1,20}$"
CLIENT_ORDER_ID_PATTERN: Final = "^[a-zA-Z0-9\\-_]{1,36}$"
INTEGER_PATTERN: Final = "^[0-9]{1,20}$"

is_symbol = re.compile(r"[A-Z0-9\-_.]{1,20}").fullmatch
is_client_order_id = re.compile(r"[a-zA-Z0-9\-_]{1,36}").fullmatch
_is_digits = re.compile(r"[0-9]{1,20}").fullmatch
_is_plain_id = re.compile(r'"[ !#-\[\]-~]{0,36}"|-?[0-9]{1,18}|null').fullmatch


class MalformedRequestError(RequestError):
    """The frame is not a request; `request_id` is what could still be read of its id."""

    def __init__(self, error: DialectError, request_id: str) -> None:
        super().__init__(error)
        self.request_id = request_id


class Envelope(msgspec.Struct, gc=False):
    method: str | None = None
    id: msgspec.Raw = msgspec.Raw(b"null")
    params: Params | None = None


class _EnvelopeId(msgspec.Struct, gc=False):
    id: msgspec.Raw = msgspec.Raw(b"null")


class Request(msgspec.Struct, gc=False):
    id: str  # the JSON of the id, echoed unchanged
    method: str
    params: Params


_decode_envelope = msgspec.json.Decoder(Envelope, float_hook=str).decode
_decode_envelope_id = msgspec.json.Decoder(_EnvelopeId).decode
_decode_any = msgspec.json.Decoder().decode
_BROKEN = (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError)


def decode_request(frame: bytes) -> Request:
    """Return the request in a frame; its parameters are not looked at yet.

    Raises:
        MalformedRequestError: not strict JSON, or not a request.
    """
    try:
        envelope = _decode_envelope(frame)
        id_text = str(envelope.id, "utf-8")
    except _BROKEN:
        raise MalformedRequestError(errors.BAD_JSON, _salvaged_id(frame)) from None
    if _is_plain_id(id_text) is None and not _is_id(id_text):
        raise MalformedRequestError(errors.illegal("id", "^.{0,36}$").error, "null")
    method = envelope.method
    if not method:
        raise MalformedRequestError(errors.missing("method").error, id_text)
    params = envelope.params
    return Request(id_text, method.removeprefix("v3/"), {} if params is None else params)


def _is_id(text: str) -> bool:
    try:
        value = _decode_any(text)
    except _BROKEN:
        return False
    if type(value) is str:
        return len(value) <= ID_LENGTH_MAX
    return type(value) is int or value is None


def _salvaged_id(frame: bytes) -> str:
    try:
        text = str(_decode_envelope_id(frame).id, "utf-8")
    except _BROKEN:
        return "null"
    return text if _is_id(text) else "null"


def success(request_id: str, result: str, limits: str) -> str:
    """Return the envelope of a result; `limits` is ',"rateLimits":[...]' or nothing."""
    return f'{{"id":{request_id},"status":200,"result":{result}{limits}}}'


def failure(request_id: str, error: DialectError, limits: str, data: str = "") -> str:
    """Return the envelope of a refusal; `data` is JSON or nothing."""
    body = error_json(error, data)
    return f'{{"id":{request_id},"status":{error.status},"error":{body}{limits}}}'


def error_json(error: DialectError, data: str = "") -> str:
    tail = f',"data":{data}' if data else ""
    return f'{{"code":{error.code},"msg":{quoted(error.message)}{tail}}}'


def quoted(text: str) -> str:
    """Return `text` as a JSON string."""
    return msgspec.json.encode(text).decode()


# ------------------------------------------------------------------ values of parameters


def text(params: Params, name: str) -> str | None:
    """Return a text parameter, or None if it was not sent or null. Numbers count as their text."""
    value = params.get(name)
    if type(value) is str:
        if not value:
            raise errors.empty(name)
        return value
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    raise errors.illegal(name, "text")


def required_text(params: Params, name: str) -> str:
    value = params.get(name)
    if type(value) is str and value:
        return value
    if type(value) is int:
        return str(value)
    raise errors.missing(name)


def amount(params: Params, name: str) -> int | None:
    """Return a decimal in 10**-8, or None if it was not sent."""
    value = params.get(name)
    if type(value) is str:
        try:
            return parse_amount(value)
        except MalformedDecimalError:
            raise errors.illegal(name, DECIMAL_PATTERN) from None
        except PreciseDecimalError:
            raise errors.too_precise(name) from None
    if value is None:
        return None
    if type(value) is int and 0 <= value < INTEGER_END:
        return parse_amount(str(value))
    raise errors.illegal(name, DECIMAL_PATTERN)


def integer(params: Params, name: str) -> int | None:
    """Return a whole number of at most 63 bits, or None if it was not sent."""
    value = params.get(name)
    if type(value) is str and _is_digits(value) is not None:
        value = int(value)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise errors.illegal(name, INTEGER_PATTERN)
    if value > INTEGER_MAX:
        raise errors.invalid(name)
    return value


def boolean(params: Params, name: str) -> bool | None:
    value = params.get(name)
    if value is None or type(value) is bool:
        return value
    if value == "true":
        return True
    if value == "false":
        return False
    raise errors.illegal(name, "true|false")


def symbol(params: Params) -> str:
    value = required_text(params, "symbol")
    if is_symbol(value) is None:
        raise errors.illegal("symbol", SYMBOL_PATTERN)
    return value


def client_order_id(params: Params, name: str) -> str:
    """Return a client order id, or "" if it was not sent."""
    value = params.get(name)
    if value is None:
        return ""
    if type(value) is int:
        value = str(value)
    if type(value) is not str or is_client_order_id(value) is None:
        raise errors.illegal(name, CLIENT_ORDER_ID_PATTERN)
    return value


def limit(params: Params, default: int, maximum: int) -> int:
    """Return `limit`; above the maximum it is the maximum, zero is refused."""
    value = integer(params, "limit")
    if value is None:
        return default
    if value == 0:
        raise errors.invalid("limit")
    return min(value, maximum)
