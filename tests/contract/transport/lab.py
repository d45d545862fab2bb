"""Transports for the contract suite: two hosts of each kind, and a way to wait for what happens."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

from actors.transport.memory import MemoryNetwork
from actors.transport.port import Transport
from actors.transport.stream import StreamTransport
from actors.transport.zeromq import ZeroMqTransport

SECRET = b"a secret only this cluster holds"
PATIENCE_S = 10.0


class Lab:
    """Makes transports of one kind and keeps what each received."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.received: dict[str, list[bytes]] = {}
        self._directory = directory
        self._network = MemoryNetwork(Random(1), lambda: 0)
        self._transports: list[Transport] = []

    def make(self, name: str, endpoint: str = "", secret: bytes = SECRET) -> Transport:
        """Return a transport that is not started; without `endpoint` at one of its own."""
        if self.kind == "memory":
            transport: Transport = self._network.transport(name)
        else:
            backend, scheme = self.kind.split("-")
            endpoint = endpoint or (
                f"ipc://{self._directory}/{name}" if scheme == "ipc" else "tcp://127.0.0.1:0"
            )
            kinds: dict[str, Callable[[str, bytes], Transport]] = {
                "stream": StreamTransport,
                "zeromq": ZeroMqTransport,
            }
            transport = kinds[backend](endpoint, secret)
        self._transports.append(transport)
        return transport

    async def start(self, name: str, endpoint: str = "", secret: bytes = SECRET) -> Transport:
        """Return a started transport whose messages are appended to `received[name]`."""
        transport = self.make(name, endpoint, secret)
        received = self.received.setdefault(name, [])
        await transport.start(received.append)
        return transport

    async def until(
        self, condition: Callable[[], bool], meanwhile: Callable[[], None] | None = None
    ) -> None:
        """Let the network work until the condition holds; `meanwhile` is called again and again."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if meanwhile is not None:
                    meanwhile()
                self._network.deliver_due(0)
                await asyncio.sleep(0.001)

    async def connect(self, sender: Transport, peer: str, endpoint: str) -> None:
        """Say where the peer lives and wait until a message gets through."""
        sender.set_peer(peer, endpoint)
        received = self.received[peer]
        mark = b"are you there? %d" % len(received)
        await self.until(lambda: mark in received, lambda: sender.send(peer, mark))
        # What was sent while nobody was there may not arrive late and disturb the test.
        end = b"that is all %d" % len(received)
        sender.send(peer, end)
        await self.until(lambda: end in received)
        received.clear()

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
