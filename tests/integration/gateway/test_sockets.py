"""The edge with real sockets: paths, frames, limits, and clients that misbehave alone."""

import asyncio
import base64
import os
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from actors.gateway.server import GatewayServer, parse_route
from config.schema import GatewaySettings
from exchange.protocol.errors import DialectError
from tests.integration.gateway.conftest import LiveExchange, Running
from tests.support.direct_exchange import Client

TIMEOUT_S = 5.0


async def _json(socket: ClientConnection) -> Any:
    return msgspec.json.decode(await asyncio.wait_for(socket.recv(), TIMEOUT_S))


async def _ask(socket: ClientConnection, frame: str | bytes) -> Any:
    await socket.send(frame, text=True)
    return await _json(socket)


async def _close_code(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), TIMEOUT_S)
    code = socket.close_code
    assert code is not None
    return code


@pytest.mark.parametrize(
    "path", ["/ws-api/v3", "/ws-api/v3/", "/ws-api/v3?returnRateLimits=false&x=%zz"]
)
async def test_api_answers_on_its_path(running: Running, path: str) -> None:
    async with connect(running.url(path)) as socket:
        answer = await _ask(socket, '{"id":1,"method":"ping"}')
        assert answer["result"] == {}
        assert ("rateLimits" in answer) is ("returnRateLimits" not in path)


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        ("/ws", []),
        ("/ws/", []),
        ("/ws/0", []),
        ("/ws?v=/stream/0", []),
        ("/stream/ws/7", []),
        ("/ws/btcusdt@trade/btcusdt@depth", ["btcusdt@trade", "btcusdt@depth"]),
        ("/ws/btcusdt%40trade", ["btcusdt@trade"]),
        ("/ws/!miniTicker@arr", ["!miniTicker@arr"]),
        ("/ws/../../etc/passwd", []),
        ("/stream", []),
        ("/stream?streams=btcusdt@trade/x", ["btcusdt@trade"]),
    ],
)
async def test_stream_paths_never_fail_on_odd_tails(
    running: Running, path: str, streams: list[str]
) -> None:
    async with connect(running.url(path)) as socket:
        answer = await _ask(socket, '{"method":"LIST_SUBSCRIPTIONS","id":7}')
        assert answer == {"result": streams, "id": 7}


@pytest.mark.parametrize(
    ("path", "status"), [("/", 404), ("/api/v3/ping", 404), ("/ws?timeUnit=NANOSECOND", 400)]
)
async def test_other_paths_are_refused_at_the_handshake(
    running: Running, path: str, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(running.url(path))
    assert refused.value.response.status_code == status
    assert b'"code":-' in refused.value.response.body


def test_time_unit_of_a_connection_is_in_its_query() -> None:
    assert parse_route("/ws?timeUnit=microsecond").unit == 1_000  # type: ignore[union-attr]
    assert parse_route("/ws?timeUnit=MILLISECOND").unit == 1_000_000  # type: ignore[union-attr]
    assert isinstance(parse_route("/ws?timeUnit=x"), DialectError)


async def test_orders_trade_through_sockets_with_events(running: Running) -> None:
    exchange = running.exchange
    signer = Client(exchange, 2)
    maker = Client(exchange, 1)
    maker.place("SELL", "45000", "0.001")
    order = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": "45000",
        "quantity": "0.001",
    }
    async with connect(running.url("/ws-api/v3")) as socket:
        subscribed = await _ask(socket, _request("userDataStream.subscribe.signature", signer))
        assert subscribed["result"] == {"subscriptionId": 0}
        await socket.send(_request("order.place", signer, **order))
        messages = [await _json(socket) for _ in range(5)]
    (answer,) = [message for message in messages if "id" in message]
    assert answer["result"]["status"] == "FILLED"
    events = [message["event"] for message in messages if "event" in message]
    assert [event.get("x", event["e"]) for event in events] == [
        "NEW",
        "outboundAccountPosition",
        "TRADE",
        "outboundAccountPosition",
    ]


def _request(method: str, signer: Client, **params: Any) -> str:
    body = {"id": method, "method": method, "params": signer.signed(**params)}
    return msgspec.json.encode(body).decode()


async def test_many_frames_at_once_are_all_answered_in_order(running: Running) -> None:
    async with connect(running.url("/ws-api/v3")) as socket:
        for number in range(200):
            await socket.send(f'{{"id":{number},"method":"time"}}')
        assert [(await _json(socket))["id"] for _ in range(200)] == list(range(200))


