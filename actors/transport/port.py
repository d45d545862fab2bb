"""What hosts need from a transport. tests/contract runs one suite against every backend.

Best effort on purpose: a transport may lose, repeat, delay and reorder; Link puts that right, the
same way for all. What a transport may never do is block, deliver bytes that were changed, or
deliver bytes of somebody who does not hold the cluster's secret.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from exchange.errors import ExchangeError

MESSAGE_BYTES_MAX = 8 * 1024 * 1024  # one message; a connection that announces more is closed
QUEUED_MESSAGES_MAX = 8  # to one peer; links keep 2 in flight, the rest is acknowledgements


class TransportError(ExchangeError):
    """The transport cannot be used as it was asked for: says why, in one sentence."""


@dataclass(slots=True)
class TransportMetrics:
    """Counters since start."""

    sent: int = 0  # handed to the operating system or library
    received: int = 0
    dropped: int = 0  # not sent: peer unknown, absent or slow, or the message too large
    refused: int = 0  # connections or messages that failed authentication or broke the format


class Transport(Protocol):
    """Messages to named peers. Used from one thread, the one of the host's event loop."""

    @property
    def metrics(self) -> TransportMetrics: ...

    @property
    def endpoint(self) -> str:
        """Where peers reach this transport, once it is started: a free port is filled in."""

    async def start(self, on_message: Callable[[bytes], None]) -> None:
        """Listen; `on_message` is called once for every message, on the loop's thread.

        Raises:
            TransportError: the endpoint cannot be listened at.
        """

    def set_peer(self, name: str, endpoint: str) -> None:
        """Say where `name` lives, from now on; connecting goes on in the background, for ever.

        Raises:
            TransportError: not an endpoint.
        """

    def remove_peer(self, name: str) -> None:
        """Forget where `name` lives and close the connection to it; unknown names do no harm."""

    def send(self, peer: str, data: bytes) -> None:
        """Hand over one message. Never blocks, never raises; what cannot go is dropped, counted."""

    def close(self) -> None:
        """Stop listening and drop all connections, at once. Idempotent."""
