"""Sockets of the gateway: paths, handshakes, frames, pings, limits. Knows no trading.

Runs on the host's loop. All frames of one turn of the loop become one batch: `Gateway.run` is
scheduled once, and each connection is written to once.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from actors.gateway.channels import unit_of
from actors.gateway.connection import (
    CLOSE_GOING_AWAY,
    CLOSE_POLICY,
    CLOSE_PROTOCOL,
    CLOSE_TOO_BIG,
    CLOSE_UNSUPPORTED,
    close_frame,
)
from actors.gateway.gateway import Gateway
from actors.gateway.session import ApiSession
from actors.gateway.stream_session import StreamSession
from exchange.protocol import errors, user_events
from exchange.protocol.errors import DialectError
from exchange.protocol.requests import error_json
from exchange.protocol.streams import ControlError, parse_stream

TICK_S: Final = 0.02  # depth events are due every 100 ms
LIVENESS_S: Final = 0.5  # how often pings, pongs and ages are looked at
CLOSE_TIMEOUT_S: Final = 2.0  # then a closed connection is cut
HANDSHAKE_TIMEOUT_S: Final = 5.0
PATH_LENGTH_MAX: Final = 16_384
CONNECTIONS_WINDOW_S: Final = 300.0
ADDRESSES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Route:
    """What a path and its query ask for."""

    is_api: bool
    is_combined: bool
    streams: tuple[str, ...]
    unit: int
    returns_limits: bool


def parse_route(path: str) -> Route | DialectError | None:
    """Return where a handshake goes; None: no such path.

    Odd tails and unknown query parameters never fail: clients append `/0` or `?v=/stream`.
    """
    path, _, query = path.partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    unit = unit_of(pairs.get("timeUnit"))
    if unit is None:
        return errors.BAD_TIME_UNIT
    parts = [unquote(part) for part in path.split("/") if part]
    if parts[:2] == ["ws-api", "v3"]:
        returns_limits = pairs.get("returnRateLimits") != "false"
        return Route(True, False, (), unit, returns_limits)
    if parts[:2] == ["stream", "ws"]:
        parts = parts[1:]
    if parts[:1] == ["ws"]:
        return Route(False, False, _stream_names(parts[1:]), unit, True)
    if parts[:1] == ["stream"]:
        names = pairs.get("streams", "").split("/")
        return Route(False, True, _stream_names(names), unit, True)
    return None


def _stream_names(parts: list[str]) -> tuple[str, ...]:
    return tuple([part for part in parts if parse_stream(part) or part.startswith("!")])


class GatewayServer:
    """Listens, accepts within limits, and drives the gateway."""

    def __init__(
        self,
        gateway: Gateway,
        host: str,
        port: int,
        *,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        """`port` 0: any free one. A client that has not asked for an upgrade after
        `handshake_timeout_s` is cut off."""
        self._handshake_timeout_s = handshake_timeout_s
        self._gateway = gateway
        self._settings = gateway.settings
        self._host, self._port = host, port
        # Kept for ever: uvloop closes a server that is garbage-collected.
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._is_scheduled = False
        self._listeners: dict[Listener, None] = {}
        self._arrivals: dict[str, int] = {}  # connections by address in this window
        self._window = 0
        gateway.wake = self.schedule

    @property
    def port(self) -> int:
        """The port listened on, also when 0 was asked for."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        return len(self._listeners)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = await ws_create_server(
            self._accept,
            self._host,
            self._port,
            websocket_handshake_timeout=self._handshake_timeout_s,
            max_frame_size=self._settings.frame_bytes_max,
            read_buffer_init_size=4_096,
            enable_auto_ping=False,
            enable_auto_pong=True,
            use_aiofastnet=False,
        )
        self._ticker = self._loop.create_task(self._tick())

    async def stop(self) -> None:
        """Say goodbye to every client and close."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for listener in list(self._listeners):
            listener.say_goodbye()
        await self._gateway.close()
        if self._server is not None:
            await self._server.wait_closed()

    def schedule(self) -> None:
        """Run the gateway once in this turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def opened(self, listener: "Listener") -> None:
        self._listeners[listener] = None

    def closed(self, listener: "Listener") -> None:
        self._listeners.pop(listener, None)

    def _run(self) -> None:
        self._is_scheduled = False
        self._gateway.run()

    async def _tick(self) -> None:
        gateway = self._gateway
        checked_at = self._loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = gateway.now_ns()
            gateway.on_tick(now_ns)
            if self._loop.time() - checked_at >= LIVENESS_S:
                checked_at = self._loop.time()
                for listener in list(self._listeners):
                    listener.on_tick(now_ns)
            gateway.run()

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        path = request.path.decode("ascii", "replace")
        if len(path) > PATH_LENGTH_MAX:
            return _refusal(414, errors.illegal("path", "").error)
        route = parse_route(path)
        if route is None:
            return _refusal(404, errors.UNKNOWN_METHOD)
        if isinstance(route, DialectError):
            return _refusal(400, route)
        if len(self._listeners) >= self._settings.connections_max:
            return _refusal(503, errors.TOO_MANY_CONNECTIONS)
        return WSUpgradeResponseWithListener(
            WSUpgradeResponse.create_101_response(), Listener(self, self._gateway, route)
        )

    def may_connect(self, address: str) -> bool:
        """Count a new connection of an address against its allowance of five minutes."""
        window = int(self._loop.time() // CONNECTIONS_WINDOW_S)
        if window != self._window or len(self._arrivals) > ADDRESSES_MAX:
            self._window = window
            self._arrivals.clear()
        count = self._arrivals[address] = self._arrivals.get(address, 0) + 1
        return count <= self._settings.connections_per_5_min_max


def _refusal(status: int, error: DialectError) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_error_response(
        status, error_json(error).encode(), {"Content-Type": "application/json"}
    )
    return WSUpgradeResponseWithListener(response, None)


class Listener(WSListener):
    """One connection: frames in, its session's mailbox behind."""

    def __init__(self, server: GatewayServer, gateway: Gateway, route: Route) -> None:
        super().__init__()
        self._server = server
        self._gateway = gateway
        self._settings = gateway.settings
        self._route = route
        self._session: ApiSession | StreamSession | None = None
        self._transport: WSTransport | None = None
        self._fragments: list[bytes] = []
        self._fragment_bytes = 0
        self._opened_at_ns = 0
        self._ping_due_ns = 0
        self._ping_number = 0
        self._pong_until_ns = 0  # 0: no ping is unanswered

    # ------------------------------------------------------------------ picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        gateway, route = self._gateway, self._route
        peer = transport.underlying_transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if not self._server.may_connect(address):
            SocketWire(transport).close(CLOSE_POLICY, "too many connections")
            return
        self._server.opened(self)
        self._opened_at_ns = gateway.now_ns()
        self._ping_due_ns = self._opened_at_ns + self._settings.ping_every_ms * 1_000_000
        if route.is_api:
            self._session = gateway.open_api_session(
                SocketWire(transport), address, route.unit, route.returns_limits
            )
            return
        session = gateway.open_stream_session(SocketWire(transport), route.unit, route.is_combined)
        self._session = session
        try:
            for name in route.streams:
                session.subscribe(name)
        except ControlError:
            session.connection.close(CLOSE_POLICY, "too many streams")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        session = self._session
        if session is None or session.connection.is_closed:
            return
        kind = frame.msg_type
        if frame.rsv1:
            session.connection.close(CLOSE_PROTOCOL, "no extension was agreed")
            return
        if kind is WSMsgType.TEXT and frame.fin and not self._fragments:
            payload = frame.get_payload_as_bytes()
        elif kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            whole = self._whole(kind, frame)
            if whole is None:
                return
            payload = whole
        elif kind is WSMsgType.PING or kind is WSMsgType.PONG:
            self._on_ping_or_pong(session, kind, frame)
            return
        elif kind is WSMsgType.CLOSE:
            session.connection.close(int(frame.get_close_code().value) or 1000, "")
            return
        else:
            session.connection.close(CLOSE_UNSUPPORTED, "text frames only")
            return
        self._gateway.send_to(session, payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._server.closed(self)
        if self._session is not None:
            self._gateway.close_session(self._session)

    # ------------------------------------------------------------------ ours

    def on_tick(self, now_ns: int) -> None:
        """Ping, see that pongs come, end what is too old."""
        session, transport = self._session, self._transport
        if session is None or transport is None or session.connection.is_closed:
            return
        if self._pong_until_ns and now_ns >= self._pong_until_ns:
            session.connection.close(CLOSE_POLICY, "pong timeout")
            return
        if now_ns >= self._ping_due_ns:
            self._ping_due_ns = now_ns + self._settings.ping_every_ms * 1_000_000
            if not self._pong_until_ns:
                self._ping_number += 1
                self._pong_until_ns = now_ns + self._settings.pong_timeout_ms * 1_000_000
            transport.send_ping(self._ping_payload())
        if now_ns - self._opened_at_ns >= self._settings.connection_age_ms_max * 1_000_000:
            self.say_goodbye()

    def say_goodbye(self) -> None:
        session = self._session
        if session is None:
            return
        event = user_events.server_shutdown(self._gateway.now_ns(), session.unit)
        if isinstance(session, ApiSession):
            event = f'{{"event":{event}}}'
        elif session.is_combined:
            event = f'{{"stream":"!serverShutdown","data":{event}}}'
        session.connection.send_text(event)
        session.connection.finish(CLOSE_GOING_AWAY, "server shutdown")

    def _ping_payload(self) -> bytes:
        return str(self._ping_number).encode()

    def _on_ping_or_pong(
        self, session: ApiSession | StreamSession, kind: WSMsgType, frame: WSFrame
    ) -> None:
        if kind is WSMsgType.PONG and frame.get_payload_as_bytes() == self._ping_payload():
            self._pong_until_ns = 0
            return
        if isinstance(session, StreamSession):
            session.counts_too_many(1)

    def _whole(self, kind: WSMsgType, frame: WSFrame) -> bytes | None:
        """Collect the fragments of a message; None while it is not complete."""
        assert self._session is not None
        is_first = kind is WSMsgType.TEXT
        if is_first == bool(self._fragments):
            self._session.connection.close(CLOSE_PROTOCOL, "fragments out of order")
            return None
        self._fragments.append(frame.get_payload_as_bytes())
        # One byte more for each, so that empty fragments do not go on for ever either.
        self._fragment_bytes += len(self._fragments[-1]) + 1
        if self._fragment_bytes > self._settings.frame_bytes_max:
            self._session.connection.close(CLOSE_TOO_BIG, "message too big")
            return None
        if not frame.fin:
            return None
        payload = b"".join(self._fragments)
        self._fragments, self._fragment_bytes = [], 0
        return payload


class SocketWire:
    """Wire over a picows transport: frames have their headers already."""

    __slots__ = ("_raw", "waiting_bytes", "write")

    def __init__(self, transport: WSTransport) -> None:
        self._raw = transport.underlying_transport
        self.waiting_bytes = self._raw.get_write_buffer_size
        self.write = self._raw.write

    def close(self, code: int, reason: str) -> None:
        """Send a close frame behind what was written; who does not take it is cut off."""
        if self._raw.is_closing():
            return
        # Written below picows, as all frames are: what picows writes itself may overtake.
        self._raw.write(close_frame(code, reason))
        self._raw.close()
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._raw.abort)
