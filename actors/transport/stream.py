"""Transport on Unix and TCP sockets: one connection to each peer, messages sealed (seal.py).

A connection carries messages one way, from who connected to who listens. It is kept up in the
background for ever; what is sent while it is down is dropped, and the link sends it again.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

from actors.transport.endpoint import (
    Endpoint,
    IpcEndpoint,
    TcpEndpoint,
    parse_endpoint,
    prepare_socket_directory,
)
from actors.transport.port import MESSAGE_BYTES_MAX, TransportError, TransportMetrics
from actors.transport.seal import (
    GREETING,
    HELLO_BYTES,
    NONCE_BYTES,
    PROOF_BYTES,
    REPLY_BYTES,
    Handshake,
    Opener,
    Sealer,
    SealError,
    is_proof,
)

QUEUED_BYTES_MAX = 2 * MESSAGE_BYTES_MAX  # to one peer that does not read; then messages drop
STRANGERS_MAX = 64  # connections without a proof yet; one more ends the oldest
HANDSHAKE_S = 3.0
RECONNECT_S, RECONNECT_S_MAX = 0.02, 0.5
UNANSWERED_MS = 3_000  # TCP: a machine that is gone without a word is noticed after this


class StreamTransport:
    def __init__(self, listen_at: str, secret: bytes, handshake_s: float = HANDSHAKE_S) -> None:
        """`listen_at` is an endpoint; `secret` the cluster's, at least 16 bytes.

        Who connects has `handshake_s` seconds for its proof.

        Raises:
            TransportError: not an endpoint, or its path is too long.
        """
        self.secret, self.handshake_s = secret, handshake_s
        self.metrics = TransportMetrics()
        self.strangers: dict[_Incoming, None] = {}  # in the order in which they came
        self.incoming: dict[_Incoming, None] = {}
        self._endpoint = parse_endpoint(listen_at)
        self._bound = listen_at
        self._server: asyncio.Server | None = None
        self._peers: dict[str, _Peer] = {}

    @property
    def endpoint(self) -> str:
        return self._bound

    async def start(self, on_message: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()

        def incoming() -> _Incoming:
            return _Incoming(self, on_message)

        try:
            # The server is kept here: uvloop closes one that nobody refers to.
            if isinstance(self._endpoint, IpcEndpoint):
                prepare_socket_directory(self._endpoint)
                self._server = await loop.create_unix_server(incoming, self._endpoint.path)
            else:
                self._server = await loop.create_server(
                    incoming, self._endpoint.host, self._endpoint.port
                )
                port = self._server.sockets[0].getsockname()[1]
                self._bound = str(TcpEndpoint(self._endpoint.host, port))
        except OSError as error:
            raise TransportError(
                reason="cannot listen", endpoint=str(self._endpoint), error=str(error)
            ) from error

    def set_peer(self, name: str, endpoint: str) -> None:
        where = parse_endpoint(endpoint)
        known = self._peers.get(name)
        if known is not None:
            if known.endpoint == where:
                return
            known.close()
        self._peers[name] = _Peer(self.secret, where)

    def remove_peer(self, name: str) -> None:
        known = self._peers.pop(name, None)
        if known is not None:
            known.close()

    def send(self, peer: str, data: bytes) -> None:
        known = self._peers.get(peer)
        if known is not None and len(data) <= MESSAGE_BYTES_MAX and known.send(data):
            self.metrics.sent += 1
        else:
            self.metrics.dropped += 1

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
        for connection in [*self.strangers, *self.incoming]:
            connection.abort()


class _Incoming(asyncio.Protocol):
    """A connection somebody made to us: a stranger until its proof has come."""

    def __init__(self, owner: StreamTransport, on_message: Callable[[bytes], None]) -> None:
        self._owner, self._on_message = owner, on_message
        self._transport: asyncio.Transport | None = None
        self._greeting = bytearray()  # bounded: HELLO_BYTES + PROOF_BYTES and one read
        self._handshake: Handshake | None = None
        self._opener: Opener | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        strangers = self._owner.strangers
        strangers[self] = None
        if len(strangers) > STRANGERS_MAX:
            next(iter(strangers)).refuse()
        self._deadline = asyncio.get_running_loop().call_later(self._owner.handshake_s, self.refuse)

    def data_received(self, data: bytes) -> None:
        if self._opener is None:
            self._greeting += data
            if not self._shake_hands():
                return
            assert self._opener is not None
            data, self._greeting = bytes(self._greeting), bytearray()
        try:
            messages = self._opener.feed(data)
        except SealError:
            self.refuse()
            return
        metrics, on_message = self._owner.metrics, self._on_message
        for message in messages:
            if self._transport is None:
                return  # closed by what one of the messages caused
            metrics.received += 1
            on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def refuse(self) -> None:
        """End the connection: no proof in time, a wrong one, or a message that does not open."""
        if self._transport is not None:
            self._owner.metrics.refused += 1
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._forget()

    def _forget(self) -> None:
        self._transport = None
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.strangers.pop(self, None)
        self._owner.incoming.pop(self, None)

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done, with `_greeting` holding what follows."""
        received, transport = self._greeting, self._transport
        if transport is None:
            return False
        if self._handshake is None:
            if not GREETING.startswith(received[: len(GREETING)]):
                self.refuse()  # a browser, a scanner: not one byte is answered
                return False
            if len(received) < HELLO_BYTES:
                return False
            nonce = os.urandom(NONCE_BYTES)
            self._handshake = Handshake(
                self._owner.secret, bytes(received[len(GREETING) : HELLO_BYTES]), nonce
            )
            del received[:HELLO_BYTES]
            transport.write(nonce + self._handshake.listening_proof)
        if len(received) < PROOF_BYTES:
            return False
        if not is_proof(self._handshake.connecting_proof, bytes(received[:PROOF_BYTES])):
            self.refuse()
            return False
        del received[:PROOF_BYTES]
        self._opener = Opener(self._handshake.key)
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.strangers.pop(self, None)
        self._owner.incoming[self] = None
        return True


