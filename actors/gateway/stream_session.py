"""A connection to market streams: subscriptions and the few control messages it may send."""

from typing import TYPE_CHECKING, Final

import msgspec

from actors.gateway.connection import CLOSE_INTERNAL, CLOSE_POLICY, Connection
from exchange.protocol.errors import RequestError
from exchange.protocol.requests import boolean
from exchange.protocol.streams import (
    INVALID_REQUEST,
    UNKNOWN_PROPERTY,
    WRONG_VALUE,
    Control,
    ControlError,
    StreamName,
    control_error,
    control_result,
    decode_control,
    parse_stream,
)
from supervision.process import Behaviour
from supervision.reason import ExitReason

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway

SECOND_NS: Final = 1_000_000_000


class StreamSession(Behaviour):
    """One connection to /ws or /stream. Names of streams that are not there yet are kept: they
    begin when their market does."""

    def __init__(
        self,
        gateway: "Gateway",
        connection: Connection,
        *,
        unit: int,
        is_combined: bool,
        requests_per_s_max: int,
        streams_max: int,
    ) -> None:
        self.gateway = gateway
        self.connection = connection
        self.unit = unit
        self.is_combined = is_combined
        self.streams: dict[str, StreamName | None] = {}
        self._requests_per_s_max = requests_per_s_max
        self._streams_max = streams_max
        self._second = 0
        self._requests = 0

    def handle(self, message: object) -> None:
        assert type(message) is bytes
        if self.counts_too_many(1):
            return
        try:
            control = decode_control(message)
            text = control_result(control.id, self._obey(control))
        except ControlError as error:
            text = control_error(error)
        self.connection.send_text(text)

    def terminate(self, reason: ExitReason) -> None:
        self.connection.close(CLOSE_INTERNAL, "internal error")

    def counts_too_many(self, count: int) -> bool:
        """Count incoming messages (pings and pongs too); above the rate the connection closes."""
        second = self.gateway.now_ns() // SECOND_NS
        if second != self._second:
            self._second = second
            self._requests = 0
        self._requests += count
        if self._requests <= self._requests_per_s_max:
            return False
        self.connection.close(CLOSE_POLICY, "too many requests")
        return True

    def subscribe(self, name: str) -> None:
        """Join a stream; again is no change. Raises ControlError for what is no stream name."""
        if name in self.streams:
            return
        stream = parse_stream(name)
        if stream is None and not name.startswith("!"):
            raise ControlError(INVALID_REQUEST, "Invalid request: invalid stream name.")
        if len(self.streams) >= self._streams_max:
            raise ControlError(INVALID_REQUEST, "Invalid request: too many streams.")
        self.streams[name] = stream
        if stream is not None:
            self.gateway.market_data.subscribe(stream, self)

    def leave_all(self) -> None:
        for stream in self.streams.values():
            if stream is not None:
                self.gateway.market_data.unsubscribe(stream, self)
        self.streams.clear()

    def _obey(self, control: Control) -> str:
        try:
            return _CONTROLS[control.method](self, control)
        except ControlError as error:
            raise ControlError(error.code, error.message, control.id) from None

    def _subscribe(self, control: Control) -> str:
        names = _names(control)
        for name in names:
            self.subscribe(name)
        return "null"

    def _unsubscribe(self, control: Control) -> str:
        for name in _names(control):
            stream = self.streams.pop(name, None)
            if stream is not None:
                self.gateway.market_data.unsubscribe(stream, self)
        return "null"

    def _list(self, _: Control) -> str:
        return msgspec.json.encode(list(self.streams)).decode()

    def _set_property(self, control: Control) -> str:
        if len(control.params) != 2:
            raise ControlError(INVALID_REQUEST, "Invalid request: a name and a value are needed.")
        name, value = control.params
        if name != "combined":
            raise ControlError(UNKNOWN_PROPERTY, "Unknown property.")
        try:
            is_combined = boolean({"value": value}, "value")
        except RequestError:
            is_combined = None
        if is_combined is None:
            raise ControlError(WRONG_VALUE, "Invalid value type: expected Boolean.")
        self.is_combined = is_combined
        return "null"

    def _get_property(self, control: Control) -> str:
        if len(control.params) != 1:
            raise ControlError(INVALID_REQUEST, "Invalid request: one name is needed.")
        if control.params[0] != "combined":
            raise ControlError(UNKNOWN_PROPERTY, "Unknown property.")
        return "true" if self.is_combined else "false"


def _names(control: Control) -> list[str]:
    """Return the names; all are checked before any of them takes effect."""
    for name in control.params:
        if type(name) is not str:
            raise ControlError(INVALID_REQUEST, "Invalid request: names must be text.")
        if parse_stream(name) is None and not name.startswith("!"):
            raise ControlError(INVALID_REQUEST, "Invalid request: invalid stream name.")
    return control.params


_CONTROLS: Final = {
    "SUBSCRIBE": StreamSession._subscribe,
    "UNSUBSCRIBE": StreamSession._unsubscribe,
    "LIST_SUBSCRIPTIONS": StreamSession._list,
    "SET_PROPERTY": StreamSession._set_property,
    "GET_PROPERTY": StreamSession._get_property,
}
