"""The network in memory does what it is told, and the same again for the same seed."""

from random import Random

import pytest

from actors.transport.memory import NO_FAULTS, Faults, MemoryNetwork, MemoryTransport


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def hosts(network: MemoryNetwork, *names: str) -> tuple[list[MemoryTransport], list[str]]:
    """Return the transports of hosts that all know each other, and the list of what arrives."""
    arrived: list[str] = []
    transports = []
    for name in names:
        transport = network.transport(name)

        def on_message(data: bytes, name: str = name) -> None:
            arrived.append(f"{name}:{data.decode()}")

        transport.attach(on_message)
        for peer in names:
            transport.set_peer(peer, f"memory://{peer}")
        transports.append(transport)
    return transports, arrived


def play(seed: int) -> list[str]:
    clock = Clock()
    faults = Faults(loss=0.2, repeat=0.2, delay_ns_min=1, delay_ns_max=50)
    network = MemoryNetwork(Random(seed), clock, faults)
    (left, right), arrived = hosts(network, "left", "right")
    for number in range(200):
        left.send("right", b"%d" % number)
        right.send("left", b"%d" % number)
        clock.now_ns += 5
        network.deliver_due(clock.now_ns)
    network.deliver_due(clock.now_ns + 50)
    return arrived


def test_same_seed_same_fate() -> None:
    assert play(1) == play(1)
    assert play(1) != play(2)


def test_faults_lose_repeat_and_reorder() -> None:
    at_right = [int(text.removeprefix("right:")) for text in play(3) if text.startswith("right:")]
    assert set(at_right) < set(range(200))
    assert len(set(at_right)) < len(at_right)
    assert at_right != sorted(at_right)


def test_without_faults_everything_arrives_in_order_when_it_is_due() -> None:
    clock = Clock()
    network = MemoryNetwork(Random(1), clock, Faults(delay_ns_min=10, delay_ns_max=10))
    (left, _), arrived = hosts(network, "left", "right")
    for number in range(3):
        left.send("right", b"%d" % number)
    assert network.next_due_ns == 10
    assert network.deliver_due(9) == 0
    assert network.deliver_due(10) == 3
    assert arrived == ["right:0", "right:1", "right:2"]
    assert network.next_due_ns is None


def test_a_cut_pair_hears_nothing_of_each_other_until_it_is_healed() -> None:
    network = MemoryNetwork(Random(1), Clock(), NO_FAULTS)
    (left, right, third), arrived = hosts(network, "left", "right", "third")
    left.send("right", b"under way")
    network.cut("right", "left")
    left.send("right", b"lost")
    right.send("left", b"lost")
    third.send("left", b"heard")
    network.deliver_due(0)
    assert arrived == ["left:heard"]
    network.heal("left", "right")
    left.send("right", b"healed")
    network.deliver_due(0)
    assert arrived == ["left:heard", "right:healed"]


def test_a_crashed_host_neither_sends_nor_receives_and_its_successor_gets_what_is_under_way() -> (
    None
):
    network = MemoryNetwork(Random(1), Clock(), NO_FAULTS)
    (left, right), arrived = hosts(network, "left", "right")
    left.send("right", b"late")
    network.crash("right")
    right.send("left", b"from the dead")
    assert right.metrics.dropped == 1
    successor = network.transport("right")
    successor.attach(lambda data: arrived.append(f"successor:{data.decode()}"))
    network.deliver_due(0)
    assert arrived == ["successor:late"]
    right.close()  # the dead one's close does not take its successor off the network
    left.send("right", b"again")
    network.deliver_due(0)
    assert arrived == ["successor:late", "successor:again"]


@pytest.mark.parametrize("messages_max", [1, 10])
def test_beyond_its_bound_the_network_loses_and_the_sender_counts(messages_max: int) -> None:
    network = MemoryNetwork(Random(1), Clock(), NO_FAULTS, messages_max)
    (left, _), arrived = hosts(network, "left", "right")
    for _ in range(12):
        left.send("right", b"x")
    assert (left.metrics.sent, left.metrics.dropped) == (messages_max, 12 - messages_max)
    network.deliver_due(0)
    assert len(arrived) == messages_max
