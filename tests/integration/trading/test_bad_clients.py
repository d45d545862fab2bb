"""Clients that misbehave, against a whole node: they lose their connection, nobody else notices.

What each kind of broken frame leads to is tested in tests/integration/gateway.
"""

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import AsyncIterator

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.client import client_frame
from tests.integration.trading.conftest import Pair
from tests.integration.trading.live_node import LiveNode, until, within
from tests.integration.trading.trader import SYMBOL, streaming

IDLE = 200
ROUNDS = 20
HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_names = itertools.count(1)


async def _trade(pair: Pair, rounds: int = ROUNDS) -> int:
    """Let both trade and hear of it; return the last trade's id."""
    trade_id = 0
    for _ in range(rounds):
        number = next(_names)
        await pair.alice.place("SELL", "30000", "0.001", newClientOrderId=f"ask-{number}")
        bought = await pair.bob.place("BUY", "30000", "0.001", newClientOrderId=f"bid-{number}")
        assert bought["status"] == "FILLED"
        (fill,) = bought["fills"]
        assert fill["tradeId"] > trade_id
        trade_id = fill["tradeId"]
        await pair.bob.report(bought["orderId"], "TRADE", "FILLED")
    return trade_id


async def test_many_idle_connections_disturb_nobody_and_stay(pair: Pair) -> None:
    async with contextlib.AsyncExitStack() as stack:
        idle: list[ClientConnection] = []
        for number in range(IDLE):
            path = "/ws-api/v3" if number % 2 else f"/ws/{SYMBOL.lower()}@trade"
            url = pair.node.url + path
            idle.append(await stack.enter_async_context(connect(url, ping_interval=None)))
        trade_id = await _trade(pair, rounds=5)
        for listener in idle[::2]:
            texts = [await within(listener.recv(), "each trade") for _ in range(5)]
            assert f'"t":{trade_id},' in texts[-1]
        for client in idle[1::2]:
            await client.send('{"id":1,"method":"ping"}')
            assert '"status":200' in await within(client.recv(), "the answer to a ping")


async def test_clients_that_send_rubbish_end_alone(pair: Pair) -> None:
    node = pair.node
    gateway_pid = node.pid_of("gateway-1")
    rubbish = (
        client_frame(b"\x00\xff" * 50),
        client_frame(b'{"id":1,"method":"order.place","params":{"symbol":[[[[{}]]]]}}'),
        client_frame(b'{"id":1e999,"method":"ping"}'),
        client_frame(b"[" * 60_000),
        b"\x81\xff" + (2**40).to_bytes(8, "big") + b"mask",
        os.urandom(1_000),
    )

    async def attack(path: bytes, data: bytes) -> None:
        async with _raw(node, path) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
                writer.write_eof()
                while await reader.read(65_536):  # up to the end that the server makes of it
                    pass

    attacks = [attack(path, data) for path in (b"/ws-api/v3", b"/ws") for data in rubbish]

    async def all_at_once() -> None:
        await asyncio.gather(_trade(pair), *attacks)

    await within(all_at_once(), "the end of all attacks")
    async with streaming(node.url, "/ws") as streams:
        assert (await streams.control("LIST_SUBSCRIPTIONS", [], 1))["result"] == []
    assert node.pid_of("gateway-1") == gateway_pid


async def test_frame_beyond_the_limit_ends_its_connection_only(pair: Pair) -> None:
    async with connect(f"{pair.node.url}/ws-api/v3", ping_interval=None) as client:
        with contextlib.suppress(ConnectionClosed):
            await client.send("x" * 100_000)
        await within(client.wait_closed(), "the end of the connection")
        assert client.close_code == 1009
    await _trade(pair, rounds=2)


async def test_client_that_asks_and_does_not_read_is_closed(pair: Pair) -> None:
    node = pair.node
    question = client_frame(b'{"id":1,"method":"exchangeInfo"}') * 100
    ended: list[bool] = []

    async def ask_and_never_read() -> None:
        async with _raw(node, b"/ws-api/v3") as (_, writer):
            while True:
                try:
                    writer.write(question)
                    await writer.drain()
                except ConnectionError:
                    ended.append(True)
                    return

    asking = asyncio.create_task(ask_and_never_read())
    await _trade(pair)
    await until(lambda: bool(ended) or asking.done(), "the end of the client that does not read")
    await asking
    await _trade(pair, rounds=2)


@contextlib.asynccontextmanager
async def _raw(
    node: LiveNode, path: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection whose handshake is done and whose frames are the test's own."""
    plain = socket.create_connection(("127.0.0.1", node.ws_port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=1_024)
    writer.write(HANDSHAKE % path)
    try:
        await within(reader.readuntil(b"\r\n\r\n"), "the handshake")
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
