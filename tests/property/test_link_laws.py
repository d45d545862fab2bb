"""Laws of links over a network that loses, repeats, delays and reorders, with hosts restarting.

Two hosts talk; each message names the incarnation that sent it and its running number there. The
network keeps old frames and plays some of them back, long after whom they were for is gone.
"""

import itertools
from collections import defaultdict
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.link import Link
from actors.transport.memory import Faults, MemoryNetwork
from actors.wire import Commands, Frame, Numbered, decode_frame

MS = 1_000_000
KEPT_FRAMES_MAX = 200


class Host:
    """One incarnation of a host with its link, and what it was given in order."""

    def __init__(self, world: "World", name: str, peer: str, incarnation: int) -> None:
        self.name, self.peer, self.incarnation = name, peer, incarnation
        self.taken: dict[int, list[int]] = defaultdict(list)  # numbers, by the peer's incarnation
        self.undurable: list[Frame] = []
        self.durable_seq: dict[int, int] = defaultdict(int)  # by the peer's incarnation
        self.put = 0
        self.restarts_seen = 0
        self._world = world
        self.transport = world.network.transport(name)
        self.transport.attach(self.on_message)
        self.transport.set_peer(peer, f"memory://{peer}")
        self.link = Link(
            name,
            peer,
            incarnation,
            self.send,
            self.on_peer_restarted,
            window=world.window,
            frame_items_max=world.frame_items_max,
        )

    def send(self, data: bytes) -> None:
        self._world.keep(self.peer, data)
        self.transport.send(self.peer, data)

    def on_peer_restarted(self, peer: str) -> None:
        assert peer == self.peer
        self.restarts_seen += 1

    def put_message(self, kind: int) -> None:
        self.put += 1
        raw = msgspec.Raw(msgspec.msgpack.encode([self.incarnation, self.put]))
        if kind == 0:
            assert self.link.put_command("account/0", raw)
        else:
            assert self.link.put(Numbered("a", "b", self.put, [raw]))

    def on_message(self, data: bytes) -> None:
        frame = decode_frame(data)
        for taken in self.link.on_frame(frame, self._world.now_ns):
            assert taken.peer_incarnation == self.incarnation
            assert taken.incarnation == self.link.peer_incarnation
            self.undurable.append(taken)
            for item in taken.items:
                assert isinstance(item, Commands | Numbered)
                messages = item.commands if isinstance(item, Commands) else item.messages
                for raw in messages:
                    sent_by, number = msgspec.msgpack.decode(raw)
                    assert sent_by == taken.incarnation
                    self.taken[sent_by].append(number)
        # An acknowledgement that counts is never ahead of what the peer declared durable.
        peer = self._world.hosts[self.peer]
        if frame.incarnation == peer.incarnation and frame.peer_incarnation == self.incarnation:
            assert frame.ack <= peer.durable_seq[self.incarnation]

    def make_durable(self, count: int) -> None:
        frames, self.undurable = self.undurable[:count], self.undurable[count:]
        for frame in frames:
            self.durable_seq[frame.incarnation] = frame.seq
            self.link.durable(frame.seq, frame.incarnation)


