"""What Thespian 4.0.1 must be taught before the first ActorSystem. Tested against that version.

As shipped it unpickles bytes from anyone who connects, listens on all interfaces, keeps every byte
a stranger sends, dies of eleven bytes, lets orphans live on and sleeps inside send(). With
`install` no byte is unpickled before its keyed hash is checked: a cluster cookie. It gives neither
secrecy nor protection against replay: between machines it belongs inside a private network.
"""

import contextlib
import ctypes
import hashlib
import hmac
import importlib.metadata
import logging
import multiprocessing
import multiprocessing.process
import os
import pickle
import re
import signal
import socket
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from thespian.actors import Actor, ActorAddress
from thespian.system import multiprocCommon, systemCommon, transport, utilis
from thespian.system.transport import IPBase, TCPTransport, streamBuffer

from actors.cookie import COOKIE_BYTES_MIN, create_cookie, read_cookie

__all__ = [
    "create_cookie",
    "die_with_parent",
    "frames_refused",
    "install",
    "keep_logging",
    "read_cookie",
]

THESPIAN_VERSION: Final = "4.0.1"
MAC_BYTES: Final = 32
FRAME_BYTES_MAX: Final = 2**20  # what a stranger can make us hold; control messages are small
HEADER: Final = re.compile(rb"[0-9]{0,7}\Z|([0-9]{1,7})>")  # not complete yet, or complete
SILENT_SOCKET_S: Final = 10  # how long a stranger may say nothing; as shipped 7 minutes
TRANSMIT_TIMEOUT_S: Final = 5  # a listener that answers with rubbish holds a send slot this long
BACKOFF_MS: Final = 1  # as shipped 20 ms after two sides sent at once
MESSAGES_PER_S_MAX: Final = 10**9  # the governor sleeps 100 ms inside send(): switched off
LOG_BYTES_MAX: Final = 2**20  # of Thespian's own log; one older file of that size is kept

PR_SET_PDEATHSIG: Final = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: a forked child must not have to

_address_init = IPBase.IPActorAddress.__init__  # taken before any patch: installing twice is safe
_start_admin = multiprocCommon.startAdmin
_start_child = multiprocCommon.startChild
_start_logger = multiprocCommon.startupASLogger
_loggers = logging.Logger.manager


class ThespianVersionError(RuntimeError):
    """Another version of Thespian than the one these patches were tested against."""


class AuthenticatedPickle:
    """Stands in for the pickle module in Thespian's transport: MAC, then pickle."""

    def __init__(self, secret: bytes) -> None:
        key = hashlib.blake2b(secret, digest_size=64, person=b"cluster-cookie").digest()
        self._keyed = hashlib.blake2b(key=key, digest_size=MAC_BYTES)
        self.refused = 0  # frames that this process refused

    def dumps(self, message: object) -> bytes:
        """Raises ValueError (surfaces in send()) when `message` is too large for one frame."""
        payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if len(payload) > FRAME_BYTES_MAX - MAC_BYTES:
            raise ValueError(f"message of {len(payload)} bytes is too large for one frame")
        return self._mac(payload) + payload

    def loads(self, frame: bytes) -> object:
        """Raises ValueError, and unpickles nothing, when the MAC is not ours."""
        payload = memoryview(frame)[MAC_BYTES:]
        if not hmac.compare_digest(frame[:MAC_BYTES], self._mac(payload)):
            raise ValueError("frame without a valid MAC")
        return pickle.loads(payload)

    def _mac(self, payload: bytes | memoryview) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(payload)
        return keyed.digest()


class BoundedReceiveBuffer(streamBuffer.ReceiveBuffer):
    """Refuses a bad or huge header at once. A bad buffer is done and yields None, which both of
    Thespian's callers take as corrupt."""

    bad = False

    def addMore(self, buf: bytes) -> None:  # noqa: N802 (Thespian's naming)
        if self._size is None:
            header = HEADER.match(self._buf + buf[:9])
            size = int(header[1]) if header and header[1] else MAC_BYTES
            self.bad = not header or not MAC_BYTES <= size <= FRAME_BYTES_MAX
        if not self.bad:
            super().addMore(buf)

    def isDone(self) -> bool:  # noqa: N802 (Thespian's naming)
        return self.bad or super().isDone()

    def completed(self) -> tuple[Any, bytes] | None:
        # No MAC, or a class that this process does not know: either way the frame is refused and
        # counted by _authenticated_data, never an error of ours.
        with contextlib.suppress(Exception):
            return None if self.bad else super().completed()
        return None


def install(secret: bytes, bind_address: str = "127.0.0.1", log_file: Path | None = None) -> None:
    """Patch Thespian for this process and all that it forks; before the first ActorSystem.

    Args:
        secret: the cluster cookie; the same in every process that talks to this node.
        bind_address: the one address that all listeners use.
        log_file: where Thespian's own log goes, bounded to two files of 1 MiB.

    Raises:
        ThespianVersionError: not the pinned version.
        ValueError: the secret is shorter than 32 bytes.
    """
    check_version(importlib.metadata.version("thespian"))
    if len(secret) < COOKIE_BYTES_MIN:
        raise ValueError(f"the cluster cookie must have at least {COOKIE_BYTES_MIN} bytes")
    _install_cookie(secret)
    _install_bind_address(bind_address)
    _install_process_starts()
    systemCommon.RATE_THROTTLE = MESSAGES_PER_S_MAX
    transport.MIN_BACKOFF_DELAY = timedelta(milliseconds=BACKOFF_MS)
    transport.DEFAULT_MAX_TRANSMIT_PERIOD = timedelta(seconds=TRANSMIT_TIMEOUT_S)
    if log_file is not None:
        utilis._thesplog_control_settings = (logging.WARNING, False, LOG_BYTES_MAX)
        utilis._thesplog_file = str(log_file)
        utilis._thesplog_old_file = f"{log_file}.old"


