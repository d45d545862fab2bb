"""A fast client of the public WebSocket API, for load, replays and the demo.

It uses nothing but what any trader has: an address, a key and its secret. Requests are written as
text by hand and many go out in one write, so that the load costs less than what it measures.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any

import msgspec
import picows
from nacl.signing import SigningKey

_ZERO_MASK = bytes(4)  # a client must mask; which key it takes is its own business (RFC 6455 5.3)
TRADABLE_TRIES = 100
TRADABLE_PAUSE_S = 0.1
_FRAME_BYTES_MAX = 16 * 1024 * 1024


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its owner has it. `secret`: HMAC the secret's text, Ed25519 the seed as hex."""

    key_id: str
    key_type: str  # "hmac" or "ed25519"
    secret: str


class ApiError(msgspec.Struct, frozen=True):
    """What the exchange says when it refuses."""

    code: int
    msg: str


class RequestRefusedError(Exception):
    """A request of `call` was answered with an error."""

    def __init__(self, method: str, error: ApiError) -> None:
        super().__init__(f"{method}: {error.code} {error.msg}")
        self.code = error.code


class ConnectionLostError(Exception):
    """The connection ended; what was on its way may or may not have been done."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A user event; fields that its kind does not have keep their defaults."""

    kind: str = msgspec.field(name="e")
    execution_type: str = msgspec.field(name="x", default="")
    order_status: str = msgspec.field(name="X", default="")
    order_id: int = msgspec.field(name="i", default=0)
    client_order_id: str = msgspec.field(name="c", default="")
    trade_id: int = msgspec.field(name="t", default=-1)
    side: str = msgspec.field(name="S", default="")
    symbol: str = msgspec.field(name="s", default="")
    is_maker: bool = msgspec.field(name="m", default=False)


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What came back: an answer (`id` is set) or a user event."""

    id: int | str | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw()
    error: ApiError | None = None
    event: Event | None = None


_decode_answer = msgspec.json.Decoder(Answer).decode
_encode_json = msgspec.json.Encoder().encode

OnAnswer = Callable[[Answer], None]
OnEvent = Callable[[Event], None]


class Signer:
    """Signs the payload of requests with one key."""

    def __init__(self, credentials: Credentials) -> None:
        self.key_id = credentials.key_id
        self._hmac: hmac.HMAC | None = None
        self._ed25519: SigningKey | None = None
        if credentials.key_type == "hmac":
            # Made once: a copy of a keyed hash costs a third of a new one.
            self._hmac = hmac.new(credentials.secret.encode(), digestmod=hashlib.sha256)
        elif credentials.key_type == "ed25519":
            self._ed25519 = SigningKey(bytes.fromhex(credentials.secret))
        else:
            raise ValueError(f"key_type must be hmac or ed25519, not {credentials.key_type!r}")

    def sign(self, payload: str) -> str:
        """Return the signature of `payload` as the API wants it: hex, or base64 for Ed25519."""
        if self._hmac is not None:
            mac = self._hmac.copy()
            mac.update(payload.encode())
            return mac.hexdigest()
        assert self._ed25519 is not None
        return base64.b64encode(self._ed25519.sign(payload.encode()).signature).decode()


class TradingConnection(picows.WSListener):
    """One WebSocket API connection. Open it with `connect`; every callback runs on the loop."""

    def __init__(
        self, signer: Signer, on_event: OnEvent | None = None, response_type: str = "FULL"
    ) -> None:
        self._signer = signer
        self._on_event = on_event
        self._response_type = response_type
        self._loop = asyncio.get_running_loop()
        self._transport: picows.WSTransport | None = None
        self._next_id = 1
        self._waiting: dict[int, OnAnswer] = {}  # bounded by what the caller has in flight
        self._out: list[bytes] = []
        self._is_flush_due = False
        self._is_logged_on = False
        self.closed: asyncio.Event = asyncio.Event()
        self.rejected_frames = 0  # answers without an id: frames the server could not read

    # -------------------------------------------------------------- requests

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self.closed.is_set()

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return len(self._waiting)

    async def call(self, method: str, *, signed: bool = True, **params: object) -> Any:
        """Send a request and return its result as JSON values.

        Raises:
            RequestRefusedError: answered with an error.
            ConnectionLostError: the connection ended before the answer.
        """
        answered: asyncio.Future[Answer] = self._loop.create_future()

        def on_answer(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)

        self.request(method, params, on_answer, signed=signed)
        answer = await answered
        if answer.status == 0:
            raise ConnectionLostError(f"the connection was lost before {method} was answered")
        if answer.error is not None:
            raise RequestRefusedError(method, answer.error)
        return msgspec.json.decode(answer.result)

    def request(
        self,
        method: str,
        params: dict[str, object],
        on_answer: OnAnswer,
        *,
        signed: bool = True,
    ) -> None:
        """Send a request; `on_answer` gets the answer, with status 0 if the connection ended."""
        if signed:
            params = self._with_signature(params)
        self._send(_encode_json(params), method, on_answer)

    def place_limit(
        self,
        symbol: str,
        side: str,
        price: str,
        quantity: str,
        client_order_id: str,
        on_answer: OnAnswer,
        time_in_force: str = "GTC",
    ) -> None:
        """Place a limit order. The client order id must be new: two orders that are the same to the
        millisecond would be one request sent twice."""
        now_ms = time.time_ns() // 1_000_000
        answers = self._response_type
        if self._is_logged_on:
            head = ""
        else:
            # The payload is the parameters in the order of their names.
            signature = self._signer.sign(
                f"apiKey={self._signer.key_id}&newClientOrderId={client_order_id}"
                f"&newOrderRespType={answers}&price={price}&quantity={quantity}&side={side}"
                f"&symbol={symbol}&timeInForce={time_in_force}&timestamp={now_ms}&type=LIMIT"
            )
            head = f'"apiKey":"{self._signer.key_id}","signature":"{signature}",'
        self._send(
            f'{{{head}"newClientOrderId":"{client_order_id}","newOrderRespType":"{answers}",'
            f'"price":"{price}","quantity":"{quantity}","side":"{side}","symbol":"{symbol}",'
            f'"timeInForce":"{time_in_force}","timestamp":{now_ms},"type":"LIMIT"}}'.encode(),
            "order.place",
            on_answer,
        )

    async def log_on(self) -> None:
        """Bind the connection to the key (Ed25519 only); later requests need no signature.

        Raises: as `call`.
        """
        await self.call("session.logon")
        self._is_logged_on = True

    async def subscribe(self) -> None:
        """Have user events delivered to `on_event` from now on. Raises: as `call`."""
        if self._is_logged_on:
            await self.call("userDataStream.subscribe", signed=False)
        else:
            await self.call("userDataStream.subscribe.signature")

    async def close(self) -> None:
        """Say goodbye and wait until the connection has ended."""
        if self._transport is not None:
            self._transport.send_close(picows.WSCloseCode.OK)
            self._transport.disconnect()
        await self.closed.wait()

    def _with_signature(self, params: dict[str, object]) -> dict[str, object]:
        full = {**params, "timestamp": time.time_ns() // 1_000_000}
        if self._is_logged_on:
            return full
        full["apiKey"] = self._signer.key_id
        payload = "&".join(f"{name}={_text(full[name])}" for name in sorted(full))
        return {**full, "signature": self._signer.sign(payload)}

    def _send(self, params: bytes, method: str, on_answer: OnAnswer) -> None:
        if self.closed.is_set():
            on_answer(Answer())
            return
        request_id = self._next_id
        self._next_id = request_id + 1
        self._waiting[request_id] = on_answer
        self._out.append(
            client_frame(
                b'{"id":%d,"method":"%b","params":%b}' % (request_id, method.encode(), params)
            )
        )
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write all requests of this turn of the loop at once."""
        self._is_flush_due = False
        if self._transport is not None and not self.closed.is_set():
            self._transport.underlying_transport.write(b"".join(self._out))
        self._out.clear()

    # -------------------------------------------------------------- picows callbacks

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            answer = _decode_answer(frame.get_payload_as_memoryview())
            event = answer.event
            if event is not None:
                if self._on_event is not None:
                    self._on_event(event)
            elif type(answer.id) is int:
                on_answer = self._waiting.pop(answer.id, None)
                if on_answer is not None:
                    on_answer(answer)
            else:
                self.rejected_frames += 1
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.closed.set()
        waiting, self._waiting = self._waiting, {}
        for on_answer in waiting.values():
            on_answer(Answer())


