"""A node as the commands see it, over the node's own client."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from actors.client import NodeClient
from actors.client import NodeUnreachableError as NoAnswerError
from actors.cookie import CookieError, read_cookie
from actors.node import NodeUnreachableError, ask_host, node_status
from actors.secrets import SecretVault
from console.node import NodePort
from exchange.account.commands import AccountCommand
from exchange.answers import Answer
from exchange.directory.commands import DirectoryCommand
from exchange.instrument import Instrument, MarketStatus

SNAPSHOT_S = 60.0
# What a node that cannot be asked raises, whichever part of it is missing.
UNREACHABLE = (NodeUnreachableError, NoAnswerError, CookieError, OSError)


class ConnectedNode:
    """NodePort over a NodeClient."""

    def __init__(self, client: NodeClient, data_dir: Path) -> None:
        self._client = client
        self._data_dir = data_dir
        self._vault = SecretVault(read_cookie(client.config.cookie_path))

    async def directory(self, command: DirectoryCommand) -> Answer:
        answer: Answer = await self._client.directory(command)
        return answer

    async def account(self, command: AccountCommand) -> Answer:
        answer: Answer = await self._client.account(command)
        return answer

    async def markets(self) -> Sequence[tuple[Instrument, MarketStatus]]:
        directory = self._client.follower.directory
        return [
            (directory.instruments[symbol], directory.status(symbol))
            for symbol in sorted(directory.instruments)
        ]

    async def snapshot(self) -> dict[str, Any]:
        shards: list[dict[str, Any]] = []
        for host in node_status(self._data_dir).hosts:
            if host.kind == "shards":
                answer = await asyncio.to_thread(
                    ask_host, self._data_dir, host.name, "snapshot", b"", SNAPSHOT_S
                )
                if answer.error:
                    raise NodeUnreachableError(f"{host.name}: {answer.error}")
                shards += msgspec.msgpack.decode(answer.body)
        return {"shards": shards}

    def seal(self, key_id: str, secret: bytes) -> bytes:
        return self._vault.seal(key_id, secret)


@asynccontextmanager
async def connect_node(data_dir: Path) -> AsyncIterator[NodePort]:
    """Connect to the node that runs on `data_dir`. Raises one of UNREACHABLE."""
    async with await NodeClient.connect(data_dir) as client:
        yield ConnectedNode(client, data_dir)