class _Outgoing(asyncio.Protocol):
    """A connection we made to a peer."""

    def __init__(self, secret: bytes) -> None:
        self.sealer: Sealer | None = None  # once the peer has proved that it is one of ours
        self.was_proven = False
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()
        self._secret = secret
        self._nonce = os.urandom(NONCE_BYTES)
        self._reply = bytearray()  # bounded: REPLY_BYTES and one read
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.transport.write(GREETING + self._nonce)
        self._deadline = asyncio.get_running_loop().call_later(HANDSHAKE_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        self._reply += data
        if self.transport is None or len(self._reply) < REPLY_BYTES:
            return
        handshake = Handshake(self._secret, self._nonce, bytes(self._reply[:NONCE_BYTES]))
        is_ours = len(self._reply) == REPLY_BYTES and is_proof(
            handshake.listening_proof, bytes(self._reply[NONCE_BYTES:])
        )
        if not is_ours:  # somebody else sits there, or one who says more than there is to say
            self.transport.abort()
            self.transport = self.sealer = None
            return
        self.transport.write(handshake.connecting_proof)
        self.sealer = Sealer(handshake.key)
        self.was_proven = True
        if self._deadline is not None:
            self._deadline.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = self.sealer = None
        if self._deadline is not None:
            self._deadline.cancel()
        self.lost.set()


class _Peer:
    """One peer, and the task that keeps a connection to it."""

    def __init__(self, secret: bytes, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._secret = secret
        self._connection: _Outgoing | None = None
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    def send(self, data: bytes) -> bool:
        connection = self._connection
        if connection is None or connection.sealer is None or connection.transport is None:
            return False
        if connection.transport.get_write_buffer_size() > QUEUED_BYTES_MAX:
            return False
        connection.transport.writelines(connection.sealer.seal(data))
        return True

    def close(self) -> None:
        self._task.cancel()
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.abort()
        self._connection = None

    async def _keep_connected(self) -> None:
        delay_s = RECONNECT_S
        while True:
            connection = await _connect(self.endpoint, self._secret)
            if connection is not None:
                self._connection = connection
                await connection.lost.wait()
                self._connection = None
                if connection.was_proven:
                    delay_s = RECONNECT_S
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RECONNECT_S_MAX)


async def _connect(endpoint: Endpoint, secret: bytes) -> _Outgoing | None:
    """Return a connection whose handshake is under way; None if nobody is there."""
    loop = asyncio.get_running_loop()
    connection = _Outgoing(secret)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            if isinstance(endpoint, IpcEndpoint):
                await loop.create_unix_connection(lambda: connection, endpoint.path)
                return connection
            transport, _ = await loop.create_connection(
                lambda: connection, endpoint.host, endpoint.port
            )
    except OSError:  # absent, or TimeoutError: silent
        return None
    plain: socket.socket = transport.get_extra_info("socket")
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
    return connection
