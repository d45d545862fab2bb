"""The load client against a server that checks every frame as an exchange would."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import websockets
from nacl.signing import SigningKey

from benchmarks.client import (
    Answer,
    ConnectionLostError,
    Credentials,
    Event,
    RequestRefusedError,
    client_frame,
    connect,
    wait_until_tradable,
)

SEED = bytes(range(32))
HMAC_KEY = Credentials(key_id="K" * 16, key_type="hmac", secret="s3cret")
ED25519_KEY = Credentials(key_id="E" * 16, key_type="ed25519", secret=SEED.hex())

Respond = Callable[[dict[str, Any]], list[dict[str, Any]]]


@asynccontextmanager
async def server(respond: Respond) -> AsyncIterator[str]:
    """Serve `respond` with an independent WebSocket library; it may close by answering `close`."""

    async def handle(connection: websockets.ServerConnection) -> None:
        async for text in connection:
            for answer in respond(msgspec.json.decode(text)):
                if "close" in answer:
                    await connection.close(answer["close"])
                    return
                await connection.send(msgspec.json.encode(answer).decode())

    async with websockets.serve(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def payload_of(request: dict[str, Any]) -> bytes:
    params = {name: value for name, value in request["params"].items() if name != "signature"}
    return "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()


def check_signature(request: dict[str, Any]) -> list[dict[str, Any]]:
    params = request["params"]
    if params["apiKey"] == HMAC_KEY.key_id:
        expected = hmac.new(b"s3cret", payload_of(request), hashlib.sha256).hexdigest()
        assert params["signature"] == expected
    else:
        signature = base64.b64decode(params["signature"])
        SigningKey(SEED).verify_key.verify(payload_of(request), signature)
    return [{"id": request["id"], "status": 200, "result": {"orderId": 7}}]


@pytest.mark.parametrize("key", [HMAC_KEY, ED25519_KEY])
async def test_orders_and_calls_carry_a_valid_signature(key: Credentials) -> None:
    answers: asyncio.Queue[Answer] = asyncio.Queue()
    async with server(check_signature) as url:
        connection = await connect(url, key)
        connection.place_limit("BTCUSDT", "BUY", "100.10", "0.5", "c-1", answers.put_nowait)
        assert msgspec.json.decode((await answers.get()).result) == {"orderId": 7}
        assert await connection.call("order.cancel", symbol="BTCUSDT", orderId=7) == {"orderId": 7}
        await connection.close()


async def test_after_logon_requests_are_unsigned_but_carry_a_timestamp() -> None:
    seen: list[dict[str, Any]] = []

    def respond(request: dict[str, Any]) -> list[dict[str, Any]]:
        seen.append(request)
        return [{"id": request["id"], "status": 200, "result": {}}]

    async with server(respond) as url:
        connection = await connect(url, ED25519_KEY, log_on=True)
        await connection.subscribe()
        await connection.call("account.status")
        done = asyncio.Event()
        connection.place_limit("BTCUSDT", "SELL", "1.00", "2", "c-2", lambda _: done.set())
        await done.wait()
        await connection.close()
    assert [request["method"] for request in seen] == [
        "session.logon",
        "userDataStream.subscribe",
        "account.status",
        "order.place",
    ]
    assert "signature" in seen[0]["params"]
    for request in seen[2:]:
        assert "signature" not in request["params"]
        assert "apiKey" not in request["params"]
        assert request["params"]["timestamp"] > 0


async def test_a_refusal_raises_with_its_code() -> None:
    def refuse(request: dict[str, Any]) -> list[dict[str, Any]]:
        error = {"code": -2010, "msg": "Duplicate order sent."}
        return [{"id": request["id"], "status": 400, "error": error}]

    async with server(refuse) as url:
        connection = await connect(url, HMAC_KEY)
        with pytest.raises(RequestRefusedError, match="Duplicate order sent") as caught:
            await connection.call("order.place", symbol="X")
        assert caught.value.code == -2010
        await connection.close()


async def test_what_was_just_created_is_waited_for_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.client.TRADABLE_PAUSE_S", 0)
    refusals = [-1121, -1121, -2015]

    def respond(request: dict[str, Any]) -> list[dict[str, Any]]:
        if refusals:
            error = {"code": refusals.pop(0), "msg": "?"}
            return [{"id": request["id"], "status": 400, "error": error}]
        return [{"id": request["id"], "status": 200, "result": {}}]

    async with server(respond) as url:
        connection = await connect(url, HMAC_KEY)
        await wait_until_tradable(connection, "BTCUSDT", "0.01", "1")
        assert refusals == []
        refusals += [-1121] * 200
        with pytest.raises(RequestRefusedError):
            await wait_until_tradable(connection, "BTCUSDT", "0.01", "1")
        await connection.close()


async def test_user_events_and_answers_are_told_apart() -> None:
    event = {"e": "executionReport", "x": "TRADE", "X": "FILLED", "t": 12, "c": "c-1", "m": True}
    extra = {"E": 1, "S": "BUY", "s": "BTCUSDT", "i": 3, "r": "NONE", "M": False}

    def respond(request: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"subscriptionId": 0, "event": {**event, **extra}},
            {"id": request["id"], "status": 200, "result": {}},
            {"id": None, "status": 400, "error": {"code": -1135, "msg": "?"}},
            {"id": request["id"], "status": 200, "result": "late, nobody waits"},
        ]

    events: list[Event] = []
    async with server(respond) as url:
        connection = await connect(url, HMAC_KEY, events.append)
        await connection.call("ping", signed=False)
        await connection.call("ping", signed=False)
        assert connection.rejected_frames >= 1
        await connection.close()
    assert (events[0].trade_id, events[0].client_order_id) == (12, "c-1")
    assert events[0].is_maker
    assert events[0].side == "BUY"


async def test_requests_on_their_way_end_when_the_connection_ends() -> None:
    async with server(lambda _: [{"close": 1008}]) as url:
        connection = await connect(url, HMAC_KEY)
        with pytest.raises(ConnectionLostError):
            await connection.call("ping", signed=False)
        with pytest.raises(ConnectionLostError):
            await connection.call("ping", signed=False)
        assert not connection.is_open
        assert connection.in_flight == 0


async def test_nobody_listening_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLostError):
        await connect("ws://127.0.0.1:1", HMAC_KEY)


@pytest.mark.parametrize("length", [0, 125, 126, 300, 65_535])
async def test_frames_of_every_length_form_arrive_whole(length: int) -> None:
    text = "x" * length
    got: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def handle(connection: websockets.ServerConnection) -> None:
        async for frame in connection:
            got.put_nowait(frame)

    async with websockets.serve(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        connection = await connect(f"ws://127.0.0.1:{port}", HMAC_KEY)
        assert connection._transport is not None
        connection._transport.underlying_transport.write(client_frame(text.encode()))
        assert await got.get() == text
        await connection.close()