def check_version(version: str) -> None:
    """Raise ThespianVersionError unless `version` is the one these patches were tested with."""
    if version != THESPIAN_VERSION:
        raise ThespianVersionError(
            f"Thespian {version} is installed, but only {THESPIAN_VERSION} is safe to run here."
        )


def frames_refused() -> int:
    """Return how many frames this process refused. An alarm: somebody knocks without the cookie."""
    return getattr(TCPTransport.serializer, "refused", 0)


class RefusedFrames:
    """Counts the frames refused by this process and all that it forked, Admin and logger included.

    An eventfd adds up atomically between processes and is reset by reading: one process reads.
    """

    def __init__(self) -> None:
        self.total = 0
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def add(self) -> None:
        os.eventfd_write(self._descriptor, 1)

    def count(self) -> int:
        """Return the total. For one process of the node, its supervisor, alone."""
        with contextlib.suppress(BlockingIOError):  # none since the last time
            self.total += os.eventfd_read(self._descriptor)
        return self.total


refused_by_node: Final = RefusedFrames()


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent dies. An Erlang link, one way.

    `parent_pid` is the parent as the child knows it: if it died before we asked, we end here.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def _install_cookie(secret: bytes) -> None:
    serializer = AuthenticatedPickle(secret)
    serializer.refused = frames_refused()
    to_frame = streamBuffer.toSendBuffer
    TCPTransport.serializer = serializer
    TCPTransport.ReceiveBuffer = BoundedReceiveBuffer
    TCPTransport.ackMsg = to_frame(streamBuffer.ackPacket, serializer.dumps)
    TCPTransport.ackDataErrMsg = to_frame(streamBuffer.ackDataErrPacket, serializer.dumps)
    TCPTransport.TCPIncoming_Common.data = property(_authenticated_data)
    TCPTransport.MAX_INCOMING_SOCKET_PERIOD = timedelta(seconds=SILENT_SOCKET_S)


def _authenticated_data(incoming: TCPTransport.TCPIncoming_Common) -> tuple[Any, bytes] | None:
    frame = incoming._rData.completed()
    if frame is None:
        TCPTransport.serializer.refused += 1
        refused_by_node.add()
        utilis.thesplog("frame refused: %s", incoming.socket, level=logging.WARNING)
    return frame


def _install_bind_address(bind_address: str) -> None:
    """THESPIAN_BASE_IPADDR alone sets only what is advertised: listeners stay on 0.0.0.0."""
    os.environ["THESPIAN_BASE_IPADDR"] = bind_address

    def init(self: IPBase.IPActorAddress, *args: Any, **kwargs: Any) -> None:
        _address_init(self, *args, **kwargs)
        if self.bindname[0] == "":
            self.bindname = (bind_address, self.bindname[1])

    IPBase.IPActorAddress.__init__ = init  # type: ignore[method-assign]


def _install_process_starts() -> None:
    """Every process of a node dies with the one that started it, and keeps our logging.

    As shipped an actor's log records travel through its transport, which no other thread may use,
    to a process that nobody supervises. A host logs from its loop thread, and directly.
    """
    multiprocCommon.ThespianLogForwarder = lambda *_, **__: _loggers.root
    multiprocCommon.startAdmin = _unlinked(_start_admin)
    multiprocCommon.startChild = _linked(_start_child)
    multiprocCommon.startupASLogger = _linked(_start_logger)


def _unlinked(start: Callable[..., None]) -> Callable[..., None]:
    """Admin leaves its parent on purpose (a double fork): the node supervisor watches for it."""

    def unlinked(*args: Any) -> None:
        _close_listeners()
        start(*args)

    return unlinked


def _linked(start: Callable[..., None]) -> Callable[..., None]:
    def linked(*args: Any) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid is not None:
            die_with_parent(parent.pid)
        _close_listeners()
        start(*args)

    return linked


def _close_listeners() -> None:
    """Close the listening sockets that this process inherited: its parent's port is not its own.

    Their Python objects live on in the frames below us and are never finalized, so no descriptor
    that is used again will be closed by them.
    """
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (names only)
        descriptor = int(name)
        with contextlib.suppress(OSError):  # the descriptor of the listing itself is gone
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                inherited = socket.socket(fileno=descriptor)
                if inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    inherited.close()
                else:
                    inherited.detach()


def keep_logging() -> None:
    """Give this actor back the loggers set up before `install`, which Thespian replaced.

    To be called in every actor's constructor.
    """
    logging.root = _loggers.root
    logging.Logger.root = _loggers.root
    logging.Logger.manager = _loggers


def child_process(actor: Actor, address: ActorAddress) -> multiprocessing.process.BaseProcess:
    """Return the process of the local child actor that was just created with this `address`."""
    for info in reversed(actor._myRef._child_procs):
        if info.childAddr is address:
            process: multiprocessing.process.BaseProcess = info.childProc
            return process
    raise LookupError("the child actor was not started in this process")
