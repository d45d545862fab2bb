"""A whole node in one thread: real hosts, shards, links and journals under a virtual clock.

Everything random comes from one seed: losses, delays and repeats of the network, the time an append
takes, crashes, and what traders do. A failing seed repeats exactly.
"""

import heapq
import random
from collections.abc import Callable, Coroutine
from typing import Any

from actors import wire
from actors.follower import Follower
from actors.host_core import HostCore
from actors.journal import Journal
from actors.link import Link
from actors.outbox import Lane
from actors.placement import NodePlacement
from actors.shard import Shard, ShardState
from actors.transport.memory import Faults, MemoryNetwork
from exchange.ids import DIRECTORY_SHARD, market_shard
from storage.memory import MemoryHotStore
from storage.ports import BatchRecord, OutcomeUnknownError, StoreError
from tests.simulation.disks import KeptStreams
from tests.simulation.shards import SimulatedShards

MILLISECOND = 1_000_000
TICK_NS = 20 * MILLISECOND
EPOCH_NS = 1_700_000_000 * 10**9
ACCOUNT_SHARDS = 3


def complete(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits: stores in memory answer at once."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a coroutine of the simulation waited")


class World:
    """Time, the network, the disks, and all hosts."""

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults,
        crash_every_ms: int = 0,
        unknown_appends: float = 0.0,
        buffer_items_max: int = 2_000,
        lane_cache_max: int = 500,
        snapshot_every_events: int = 150,
        frame_items: tuple[int, ...] = (3, 50, 1_000),
        partition_every_ms: int = 0,
        clock_jump_every_ms: int = 0,
        trims: bool = False,
        rebuild_chance: float = 1.0,
        shards: SimulatedShards | None = None,
        core_type: type[HostCore] = HostCore,
        link_type: type[Link] = Link,
        journal_type: type[Journal] = Journal,
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now_ns = 1
        self.network = MemoryNetwork(random.Random(seed + 1), lambda: self.now_ns, faults)
        self.placement = NodePlacement(["accounts-1", "accounts-2"], ["markets-1", "markets-2"])
        self.shards = shards or SimulatedShards()
        self.core_type, self.link_type, self.journal_type = core_type, link_type, journal_type
        self.unknown_appends = 0.0
        self._unknown_appends = unknown_appends
        self.buffer_items_max = buffer_items_max
        self.lane_cache_max = lane_cache_max
        self.snapshot_every_events = snapshot_every_events
        self.disks: dict[str, KeptStreams] = {}
        self.hosts: dict[str, SimulatedHost] = {}
        self.hosts_without_shards: dict[str, SimulatedHost] = {}
        self.frame_items = frame_items
        self.trims = trims
        self.rebuild_chance = rebuild_chance  # of a suspended entity, each tick
        self.crashes = self.partitions = self.clock_jumps = 0
        self.clock_offsets_ns: dict[str, int] = {}  # of wall clocks; monotonic ones never jump
        self._crash_every_ns = crash_every_ms * MILLISECOND
        self._partition_every_ns = partition_every_ms * MILLISECOND
        self._clock_jump_every_ns = clock_jump_every_ms * MILLISECOND
        self._cuts: list[tuple[str, str]] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        for name in (*self.placement.account_hosts, *self.placement.market_hosts):
            self.disks[name] = KeptStreams()
            self.start_host(name)

    # ---------------------------------------------------------------- time

    def at(self, when_ns: int, callback: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when_ns, self._number, callback))

    def after(self, delay_ns: int, callback: Callable[[], None]) -> None:
        self.at(self.now_ns + delay_ns, callback)

    def run_until(self, end_ns: int, is_done: Callable[[], bool] | None = None) -> None:
        """Let time pass: events and arrivals in their order."""
        steps = 0
        while True:
            due = self._events[0][0] if self._events else end_ns
            arrival = self.network.next_due_ns
            next_ns = min(due, arrival if arrival is not None else due)
            if next_ns >= end_ns:
                self.now_ns = end_ns
                return
            self.now_ns = max(self.now_ns, next_ns)
            self.network.deliver_due(self.now_ns)
            while self._events and self._events[0][0] <= self.now_ns:
                heapq.heappop(self._events)[2]()
            steps += 1
            if is_done is not None and steps % 50 == 0 and is_done():
                return

    # ---------------------------------------------------------------- hosts

    def start_host(self, name: str) -> None:
        host = SimulatedHost(self, name)
        self.hosts[name] = host
        host.start()

    def crash_host(self, name: str) -> None:
        """The process is gone: what it had in memory, and what it was appending perhaps too."""
        self.hosts.pop(name).is_dead = True
        self.network.crash(name)
        self.crashes += 1

    def misbehave(self) -> None:
        """Begin with crashes, partitions and clock jumps: the set-up is done."""
        self.unknown_appends = self._unknown_appends
        if self._crash_every_ns:
            self.after(self.random.randint(1, 2 * self._crash_every_ns), self._crash_one)
        if self._partition_every_ns:
            self.after(self.random.randint(1, 2 * self._partition_every_ns), self._cut_two)
        if self._clock_jump_every_ns:
            self.after(self.random.randint(1, 2 * self._clock_jump_every_ns), self._jump)

    def _crash_one(self) -> None:
        if self._crash_every_ns:
            name = self.random.choice(sorted(self.disks))
            if name in self.hosts:
                self.crash_host(name)
                self.after(self.random.randint(1, 400) * MILLISECOND, lambda: self.start_host(name))
            self.after(self.random.randint(1, 2 * self._crash_every_ns), self._crash_one)

    def _cut_two(self) -> None:
        if self._partition_every_ns:
            names = [*sorted(self.disks), *sorted(self.hosts_without_shards)]
            pair = (names.pop(self.random.randrange(len(names))), self.random.choice(names))
            self.network.cut(*pair)
            self._cuts.append(pair)
            self.partitions += 1
            self.after(self.random.randint(1, 1_500) * MILLISECOND, self._join_two)
            self.after(self.random.randint(1, 2 * self._partition_every_ns), self._cut_two)

    def _join_two(self) -> None:
        if self._cuts:
            self.network.heal(*self._cuts.pop(0))

    def _jump(self) -> None:
        if self._clock_jump_every_ns:
            names = [*sorted(self.disks), *sorted(self.hosts_without_shards)]
            name = self.random.choice(names)
            self.clock_offsets_ns[name] = self.random.randint(-20_000, 20_000) * MILLISECOND
            self.clock_jumps += 1
            self.after(self.random.randint(1, 2 * self._clock_jump_every_ns), self._jump)

    def heal(self) -> None:
        """No more faults from now on."""
        self._crash_every_ns = self._partition_every_ns = self._clock_jump_every_ns = 0
        self.clock_offsets_ns.clear()
        while self._cuts:
            self._join_two()
        self.unknown_appends = 0.0
        self.network.faults = Faults(delay_ns_min=MILLISECOND // 10, delay_ns_max=MILLISECOND)
        self.shards.heal()

    def serving_shards(self) -> list[Shard]:
        return [
            shard for name in sorted(self.hosts) for shard in self.hosts[name].core.shards.values()
        ]

    @property
    def is_settled(self) -> bool:
        """All hosts serve all their shards, and every message between shards is consumed."""
        if len(self.hosts) < len(self.disks):
            return False
        if not all(host.has_opened for host in self.hosts.values()):
            return False
        shards = self.serving_shards()
        return all(
            shard.state is ShardState.SERVING
            and shard.batch.is_empty
            and shard.durable_seq == shard.seq
            and not shard.suspended
            and all(lane.acked == lane.last for lane in shard.lanes.values())
            for shard in shards
        )


class SimulatedHost:
    """The real core, journal and follower of a shard host, driven by the world."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_dead = False
        self.has_opened = False
        self._is_turn_due = False
        self._rebuilds: list[tuple[Shard, int]] = []
        self.on_tick: Callable[[], None] = lambda: None
        self.transport = world.network.transport(name)
        self.core = world.core_type(
            name,
            world.now_ns + 1,
            placement=world.placement,
            randomness=random.Random(world.random.random()),
            clock_ns=self._wall_clock_ns,
            monotonic_ns=lambda: world.now_ns,
            new_link=self._new_link,
            submit=self._submit,
            lane_cache_max=world.lane_cache_max,
        )
        self.store = MemoryHotStore(world.disks.get(name, KeptStreams()))
        self.follower = Follower(self.core, feed="quotes" if name.startswith("accounts") else "")
        self.journal = world.journal_type(self.core, self.store, world.snapshot_every_events)
        core = self.core
        core.on_shard_stopped = lambda shard, _error: self._recover_later(shard.shard_id)
        core.on_shard_missing = self._open_missing
        core.on_history_lost = self._history_lost
        core.on_batch_closed = self.journal.due
        core.on_refill = self._refill_later
        core.on_rebuild = lambda shard, entity: self._rebuilds.append((shard, entity))
        self.follower.on_change.append(lambda _event: self._open_markets())

    def _history_lost(self, shard: Shard, item: wire.Resend) -> None:
        raise AssertionError(f"{item.target} has what {shard.shard_id} lost: {item.first}")

    def _wall_clock_ns(self) -> int:
        world = self.world
        return EPOCH_NS + world.now_ns + world.clock_offsets_ns.get(self.name, 0)

    def start(self) -> None:
        self.transport.attach(self._on_message)
        if self.name in self.world.disks and self._is_mine(DIRECTORY_SHARD):
            self._open(DIRECTORY_SHARD)
        self._tick()

    def _open_all(self) -> None:
        """The directory is known here: recover the shards that this host owns."""
        self.has_opened = True
        if self.name in self.world.disks:
            known = [s for s in complete(self.store.shards()) if self._is_mine(s)]
            always = self.world.placement.shards_of(self.name, ACCOUNT_SHARDS)
            for shard_id in dict.fromkeys([*always, *known]):
                if shard_id not in self.core.shards:
                    self._open(shard_id)

    def _is_mine(self, shard_id: str) -> bool:
        return self.world.placement.host_of(shard_id) == self.name

    def _open_missing(self, shard_id: str) -> None:
        if self.follower.is_synced:
            self._open(shard_id)

    def _open(self, shard_id: str) -> None:
        shard = self.world.shards.new(shard_id, self.core, self.follower, ACCOUNT_SHARDS)
        self.core.shards[shard_id] = shard
        complete(self.journal.recover(shard))
        for peer in self.core.links:
            self._announce(peer, shard_id)

    def _announce(self, peer: str, shard_id: str) -> None:
        if not self.core.links[peer].put(wire.ShardServing(shard_id)):
            self._later(TICK_NS, lambda: self._announce(peer, shard_id))

    def _open_markets(self) -> None:
        for symbol in self.follower.directory.instruments:
            shard_id = market_shard(symbol)
            if self._is_mine(shard_id) and shard_id not in self.core.shards:
                self._open(shard_id)

    def _recover_later(self, shard_id: str) -> None:
        self._later(20 * MILLISECOND, lambda: self._open(shard_id))

    def _refill_later(self, shard: Shard, lane: Lane) -> None:
        self._later(MILLISECOND, lambda: complete(self.journal.refill(shard, lane)))

    def _later(self, delay_ns: int, callback: Callable[[], None]) -> None:
        def run() -> None:
            if not self.is_dead:
                callback()
                self._turn_soon()

        self.world.after(delay_ns, run)

    def _new_link(self, peer: str, core: HostCore) -> Link:
        self.transport.set_peer(peer, f"memory://{peer}")
        return self.world.link_type(
            core.name,
            peer,
            core.incarnation,
            lambda data: self.transport.send(peer, data),
            core.peer_restarted,
            frame_items_max=self.world.random.choice(self.world.frame_items),
            buffer_items_max=self.world.buffer_items_max,
        )

    def _on_message(self, data: bytes) -> None:
        self.core.on_message(data)
        self._turn_soon()

    def _turn_soon(self) -> None:
        if not self._is_turn_due and not self.is_dead:
            self._is_turn_due = True
            self.world.after(self.world.random.randint(0, 200_000), self._turn)

    def _turn(self) -> None:
        self._is_turn_due = False
        if not self.is_dead:
            self.core.turn()
            if self.core.wants_turn:
                self._turn_soon()

    def _tick(self) -> None:
        if self.is_dead:
            return
        self.world.after(TICK_NS, self._tick)
        self.core.tick()
        self.follower.tick()
        if self.follower.is_synced and not self.has_opened:
            self._open_all()
        self.on_tick()
        if self.world.trims:
            self._project_some()
        running = self.journal.step()
        if running is not None:
            complete(self.journal.write(running))
        rebuilds, self._rebuilds = self._rebuilds, []
        for shard, entity in rebuilds:
            if shard.state is not ShardState.SERVING:
                continue
            is_its_turn = self.world.random.random() < self.world.rebuild_chance
            if is_its_turn and self.journal.is_durable_for(shard, entity):
                twin = self.world.shards.new(
                    shard.shard_id, self.core, self.follower, ACCOUNT_SHARDS
                )
                complete(self.journal.rebuild(shard, entity, twin))
            else:
                self._rebuilds.append((shard, entity))
        if self.core.wants_turn:
            self._turn_soon()

    def _project_some(self) -> None:
        """Now and then the cold store has all there is, and the streams may be trimmed."""
        for shard in self.core.shards.values():
            if shard.state is ShardState.SERVING and self.world.random.random() < 0.05:
                shard.on_item(wire.Projected(shard.shard_id, shard.durable_seq), self.name)

    def _submit(self, records: list[BatchRecord]) -> None:
        """Append after a while; a host may die before, or between the append and its news."""
        chance = self.world.random
        self.world.after(chance.randint(50_000, 3 * MILLISECOND), lambda: self._append(records))

    def _append(self, records: list[BatchRecord]) -> None:
        world = self.world
        if self.is_dead and world.random.random() < 0.5:
            return  # it never reached the disk
        is_unknown = world.random.random() < world.unknown_appends
        results: list[StoreError | None] = [OutcomeUnknownError("simulated")] * len(records)
        if not is_unknown or world.random.random() < 0.5:
            outcome = complete(self.store.append(records))
            if not is_unknown:
                results = outcome
        if not self.is_dead:
            world.after(world.random.randint(0, MILLISECOND // 2), lambda: self._committed(results))

    def _committed(self, results: list[StoreError | None]) -> None:
        if not self.is_dead:
            self.core.committed(results)
            if self.core.wants_turn:
                self._turn_soon()
