"""A baseline for transports: length-prefixed Unix sockets that authenticate nobody. Not for use."""

import asyncio
from collections.abc import Callable

from actors.transport.port import TransportMetrics

_LENGTH_BYTES = 4


class _Incoming(asyncio.Protocol):
    def __init__(self, metrics: TransportMetrics, on_message: Callable[[bytes], None]) -> None:
        self._metrics, self._on_message = metrics, on_message
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        data = self._pending + data if self._pending else data
        position, end = 0, len(data)
        while position + _LENGTH_BYTES <= end:
            start = position + _LENGTH_BYTES
            size = int.from_bytes(data[position:start], "big")
            if start + size > end:
                break
            self._metrics.received += 1
            self._on_message(data[start : start + size])
            position = start + size
        self._pending = data[position:]


class PlainSocketTransport:
    def __init__(self, listen_at: str) -> None:
        self.metrics = TransportMetrics()
        self.endpoint = listen_at
        self._server: asyncio.Server | None = None
        self._connections: dict[str, asyncio.Transport] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, on_message: Callable[[bytes], None]) -> None:
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Incoming(self.metrics, on_message), self.endpoint.removeprefix("ipc://")
        )

    def set_peer(self, name: str, endpoint: str) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._connect(name, endpoint.removeprefix("ipc://"))))

    async def _connect(self, name: str, path: str) -> None:
        loop = asyncio.get_running_loop()
        while name not in self._connections:
            try:
                self._connections[name], _ = await loop.create_unix_connection(
                    asyncio.Protocol, path
                )
            except OSError:
                await asyncio.sleep(0.02)

    def remove_peer(self, name: str) -> None:
        connection = self._connections.pop(name, None)
        if connection is not None:
            connection.close()

    def send(self, peer: str, data: bytes) -> None:
        connection = self._connections.get(peer)
        if connection is None:
            self.metrics.dropped += 1
            return
        connection.writelines((len(data).to_bytes(_LENGTH_BYTES, "big"), data))
        self.metrics.sent += 1

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for connection in self._connections.values():
            connection.abort()
