"""A gateway with real sockets in front of an exchange in the same thread."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.gateway.server import GatewayServer
from config.schema import GatewaySettings
from exchange.account.commands import AccountCommand
from tests.support.direct_exchange import DirectExchange


class LiveExchange(DirectExchange):
    """Answers arrive in a later turn of the loop, as from another process. Time is the test's."""

    def submit(self, shard: str, command: AccountCommand, favoured: bool) -> bool:
        taken = super().submit(shard, command, favoured)
        asyncio.get_running_loop().call_soon(self.run)
        return taken


class Running:
    """A served exchange and where it listens."""

    def __init__(self, exchange: LiveExchange, server: GatewayServer) -> None:
        self.exchange = exchange
        self.server = server

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.server.port}{path}"


SETTINGS = GatewaySettings(stream_requests_per_s_max=1_000, frame_bytes_max=65_536)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    exchange = LiveExchange(settings=SETTINGS)
    assert exchange.gateway is not None
    server = GatewayServer(exchange.gateway, "127.0.0.1", 0, handshake_timeout_s=0.3)
    await server.start()
    yield Running(exchange, server)
    await server.stop()
