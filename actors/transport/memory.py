"""A network in memory, deterministic: same seed, same calls, same losses. For simulation and tests.

It loses, repeats, delays and reorders by given probabilities, and cuts pairs of hosts apart. Time
is handed in; nothing moves until `deliver_due` is called.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from actors.transport.port import MESSAGE_BYTES_MAX, TransportError, TransportMetrics


@dataclass(frozen=True, slots=True)
class Faults:
    """How bad the network is. Probabilities are per message."""

    loss: float = 0.0
    repeat: float = 0.0
    delay_ns_min: int = 0
    delay_ns_max: int = 0  # uniform between the two, so messages overtake each other


NO_FAULTS = Faults()


class MemoryNetwork:
    """All hosts of a simulation and what is under way between them."""

    def __init__(
        self,
        random: Random,
        clock: Callable[[], int],
        faults: Faults = NO_FAULTS,
        messages_max: int = 100_000,
    ) -> None:
        """`clock` tells ns. Beyond `messages_max` messages under way new ones are lost."""
        self.faults = faults
        self._random, self._clock, self._messages_max = random, clock, messages_max
        self._transports: dict[str, MemoryTransport] = {}
        self._under_way: list[tuple[int, int, str, str, bytes]] = []  # heap: due, number, from, to
        self._number = 0  # makes heap entries distinct and keeps equal times in order
        self._cut: set[frozenset[str]] = set()  # only asked for membership, never iterated

    def transport(self, name: str) -> "MemoryTransport":
        """Return a new host's transport; it is on the network once started."""
        return MemoryTransport(self, name)

    def cut(self, first: str, second: str) -> None:
        """Lose everything between the two from now on, what is under way included."""
        self._cut.add(frozenset((first, second)))

    def heal(self, first: str, second: str) -> None:
        self._cut.discard(frozenset((first, second)))

    def crash(self, name: str) -> None:
        """Take the host off the network. What is under way to its name reaches its successor."""
        transport = self._transports.pop(name, None)
        if transport is not None:
            transport.close()

    @property
    def next_due_ns(self) -> int | None:
        """When the next message arrives; None if nothing is under way."""
        return self._under_way[0][0] if self._under_way else None

    def deliver_due(self, now_ns: int) -> int:
        """Deliver what is due by `now_ns`, earliest first; return how many messages arrived.

        What receivers send meanwhile is delivered too if it is due, so with no delay at all two
        hosts that answer each other for ever must not be put on one network.
        """
        delivered = 0
        while self._under_way and self._under_way[0][0] <= now_ns:
            _, _, sender, receiver, data = heapq.heappop(self._under_way)
            transport = self._transports.get(receiver)
            if transport is not None and frozenset((sender, receiver)) not in self._cut:
                transport.receive(data)
                delivered += 1
        return delivered

    def attach(self, transport: "MemoryTransport") -> None:
        self._transports[transport.name] = transport

    def detach(self, transport: "MemoryTransport") -> None:
        if self._transports.get(transport.name) is transport:
            del self._transports[transport.name]

    def carry(self, sender: str, receiver: str, data: bytes) -> bool:
        """Take a message on; False if the network is full. Losing it counts as taking it."""
        if len(self._under_way) >= self._messages_max:
            return False
        faults, random = self.faults, self._random
        if frozenset((sender, receiver)) in self._cut or random.random() < faults.loss:
            return True
        copies = 2 if random.random() < faults.repeat else 1
        for _ in range(copies):
            due_ns = self._clock() + random.randint(faults.delay_ns_min, faults.delay_ns_max)
            self._number += 1
            heapq.heappush(self._under_way, (due_ns, self._number, sender, receiver, data))
        return True


class MemoryTransport:
    """One host's end of the network. Endpoints are `memory://NAME`, the names of hosts."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.name = name
        self.metrics = TransportMetrics()
        self._network = network
        self._peers: dict[str, str] = {}
        self._on_message: Callable[[bytes], None] | None = None

    @property
    def endpoint(self) -> str:
        return f"memory://{self.name}"

    async def start(self, on_message: Callable[[bytes], None]) -> None:
        self.attach(on_message)

    def attach(self, on_message: Callable[[bytes], None]) -> None:
        """`start` for simulations, which have no event loop."""
        self._on_message = on_message
        self._network.attach(self)

    def set_peer(self, name: str, endpoint: str) -> None:
        scheme, _, host = endpoint.partition("://")
        if scheme != "memory" or not host:
            raise TransportError(reason="an endpoint here is memory://NAME", endpoint=endpoint)
        self._peers[name] = host

    def remove_peer(self, name: str) -> None:
        self._peers.pop(name, None)

    def send(self, peer: str, data: bytes) -> None:
        receiver = self._peers.get(peer)
        if (
            self._on_message is not None
            and receiver is not None
            and len(data) <= MESSAGE_BYTES_MAX
            and self._network.carry(self.name, receiver, data)
        ):
            self.metrics.sent += 1
        else:
            self.metrics.dropped += 1

    def receive(self, data: bytes) -> None:
        """Called by the network."""
        if self._on_message is not None:
            self.metrics.received += 1
            self._on_message(data)

    def close(self) -> None:
        self._on_message = None
        self._network.detach(self)