BAD_FRAMES = [
    b"",
    b"{",
    b"\x00",
    b"null",
    b"[" * 60_000,
    b'{"id":1,"method":"ping","params":{"a":' + b"[" * 60_000,
    b'{"id":1,"method":"ping","params":{"a":1e400,"a":NaN}}',
    '{"method":"ping"}'.encode("utf-16"),
    b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
]


async def test_bad_frames_are_refused_and_the_connection_goes_on(running: Running) -> None:
    async with connect(running.url("/ws-api/v3")) as socket:
        for frame in BAD_FRAMES:
            answer = await _ask(socket, frame)
            assert (answer["status"], answer["error"]["code"]) == (400, -1135)
        assert (await _ask(socket, '{"id":1,"method":"ping"}'))["status"] == 200


@pytest.mark.parametrize("path", ["/ws-api/v3", "/ws"])
async def test_binary_frames_close_the_connection(running: Running, path: str) -> None:
    async with connect(running.url(path)) as socket:
        await socket.send(b'{"id":1,"method":"ping"}')
        assert await _close_code(socket) == 1003


@pytest.mark.parametrize("path", ["/ws-api/v3", "/ws"])
async def test_frames_that_are_too_big_close_the_connection(running: Running, path: str) -> None:
    async with connect(running.url(path)) as socket, connect(running.url(path)) as other:
        await socket.send("x" * 65_537)
        assert await _close_code(socket) == 1009
        await other.send('{"id":1,"method":"ping"}')
        assert await _json(other)


async def test_fragments_are_put_together(running: Running) -> None:
    async with connect(running.url("/ws-api/v3")) as socket:
        await socket.send(['{"id":1,', '"method"', ':"ping"}'])
        assert (await _json(socket))["status"] == 200


async def test_fragments_without_end_close_the_connection(running: Running) -> None:
    reader, writer = await _raw(running)
    writer.write(_frame(0x01, b"{"))
    for _ in range(40):
        writer.write(_frame(0x00, b" " * 2_000))
    assert await _raw_close_code(reader) == 1009


RAW_ATTACKS = {
    "empty fragments for ever": b"".join(
        [bytes([0x01, 0x80]) + b"mask", *[bytes([0x00, 0x80]) + b"mask"] * 70_000]
    ),
    "reserved opcode": bytes([0x83, 0x80]) + b"mask",
    "reserved bit": bytes([0xC1, 0x80]) + b"mask",
    "fragmented ping": bytes([0x09, 0x80]) + b"mask",
    "continuation of nothing": bytes([0x80, 0x80]) + b"mask",
    "text within a fragmented text": bytes([0x01, 0x80]) + b"mask" + bytes([0x81, 0x80]) + b"mask",
    "no mask": b"\x81\x04ping",
    "length of 2**63": bytes([0x81, 0xFF]) + b"\xff" * 8 + b"mask",
}


@pytest.mark.parametrize("name", RAW_ATTACKS)
async def test_broken_frames_close_only_the_connection_they_came_on(
    running: Running, name: str
) -> None:
    async with connect(running.url("/ws-api/v3")) as other:
        reader, writer = await _raw(running)
        writer.write(RAW_ATTACKS[name])
        code = await _raw_close_code(reader)
        assert code in (1002, 1009, None)
        assert (await _ask(other, '{"id":1,"method":"ping"}'))["status"] == 200
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /ws-api/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /ws HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
        b"AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n0\r\n\r\n",
        b"GET /ws-api/v3 HTTP/1.1\r\nCookie: " + b"c" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
        b"\r\n\r\n",
        b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
