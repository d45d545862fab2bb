"""The node supervisor's door: a Unix socket in the node's own directory, and its starter's end.

Not Thespian's ask(): that has no correlation, blocks, and starts a second Admin where none
answers. The directory's mode (0700) says who may enter. Everything here is non-blocking.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from actors.node_messages import (
    MESSAGE_BYTES_MAX,
    FromNode,
    HostAnswer,
    ToNode,
    decode_to_node,
    encode_node,
)
from config.logging import get_logger

log = get_logger(__name__)

SOCKET_NAME: Final = "control.sock"
VISITORS_MAX: Final = 16  # beyond: the next one waits in the kernel until one leaves
TURN_MESSAGES_MAX: Final = 32  # of one visitor, before others have their turn


class Visitor:
    """One connection. Slow readers lose messages: nobody outside may hold the supervisor up."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.is_open = True

    def send(self, message: FromNode) -> bool:
        """Return False if the message could not be sent at once; it is then lost."""
        data = encode_node(message)
        if len(data) > MESSAGE_BYTES_MAX:
            data = encode_node(HostAnswer(b"", f"answer of {len(data)} bytes is too large"))
        try:
            self.connection.send(data)
        except BlockingIOError:
            return False
        except OSError:
            self.is_open = False
            return False
        return True

    def receive(self) -> ToNode | None:
        """Return the next message; None if there is none now, or never again (is_open)."""
        try:
            data = self.connection.recv(MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.is_open = False
            return None
        try:
            return decode_to_node(data)
        except msgspec.MsgspecError:
            log.warning("node_request_unreadable")
            self.is_open = False
            return None


class NodeDoor:
    """All visitors of a node supervisor."""

    def __init__(
        self,
        directory: Path,
        starter: socket.socket,
        on_message: Callable[[Visitor, ToNode], None],
    ) -> None:
        self._on_message = on_message
        self.starter = Visitor(starter)
        self._listener = listen_in(directory)
        self._visitors = {self.starter.connection.fileno(): self.starter}

    def descriptors(self) -> list[int]:
        """Return what to watch."""
        descriptors = list(self._visitors)
        if len(descriptors) < VISITORS_MAX:
            descriptors.append(self._listener.fileno())
        return descriptors

    def ready(self, descriptors: list[int]) -> None:
        """Serve those of `descriptors` that are ours."""
        if self._listener.fileno() in descriptors:
            self._accept()
        for descriptor in descriptors:
            visitor = self._visitors.get(descriptor)
            if visitor is not None:
                self._serve(visitor)

    def close(self) -> None:
        """Close everything: for a process that inherited the door and is not its keeper."""
        self._listener.close()
        for visitor in self._visitors.values():
            visitor.connection.close()

    def _serve(self, visitor: Visitor) -> None:
        for _ in range(TURN_MESSAGES_MAX):
            message = visitor.receive()
            if message is None:
                break
            self._on_message(visitor, message)
        if not visitor.is_open:
            del self._visitors[visitor.connection.fileno()]
            visitor.connection.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # it left before it was let in
        self._visitors[connection.fileno()] = Visitor(connection)


def listen_in(directory: Path) -> socket.socket:
    """Listen on the control socket of `directory`, replacing that of a former run."""
    (directory / SOCKET_NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with _short_path(directory) as path:
        listener.bind(path.name)
    listener.setblocking(False)
    listener.listen(VISITORS_MAX)
    return listener


def connect_in(directory: Path, timeout_s: float) -> socket.socket:
    """Connect to the control socket of `directory`.

    Raises:
        OSError: nobody listens there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(timeout_s)
    try:
        with _short_path(directory) as path:
            connection.connect(path.name)
    except OSError:
        connection.close()
        raise
    return connection


class _short_path:  # noqa: N801 (a context manager, used as a function)
    """The socket's path by way of a descriptor: a Unix socket's path ends at 107 characters."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.name = f"/proc/self/fd/{self._descriptor}/{SOCKET_NAME}"

    def __enter__(self) -> "_short_path":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
