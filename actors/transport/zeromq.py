"""Transport on ZeroMQ: PUSH to each peer, one PULL to listen at, CURVE on both ipc and tcp.

Both key pairs (who listens, who connects) follow from the cluster's secret, so there is nothing to
distribute. A peer that does not hold it fails CURVE's handshake: without the server's public key it
cannot even say hello, and a client key other than the cluster's is refused by ZAP.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable

import zmq
from zmq.utils import z85

from actors.transport.endpoint import (
    IpcEndpoint,
    parse_endpoint,
    prepare_socket_directory,
)
from actors.transport.port import (
    MESSAGE_BYTES_MAX,
    QUEUED_MESSAGES_MAX,
    TransportError,
    TransportMetrics,
)

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_RECEIVED_AT_ONCE_MAX = 64  # then the loop's other work has its turn
_CURVE_BYTES_MAX = 1024  # what CURVE adds to a message counts against the library's bound
_RECONNECT_MS, _RECONNECT_MS_MAX = 20, 500
_HEARTBEAT_MS, _HEARTBEAT_TIMEOUT_MS = 1_000, 3_000  # notices machines that are gone without a word


def curve_keys(secret: bytes, role: bytes) -> tuple[bytes, bytes]:
    """Return the public and secret key (Z85) of a role, derived from the cluster's secret."""
    assert len(secret) >= 16
    seed = hashlib.blake2b(secret, digest_size=32, person=b"curve-" + role).digest()
    secret_key = z85.encode(seed)  # CURVE clamps the scalar itself
    return zmq.curve_public(secret_key), secret_key


class ZeroMqTransport:
    def __init__(self, listen_at: str, secret: bytes) -> None:
        """`listen_at` is an endpoint; `secret` the cluster's, at least 16 bytes.

        Raises:
            TransportError: not an endpoint, or its path is too long.
        """
        self._endpoint = parse_endpoint(listen_at)
        self.metrics = TransportMetrics()
        self._bound = listen_at
        self._server_public, self._server_secret = curve_keys(secret, b"server")
        self._client_public, self._client_secret = curve_keys(secret, b"client")
        self._client_public_raw = z85.decode(self._client_public)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pull: zmq.Socket[bytes] | None = None
        self._zap: zmq.Socket[bytes] | None = None
        self._peers: dict[str, tuple[str, zmq.Socket[bytes]]] = {}
        self._on_message: Callable[[bytes], None] | None = None

    @property
    def endpoint(self) -> str:
        return self._bound

    async def start(self, on_message: Callable[[bytes], None]) -> None:
        if isinstance(self._endpoint, IpcEndpoint):
            prepare_socket_directory(self._endpoint)
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        # The ZAP handler must listen before the first peer can connect, or libzmq lets all in.
        self._zap = self._context.socket(zmq.REP)
        self._zap.setsockopt(zmq.LINGER, 0)
        self._zap.bind(_ZAP_ENDPOINT)
        self._pull = self._context.socket(zmq.PULL)
        self._configure(self._pull)
        self._pull.setsockopt(zmq.RCVHWM, QUEUED_MESSAGES_MAX)
        self._pull.setsockopt(zmq.CURVE_SERVER, 1)
        self._pull.setsockopt(zmq.CURVE_SECRETKEY, self._server_secret)
        self._pull.setsockopt(zmq.ZAP_DOMAIN, b"cluster")
        address = str(self._endpoint)
        try:
            # libzmq calls any free port "*".
            self._pull.bind(re.sub(r":0$", ":*", address))
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(
                reason="cannot listen", endpoint=address, error=str(error)
            ) from error
        self._bound = self._pull.getsockopt_string(zmq.LAST_ENDPOINT)
        self._loop.add_reader(self._zap.fileno(), self._serve_zap)
        self._loop.add_reader(self._pull.fileno(), self._receive)
        # The descriptors tell of edges only: what came before the readers were set was missed.
        self._loop.call_soon(self._serve_zap)
        self._loop.call_soon(self._receive)

    def set_peer(self, name: str, endpoint: str) -> None:
        parse_endpoint(endpoint)
        known = self._peers.get(name)
        if known is not None:
            if known[0] == endpoint:
                return
            known[1].close()
        socket = self._context.socket(zmq.PUSH)
        self._configure(socket)
        socket.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES_MAX)
        # Nothing is queued for a peer that is not there: the link sends it again.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MS_MAX)
        socket.setsockopt(zmq.CURVE_SERVERKEY, self._server_public)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._client_public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._client_secret)
        socket.connect(endpoint)
        self._peers[name] = (endpoint, socket)

    def remove_peer(self, name: str) -> None:
        known = self._peers.pop(name, None)
        if known is not None:
            known[1].close()

    def send(self, peer: str, data: bytes) -> None:
        known = self._peers.get(peer)
        if known is None or len(data) > MESSAGE_BYTES_MAX:
            self.metrics.dropped += 1
            return
        socket = known[1]
        if _send(socket, data) or (_looks_writable(socket) and _send(socket, data)):
            self.metrics.sent += 1
        else:
            self.metrics.dropped += 1

    def close(self) -> None:
        if self._context.closed:
            return
        for socket in (self._zap, self._pull):
            if socket is not None:
                if self._loop is not None:
                    self._loop.remove_reader(socket.fileno())
                socket.close()
        for _, socket in self._peers.values():
            socket.close()
        self._peers.clear()
        self._context.term()  # cannot wait: nothing lingers

    def _configure(self, socket: "zmq.Socket[bytes]") -> None:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX + _CURVE_BYTES_MAX)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)

    def _receive(self) -> None:
        """Take what has come. The descriptor is edge-triggered, so end only at "nothing left"."""
        pull, on_message, loop = self._pull, self._on_message, self._loop
        if pull is None or pull.closed or on_message is None or loop is None:
            return
        for _ in range(_RECEIVED_AT_ONCE_MAX):
            try:
                data = pull.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.metrics.received += 1
            on_message(data)
            if pull.closed:
                return
        loop.call_soon(self._receive)

    def _serve_zap(self) -> None:
        """Answer the library's questions who may connect (RFC 27): holders of the cluster's key."""
        zap = self._zap
        while zap is not None and not zap.closed:
            try:
                version, request_id, _, _, _, mechanism, *credentials = zap.recv_multipart(
                    zmq.NOBLOCK
                )
            except zmq.Again:
                return
            is_ours = mechanism == b"CURVE" and credentials == [self._client_public_raw]
            if is_ours:
                status = [b"200", b"OK"]
            else:
                self.metrics.refused += 1
                status = [b"400", b"not of this cluster"]
            zap.send_multipart([version, request_id, *status, b"", b""])


def _send(socket: "zmq.Socket[bytes]", data: bytes) -> bool:
    """False: no connection, or its queue is full."""
    try:
        socket.send(data, zmq.NOBLOCK)
    except zmq.ZMQError:
        return False
    return True


def _looks_writable(socket: "zmq.Socket[bytes]") -> bool:
    """Asking makes libzmq look at what its I/O thread has told the socket, such as that the queue
    was emptied; `send` with NOBLOCK does that once a millisecond only, and would drop meanwhile."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT)