async def test_handshakes_that_are_none_are_refused(running: Running, head: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
    writer.write(head)
    try:
        answer = await asyncio.wait_for(reader.read(), TIMEOUT_S)
    except ConnectionResetError:
        answer = b""
    assert b" 101 " not in answer
    assert running.server.connections == 0


async def test_client_that_does_not_read_is_closed_and_others_go_on() -> None:
    exchange = LiveExchange(settings=GatewaySettings(outbound_bytes_max=50_000))
    assert exchange.gateway is not None
    server = GatewayServer(exchange.gateway, "127.0.0.1", 0)
    await server.start()
    running = Running(exchange, server)
    _, writer = await _raw(running)
    async with connect(running.url("/ws-api/v3")) as other:
        request = _frame(0x81, b'{"id":1,"method":"exchangeInfo"}')
        try:
            while server.connections == 2:
                writer.write(request * 100)
                await asyncio.wait_for(writer.drain(), 0.05)
        except (ConnectionError, TimeoutError):
            await _until(lambda: server.connections == 1)
        assert server.connections == 1
        assert (await _ask(other, '{"id":1,"method":"ping"}'))["status"] == 200
    writer.close()
    await server.stop()


async def test_ping_is_answered_and_silence_ends_the_connection(running: Running) -> None:
    exchange = running.exchange
    reader, writer = await _raw(running)
    writer.write(_frame(0x89, b"hello"))
    assert await asyncio.wait_for(reader.readexactly(7), TIMEOUT_S) == b"\x8a\x05hello"
    exchange.clock_ns += 20_000_000_000
    assert await asyncio.wait_for(reader.readexactly(3), TIMEOUT_S) == b"\x89\x011"
    writer.write(_frame(0x8A, b"other"))  # not the payload of the ping: does not count
    exchange.clock_ns += 60_000_000_000
    assert await _raw_close_code(reader) == 1008


async def test_pong_keeps_the_connection(running: Running) -> None:
    async with connect(running.url("/ws"), ping_interval=None) as socket:
        for _ in range(3):
            running.exchange.clock_ns += 20_000_000_000
            listener = next(iter(running.server._listeners))
            await _until(lambda listener=listener: listener._pong_until_ns == 0)
        answer = await _ask(socket, '{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert answer["result"] == []


async def test_old_connections_end_with_notice(running: Running) -> None:
    async with connect(running.url("/stream")) as socket:
        await _ask(socket, '{"method":"LIST_SUBSCRIPTIONS","id":1}')
        running.exchange.clock_ns += 86_400_000_000_000
        message = await _json(socket)
        assert message["stream"] == "!serverShutdown"
        assert message["data"]["e"] == "serverShutdown"
        assert await _close_code(socket) in (1001, 1008)


async def test_stop_says_goodbye(running: Running) -> None:
    async with connect(running.url("/ws-api/v3")) as socket:
        await _ask(socket, '{"id":1,"method":"ping"}')
        await running.server.stop()
        assert (await _json(socket))["event"]["e"] == "serverShutdown"
        assert await _close_code(socket) == 1001


async def test_connections_are_bounded() -> None:
    exchange = LiveExchange(settings=GatewaySettings(connections_max=1))
    assert exchange.gateway is not None
    server = GatewayServer(exchange.gateway, "127.0.0.1", 0)
    await server.start()
    running = Running(exchange, server)
    async with connect(running.url("/ws")) as socket:
        await _ask(socket, '{"method":"LIST_SUBSCRIPTIONS","id":1}')
        with pytest.raises(InvalidStatus) as refused:
            await connect(running.url("/ws"))
        assert refused.value.response.status_code == 503
    await server.stop()


async def test_new_connections_of_an_address_are_bounded() -> None:
    exchange = LiveExchange(settings=GatewaySettings(connections_per_5_min_max=2))
    assert exchange.gateway is not None
    server = GatewayServer(exchange.gateway, "127.0.0.1", 0)
    await server.start()
    running = Running(exchange, server)
    for _ in range(2):
        async with connect(running.url("/ws")) as socket:
            await _ask(socket, '{"method":"LIST_SUBSCRIPTIONS","id":1}')
    async with connect(running.url("/ws")) as socket:
        assert await _close_code(socket) == 1008
    await server.stop()


async def test_closed_connections_leave_nothing_behind(running: Running) -> None:
    gateway = running.exchange.gateway
    assert gateway is not None
    processes = running.exchange.scheduler.process_count()
    for path in ("/ws-api/v3", "/ws/btcusdt@trade", "/stream?streams=btcusdt@depth"):
        async with connect(running.url(path)):
            pass
    await _until(lambda: running.server.connections == 0 and not gateway.sessions)
    assert running.exchange.scheduler.process_count() == processes
    view = gateway.market_data.markets["BTCUSDT"]
    assert all(not channel.subscribers for channel in view._channels.values())


async def _until(condition: Any) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), TIMEOUT_S)


async def _raw(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection whose handshake is done and whose frames are the test's own."""
    before = running.server.connections
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
    key = base64.b64encode(os.urandom(16))
    writer.write(
        b"GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)
    await _until(lambda: running.server.connections == before + 1)
    return reader, writer


def _frame(first: int, payload: bytes) -> bytes:
    """Return a client frame masked with zeros."""
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    else:
        head = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


async def _raw_close_code(reader: asyncio.StreamReader) -> int | None:
    """Read up to the end; return the code of the last close frame, None if there was none."""
    try:
        data = await asyncio.wait_for(reader.read(), TIMEOUT_S)
    except ConnectionResetError:
        return None
    position = data.rfind(b"\x88")
    return int.from_bytes(data[position + 2 : position + 4], "big") if position >= 0 else None
