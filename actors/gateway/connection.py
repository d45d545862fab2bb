"""What goes out to one client: frames collected during a turn, one write, a bound on what waits.

Server frames are not masked, so the same bytes go to every subscriber of a stream.
"""

from typing import Final, Protocol

CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL: Final = 1002
CLOSE_UNSUPPORTED: Final = 1003
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_INTERNAL: Final = 1011

_TEXT_FINAL: Final = 0x81
_CLOSE_FINAL: Final = 0x88
_REASON_BYTES_MAX: Final = 123


def text_frame(payload: bytes) -> bytes:
    """Return a WebSocket text frame from the server (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT_FINAL, size)) + payload
    if size < 65_536:
        return bytes((_TEXT_FINAL, 126, size >> 8, size & 255)) + payload
    return bytes((_TEXT_FINAL, 127)) + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str) -> bytes:
    body = code.to_bytes(2, "big") + reason.encode()[:_REASON_BYTES_MAX]
    return bytes((_CLOSE_FINAL, len(body))) + body


class Wire(Protocol):
    """The socket below: written to at the end of a turn."""

    def write(self, data: bytes) -> None: ...

    def waiting_bytes(self) -> int:
        """Return how many written bytes the client has not taken yet."""

    def close(self, code: int, reason: str) -> None: ...


class Outbox:
    """The connections that have something to write in this turn."""

    def __init__(self) -> None:
        self._dirty: list[Connection] = []

    def add(self, connection: "Connection") -> None:
        self._dirty.append(connection)

    def flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()


class Connection:
    """One client's way out. A client that does not read is closed with 1008 at `bytes_max`."""

    __slots__ = ("_frames", "_outbox", "_size", "bytes_max", "is_closed", "lagging_from", "wire")

    def __init__(self, wire: Wire, outbox: Outbox, bytes_max: int) -> None:
        self.wire = wire
        self.bytes_max = bytes_max
        self.lagging_from = bytes_max // 4  # from here on depth and tickers are conflated
        self.is_closed = False
        self._outbox = outbox
        self._frames: list[bytes] = []
        self._size = 0

    @property
    def is_lagging(self) -> bool:
        return self._size + self.wire.waiting_bytes() > self.lagging_from

    def send_text(self, text: str) -> None:
        self.send(text_frame(text.encode()))

    def send(self, frame: bytes) -> None:
        """Send a whole frame at the end of this turn."""
        if self.is_closed:
            return
        frames = self._frames
        if not frames:
            self._outbox.add(self)
        frames.append(frame)
        self._size += len(frame)
        if self._size > self.bytes_max:
            self.close(CLOSE_POLICY, "too slow")

    def flush(self) -> None:
        frames = self._frames
        if not frames:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self._frames = []
        self._size = 0
        if self.wire.waiting_bytes() + len(data) > self.bytes_max:
            self.close(CLOSE_POLICY, "too slow")
            return
        self.wire.write(data)

    def finish(self, code: int, reason: str) -> None:
        """Write what is there, then close."""
        self.flush()
        self.close(code, reason)

    def close(self, code: int, reason: str) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._frames = []
            self._size = 0
            self.wire.close(code, reason)