class World:
    def __init__(self, seed: int, faults: Faults, window: int, frame_items_max: int) -> None:
        self.random = Random(seed)
        self.now_ns = 0
        self.window, self.frame_items_max = window, frame_items_max
        self.network = MemoryNetwork(self.random, lambda: self.now_ns, faults)
        self.kept: list[tuple[str, bytes]] = []
        self.incarnation = 0
        self.hosts: dict[str, Host] = {}
        for name in ("left", "right"):
            self.start(name)

    def start(self, name: str) -> None:
        self.network.crash(name)
        self.incarnation += 1
        peer = "right" if name == "left" else "left"
        self.hosts[name] = Host(self, name, peer, self.incarnation)

    def keep(self, receiver: str, data: bytes) -> None:
        if len(self.kept) < KEPT_FRAMES_MAX:
            self.kept.append((receiver, data))
        else:
            self.kept[self.random.randrange(KEPT_FRAMES_MAX)] = (receiver, data)

    def replay(self) -> None:
        """Play an old frame back, to whoever bears the name now."""
        if self.kept:
            receiver, data = self.random.choice(self.kept)
            self.hosts[receiver].on_message(data)

    def step(self, elapsed_ns: int) -> None:
        self.now_ns += elapsed_ns
        self.network.deliver_due(self.now_ns)
        for host in self.hosts.values():
            host.link.tick(self.now_ns)

    def settle(self) -> None:
        """Let a sound network carry everything that is still waiting."""
        self.network.faults = Faults()
        for _ in range(1_000):
            for host in self.hosts.values():
                host.make_durable(len(host.undurable))
            self.step(100 * MS)
            if all(
                host.link.is_connected and not host.link.queue_length and not host.link.in_flight
                for host in self.hosts.values()
            ):
                return
        raise AssertionError("links did not settle")

    def check_order(self) -> None:
        """What was taken of an incarnation ascends: nothing twice, nothing out of order."""
        for host in self.hosts.values():
            for numbers in host.taken.values():
                assert all(a < b for a, b in itertools.pairwise(numbers))


faults = st.builds(
    Faults,
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    repeat=st.sampled_from([0.0, 0.3]),
    delay_ns_min=st.just(0),
    delay_ns_max=st.sampled_from([0, 5 * MS, 400 * MS]),
)
actions = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "durable", "step", "step", "replay", "restart"]),
        st.sampled_from(["left", "right"]),
        st.integers(0, 5),
    ),
    min_size=25,  # without it hypothesis draws about five, and too little happens in five
    max_size=80,
)


def run(world: World, steps: list[tuple[str, str, int]], *, restarts: bool) -> None:
    for action, name, amount in steps:
        host = world.hosts[name]
        if action == "put":
            for _ in range(amount + 1):
                host.put_message(0 if amount < 4 else 1)
            host.link.flush(world.now_ns)
        elif action == "durable":
            host.make_durable(amount)
        elif action == "step":
            world.step((1 + 60 * amount) * MS)
        elif action == "replay":
            world.replay()
        elif restarts:
            world.start(name)
    world.check_order()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), faults, st.integers(1, 4), st.sampled_from([1, 3, 1000]), actions)
def test_everything_put_arrives_exactly_once_and_in_order(
    seed: int, faults: Faults, window: int, items_max: int, steps: list[tuple[str, str, int]]
) -> None:
    world = World(seed, faults, window, items_max)
    run(world, steps, restarts=False)
    world.settle()
    for host in world.hosts.values():
        peer = world.hosts[host.peer]
        assert host.taken[peer.incarnation] == list(range(1, peer.put + 1))
        assert host.restarts_seen == 0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), faults, st.integers(1, 4), st.sampled_from([1, 3, 1000]), actions)
def test_nothing_of_an_older_incarnation_is_taken_after_a_restart(
    seed: int, faults: Faults, window: int, items_max: int, steps: list[tuple[str, str, int]]
) -> None:
    world = World(seed, faults, window, items_max)
    run(world, steps, restarts=True)
    world.settle()
    for _ in range(50):
        world.replay()
        world.step(MS)
    world.settle()
    world.check_order()
    for host in world.hosts.values():
        peer = world.hosts[host.peer]
        # Both new conversations work, and what was put from now on arrives whole.
        before = len(host.taken[peer.incarnation])
        for _ in range(5):
            peer.put_message(0)
        world.settle()
        assert host.taken[peer.incarnation][before:] == list(range(peer.put - 4, peer.put + 1))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), faults, actions)
def test_a_restart_is_noticed_by_the_peer_that_stays(
    seed: int, faults: Faults, steps: list[tuple[str, str, int]]
) -> None:
    world = World(seed, faults, 2, 1000)
    world.settle()
    world.network.faults = faults
    world.start("right")
    run(world, steps, restarts=False)
    world.settle()
    assert world.hosts["left"].restarts_seen == 1
    assert world.hosts["left"].link.peer_incarnation == world.hosts["right"].incarnation