async def connect(
    url: str,
    credentials: Credentials,
    on_event: OnEvent | None = None,
    *,
    response_type: str = "FULL",
    log_on: bool = False,
) -> TradingConnection:
    """Open a connection to the WebSocket API at `url` (ws://HOST:PORT); `log_on` needs Ed25519.

    Raises:
        ConnectionLostError: nobody there, or the handshake was refused.
        RequestRefusedError: the logon was refused.
    """
    signer = Signer(credentials)
    try:
        _, listener = await picows.ws_connect(
            lambda: TradingConnection(signer, on_event, response_type),
            f"{url}/ws-api/v3?returnRateLimits=false",
            max_frame_size=_FRAME_BYTES_MAX,
        )
    except (OSError, picows.WSError, TimeoutError) as error:
        raise ConnectionLostError(f"{url}: {error}") from error
    assert isinstance(listener, TradingConnection)
    if log_on:
        await listener.log_on()
    return listener


async def wait_until_tradable(
    connection: TradingConnection, symbol: str, price: str, quantity: str
) -> None:
    """Return when the connection's key can trade in the market: what was just created reaches the
    gateway, the accounts and the market within a second or so.

    Tried with an order to buy at `price`, at once or not at all: choose one that nobody sells at.

    Raises:
        RequestRefusedError: it still cannot after TRADABLE_TRIES.
        ConnectionLostError: as `TradingConnection.call`.
    """
    for tries_left in reversed(range(TRADABLE_TRIES)):
        try:
            await connection.call(
                "order.place",
                symbol=symbol,
                side="BUY",
                type="LIMIT",
                timeInForce="IOC",
                price=price,
                quantity=quantity,
            )
        except RequestRefusedError:
            if not tries_left:
                raise
            await asyncio.sleep(TRADABLE_PAUSE_S)
        else:
            return


def client_frame(payload: bytes) -> bytes:
    """Return `payload` as one masked text frame (RFC 6455 5.2), below 64 KiB."""
    length = len(payload)
    if length < 126:
        return b"\x81" + bytes((0x80 | length,)) + _ZERO_MASK + payload
    assert length < 65_536
    return b"\x81\xfe" + length.to_bytes(2, "big") + _ZERO_MASK + payload


def _text(value: object) -> str:
    """Return a parameter as its JSON token reads, without quotes: what the signature covers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return _encode_json(value).decode()
    return str(value)
