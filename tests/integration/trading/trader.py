"""A trader as the outside world is: a WebSocket, a key, JSON. It checks what every answer has."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.client import Credentials, Signer
from tests.integration.trading.live_node import INSTRUMENT, TIMEOUT_S

SYMBOL = INSTRUMENT.symbol

Json = dict[str, Any]
Refusal = tuple[int, int, str]  # status, code, message


class LostError(Exception):
    """The connection ended before the answer."""


class Trader:
    """One connection of one key. `events` are its user events in the order they came."""

    def __init__(self, socket: ClientConnection, credentials: Credentials) -> None:
        self._socket = socket
        self.key_id = credentials.key_id
        self._signer = Signer(credentials)
        self._numbers = itertools.count(1)
        self._waiting: dict[int | None, asyncio.Future[Json]] = {}
        self.events: list[Json] = []
        self._arrived = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    # ---------------------------------------------------------------- requests

    def signed(self, **params: Any) -> Json:
        """Return `params` with key, time and signature."""
        return signed(self._signer, params)

    async def response(self, method: str, params: Json) -> Json:
        """Send a request as it is and return the whole response. Raises LostError."""
        number = next(self._numbers)
        return await self.exchange(
            json.dumps({"id": number, "method": method, "params": params}), number
        )

    async def exchange(self, frame: str, number: int | None) -> Json:
        """Send a frame and return the response that has this id. Raises LostError."""
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            self._waiting.pop(number, None)
            future.cancel()  # the reader may have told it already
            raise LostError from None
        try:
            return await asyncio.wait_for(future, TIMEOUT_S)
        except TimeoutError:
            raise AssertionError(f"waited in vain: an answer to {frame}") from None

    async def plain(self, method: str, **params: Any) -> Any:
        """Return the result of a request that needs no signature."""
        return result_of(await self.response(method, params))

    async def call(self, method: str, **params: Any) -> Any:
        """Return the result of a signed request."""
        return result_of(await self.response(method, self.signed(**params)))

    async def refusal(self, method: str, **params: Any) -> Refusal:
        """Return status, code and message of a signed request that must be refused."""
        return refusal_of(await self.response(method, self.signed(**params)))

    async def place(self, side: str, price: str, quantity: str, **params: Any) -> Any:
        """Place a LIMIT GTC order, or what `params` make of it; None leaves a parameter out."""
        return await self.call("order.place", **limit_order(side, price, quantity, **params))

    async def free_and_locked(self, asset: str) -> tuple[str, str]:
        account = await self.call("account.status")
        return balances_of(account).get(asset, ("0.00000000", "0.00000000"))

    # ---------------------------------------------------------------- user events

    async def event(self, matches: Callable[[Json], bool], what: str) -> Json:
        """Return the first event that matches, waiting for it."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for event in self.events:
                    if matches(event):
                        return event
                self._arrived.clear()
                try:
                    await self._arrived.wait()
                except asyncio.CancelledError:
                    raise AssertionError(f"waited in vain: {what}: {self.events}") from None

    async def report(self, order_id: int, execution: str, status: str) -> Json:
        """Return the executionReport of an order."""
        return await self.event(
            lambda event: (
                (event["e"], event.get("i"), event.get("x"), event.get("X"))
                == ("executionReport", order_id, execution, status)
            ),
            f"{execution} {status} of {order_id}",
        )

    @property
    def is_open(self) -> bool:
        return not self._reader.done()

    async def close(self) -> None:
        await self._socket.close()
        await self._reader

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = json.loads(await self._socket.recv())
                if "event" in message:
                    self.events.append(message["event"])
                    self._arrived.set()
                    continue
                future = self._waiting.pop(message["id"], None)
                if future is not None and not future.done():
                    future.set_result(message)
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(LostError())


@contextlib.asynccontextmanager
async def trading(url: str, credentials: Credentials) -> AsyncIterator[Trader]:
    """Connect; the connection ends with the block."""
    async with connect(f"{url}/ws-api/v3?returnRateLimits=false", ping_interval=None) as socket:
        trader = Trader(socket, credentials)
        try:
            yield trader
        finally:
            await trader.close()


class Streams:
    """A connection to market streams; `messages` are all that came."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.messages: list[Json] = []

    async def control(self, method: str, params: list[Any], number: int) -> Json:
        """Send a control message and return its answer."""
        await self._socket.send(json.dumps({"method": method, "params": params, "id": number}))
        return await self.next(lambda message: message.get("id") == number, f"answer to {method}")

    async def next(self, matches: Callable[[Json], bool], what: str) -> Json:
        """Return the next message that matches, keeping those before it."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while True:
                    message: Json = json.loads(await self._socket.recv())
                    self.messages.append(message)
                    if matches(message):
                        return message
        except TimeoutError:
            raise AssertionError(f"waited in vain: {what}: {self.messages}") from None


@contextlib.asynccontextmanager
async def streaming(url: str, path: str) -> AsyncIterator[Streams]:
    async with connect(url + path, ping_interval=None) as socket:
        yield Streams(socket)


def signed(signer: Signer, params: Json) -> Json:
    """Return `params` with key, time and signature."""
    full = {"apiKey": signer.key_id, "timestamp": now_ms(), **params}
    payload = "&".join(f"{name}={_text(full[name])}" for name in sorted(full))
    return {**full, "signature": signer.sign(payload)}


def limit_order(side: str, price: str, quantity: str, **params: Any) -> Json:
    order = {
        "symbol": SYMBOL,
        "side": side,
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": price,
        "quantity": quantity,
        **params,
    }
    return {name: value for name, value in order.items() if value is not None}


def result_of(response: Json) -> Any:
    assert response["status"] == 200, response
    assert "error" not in response
    return response["result"]


def refusal_of(response: Json) -> Refusal:
    assert response["status"] != 200, response
    assert "result" not in response
    return response["status"], response["error"]["code"], response["error"]["msg"]


def balances_of(account: Json) -> dict[str, tuple[str, str]]:
    """Return (free, locked) by asset."""
    return {row["asset"]: (row["free"], row["locked"]) for row in account["balances"]}


def _text(value: Any) -> str:
    """Return a parameter as it reads in the frame, without quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def tradable(trader: Trader, symbol: str = SYMBOL) -> None:
    """Return when what was just created has reached gateway, account and market."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        # At once or not at all, at a price that nobody sells at.
        order = limit_order("BUY", "0.01", "500", timeInForce="IOC", symbol=symbol)
        response = await trader.response("order.place", trader.signed(**order))
        if response["status"] == 200:
            return
        assert time.monotonic() < deadline, f"waited in vain: tradable: {response}"
        await asyncio.sleep(0.05)


async def following(trader: Trader) -> None:
    """Return when the gateway, just started, knows the market's book; until then it says so."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        response = await trader.response("depth", {"symbol": SYMBOL})
        if response["status"] == 200:
            return
        assert refusal_of(response)[:2] == (503, -1001)
        assert time.monotonic() < deadline, f"waited in vain: the book: {response}"
        await asyncio.sleep(0.02)
