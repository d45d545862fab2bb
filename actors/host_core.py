"""The heart of a host, without I/O: frames in, shards and processes, records and frames out.

The same object runs under an event loop (host_loop.py) and under the simulation (tests/simulation),
which is why it knows no socket, no store and no clock but those it is handed.

The order of its steps is the durability promise: what a turn did goes into records; while they are
being appended the next turn works in memory; when they are durable, what waited for them leaves.
"""

import hashlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Raw

from actors import wire
from actors.batch import Batch
from actors.link import Link
from actors.outbox import Lane
from actors.shard import MAILBOX_MAX, Shard, ShardState
from storage.ports import BatchRecord, StoreError
from supervision.crash import CrashReport
from supervision.process import Pid
from supervision.report import SupervisorReport
from supervision.scheduler import Scheduler

TURN_BYTES = 64 * 1024  # of frames, that a turn takes in
LANE_STALLED_NS = 1_000_000_000  # nothing acknowledged for so long: send again from the cursor


class Placement(Protocol):
    """Who owns what."""

    def host_of(self, shard: str) -> str: ...


class Loopback:
    """The link of a host to itself: the same adders, delivered on the next turn."""

    def __init__(self, queue: list[wire.Item]) -> None:
        self._queue = queue

    def put(self, item: wire.Item) -> bool:
        self._queue.append(item)
        return True

    def put_numbered(self, source: str, target: str, number: int, raw: Raw) -> bool:
        return self.put(wire.Numbered(source, target, number, [raw]))

    def put_watermark(self, source: str, target: str, number: int) -> bool:
        return self.put(wire.Watermark(source, target, number))

    def put_command(self, shard: str, raw: Raw, favoured: bool = False) -> bool:
        return self.put(wire.Commands(shard, [raw]))

    def put_answer(self, raw: Raw) -> bool:
        return self.put(wire.Answers([raw]))

    def put_market_data(self, shard: str, raw: Raw) -> bool:
        return self.put(wire.MarketData(shard, [raw]))

    def put_user_event(self, shard: str, raw: Raw) -> bool:
        return self.put(wire.UserEvents(shard, [raw]))


class HostCore:
    """One host: its shards, its links, one commit in flight."""

    def __init__(
        self,
        name: str,
        incarnation: int,
        *,
        placement: Placement,
        randomness: random.Random,
        clock_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        new_link: Callable[[str, "HostCore"], Link],
        submit: Callable[[list[BatchRecord]], None],
        lane_cache_max: int = 20_000,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.placement = placement
        self.scheduler = Scheduler(monotonic_ns, randomness, on_report=self._on_crash)
        self.clock_ns = clock_ns
        self.monotonic_ns = monotonic_ns
        self.lane_cache_max = lane_cache_max
        self.shards: dict[str, Shard] = {}
        self.links: dict[str, Link] = {}
        self.heard_at_ns: dict[str, int] = {}  # monotonic, by peer
        self.handlers: dict[type[Any], Callable[[Any, str], None]] = {}  # (item, sender)
        self.owners: dict[Pid, tuple[Shard, int]] = {}  # whose process a pid is
        self.on_supervisor_report: Callable[[SupervisorReport], None] = lambda _report: None
        self.on_history_lost: Callable[[Shard, wire.Resend], None] = lambda _shard, _item: None
        self.on_crash: Callable[[CrashReport], None] = lambda _report: None
        self.on_batch_closed: Callable[[Shard], None] = lambda _shard: None
        self.wants_turn = False
        self.has_delayed = False  # acknowledgements wait for data: flush again in ACK_DELAY_NS
        # What the owner of the core does when told; each is set before the first turn.
        self.on_shard_stopped: Callable[[Shard, StoreError], None]
        self.on_shard_missing: Callable[[str], None]
        self.on_refill: Callable[[Shard, Lane], None]
        self.on_rebuild: Callable[[Shard, int], None]
        self.on_peer_restarted: list[Callable[[str], None]] = []
        self._new_link = new_link
        self._submit = submit
        self._in_flight: (
            tuple[list[tuple[Shard, BatchRecord | None, Batch]], dict[str, tuple[int, int]]] | None
        )
        self._in_flight = None
        self._inbox: deque[tuple[wire.Frame, int]] = deque()  # (frame, its bytes), in order
        self._owed: dict[str, tuple[int, int]] = {}  # per peer: the newest frame taken in
        self._unpumped: dict[Lane, Shard] = {}
        self._loop_items: list[wire.Item] = []
        self._loopback = Loopback(self._loop_items)
        self._is_closing = False
        self._shard_handlers: dict[type[Any], Callable[[Any, str], None]] = {
            wire.Numbered: self._on_numbered,
            wire.Watermark: self._on_watermark,
            wire.Resend: self._on_resend,
            wire.Commands: self._on_commands,
            wire.Sync: self._on_targeted,
            wire.Synced: self._on_targeted,
            wire.Follow: self._on_addressed,
            wire.SubscribeUser: self._on_addressed,
            wire.UnsubscribeUser: self._on_addressed,
            wire.Projected: self._on_addressed,
        }

    # ---------------------------------------------------------------- in

    def on_message(self, data: bytes) -> None:
        """Take one frame from the transport. The caller runs a turn afterwards."""
        frame = wire.decode_frame(data)
        link = self.link(frame.sender)
        self.heard_at_ns[frame.sender] = self.monotonic_ns()
        for ready in link.on_frame(frame, self.monotonic_ns()):
            self._inbox.append((ready, len(data)))
        self.wants_turn = True

    def _dispatch(self, item: Any, sender: str) -> None:
        handler = self._shard_handlers.get(type(item)) or self.handlers.get(type(item))
        if handler is not None:  # else: a feed that nobody here follows any more
            handler(item, sender)

    def turn(self) -> None:
        """Run the processes, gather their batches, submit or release, send."""
        self.wants_turn = False
        if self._loop_items:
            items, self._loop_items[:] = self._loop_items[:], []
            for item in items:
                self._dispatch(item, self.name)
        self._take_frames()
        self.scheduler.run()
        for shard in self.shards.values():
            if shard.state is ShardState.SERVING:
                shard.after_turn()
        if self._in_flight is None:
            self._close_batches()
        self.flush()
        if self._loop_items or self._inbox:
            self.wants_turn = True

    def _take_frames(self) -> None:
        """Take in about as much as one record should hold: the next turn works on the rest while
        this one is being appended. The windows of the links bound what waits."""
        inbox = self._inbox
        left_bytes = TURN_BYTES
        while inbox and left_bytes > 0:
            frame, size_bytes = inbox.popleft()
            left_bytes -= size_bytes
            for item in frame.items:
                self._dispatch(item, frame.sender)
            if frame.seq:
                self._owed[frame.sender] = frame.seq, frame.incarnation

    def _close_batches(self) -> None:
        group: list[tuple[Shard, BatchRecord | None, Batch]] = []
        records: list[BatchRecord] = []
        for shard in self.shards.values():
            if shard.state is ShardState.SERVING and (closed := shard.close_batch()) is not None:
                record, batch = closed
                self.on_batch_closed(shard)
                group.append((shard, record, batch))
                if record is not None:
                    records.append(record)
        owed, self._owed = self._owed, {}
        if records:
            self._in_flight = group, owed
            self._submit(records)
        elif group or owed:
            self._release(group, owed)

    def committed(self, results: list[StoreError | None]) -> None:
        """The group in flight was appended, or what of it failed and why. Runs a turn."""
        assert self._in_flight is not None
        (group, owed), self._in_flight = self._in_flight, None
        outcome = iter(results)
        durable = []
        for shard, record, batch in group:
            error = None if record is None else next(outcome)
            if shard.state is not ShardState.SERVING:
                continue  # stopped meanwhile: its outputs never happened
            if error is None:
                durable.append((shard, record, batch))
            else:
                self.stop_shard(shard, error)
        self._release(durable, owed)
        self.turn()

    def _release(
        self, group: list[tuple[Shard, BatchRecord | None, Batch]], owed: dict[str, tuple[int, int]]
    ) -> None:
        for shard, record, batch in group:
            shard.release(record, batch)
            if batch.outbox:
                for target in batch.outbox:
                    self._unpumped[shard.lanes[target]] = shard
        for peer, (seq, incarnation) in owed.items():
            if peer in self.links:  # else forgotten meanwhile
                self.links[peer].durable(seq, incarnation)

    def stop_shard(self, shard: Shard, error: StoreError) -> None:
        """Discard a shard's memory; its owner recovers it from the stream."""
        shard.stop()
        for lane in shard.lanes.values():
            self._unpumped.pop(lane, None)
        self.on_shard_stopped(shard, error)

    def _on_crash(self, report: CrashReport) -> None:
        owner = self.owners.get(report.pid)
        if owner is not None:
            shard, entity = owner
            mailbox = self.scheduler.mailbox_head(report.pid, MAILBOX_MAX)
            shard.crashed(entity, mailbox, str(report.reason))
        self.on_crash(report)

    # ---------------------------------------------------------------- out

    def link(self, peer: str) -> Any:
        if peer == self.name:
            return self._loopback
        link = self.links.get(peer)
        if link is None:
            link = self.links[peer] = self._new_link(peer, self)
            self.heard_at_ns[peer] = self.monotonic_ns()  # a silence is counted from here
        return link

    def flush(self) -> None:
        """Hand to the links what waits, and send what has credit."""
        now_ns = self.monotonic_ns()
        if self._unpumped:
            for lane, shard in list(self._unpumped.items()):
                self._pump(shard, lane, now_ns)
        self.has_delayed = False
        for link in self.links.values():
            link.flush(now_ns)
            if link.is_delayed:
                self.has_delayed = True

    def _pump(self, shard: Shard, lane: Lane, now_ns: int) -> None:
        put_numbered = self.link(self.placement.host_of(lane.target)).put_numbered
        source, target = shard.shard_id, lane.target
        lane.pump(lambda number, raw: bool(put_numbered(source, target, number, raw)), now_ns)
        if lane.needs_refill:
            lane.is_refilling = True
            self.on_refill(shard, lane)
        if lane.is_idle:
            self._unpumped.pop(lane, None)

    def refilled(self, shard: Shard, lane: Lane, messages: list[tuple[int, Raw]]) -> None:
        """The owner of the core read these messages of `lane` from the journal."""
        lane.is_refilling = False
        if self.shards.get(shard.shard_id) is shard and shard.state is ShardState.SERVING:
            lane.refill(messages)
            self._unpumped[lane] = shard
            self.flush()

    def send_answer(self, host: str, raw: Raw) -> None:
        self.link(host).put_answer(raw)

    def send_watermark(self, source: str, target: str, number: int) -> None:
        self.link(self.placement.host_of(source)).put_watermark(source, target, number)

    def send_resend(self, source: str, target: str, first: int) -> None:
        self.link(self.placement.host_of(source)).put(wire.Resend(source, target, first))

    def send_to_shard(self, shard: str, item: wire.Item) -> None:
        self.link(self.placement.host_of(shard)).put(item)

    def batch_id(self, shard: str, seq: int) -> bytes:
        """Name a record so that its writer can recognise it: unique per incarnation and seq."""
        return hashlib.blake2b(
            f"{self.name}/{self.incarnation}/{shard}/{seq}".encode(), digest_size=12
        ).digest()

    # ---------------------------------------------------------------- time

    def tick(self) -> None:
        """Resend what was not acknowledged. Call about every 50 ms."""
        now_ns = self.monotonic_ns()
        for link in self.links.values():
            link.tick(now_ns)
        for shard in self.shards.values():
            if shard.state is not ShardState.SERVING:
                continue
            for lane in shard.lanes.values():
                if lane.acked >= lane.released:
                    continue
                if now_ns - lane.moved_at_ns > LANE_STALLED_NS:
                    lane.rewind(lane.acked + 1, now_ns)
                if not lane.is_idle:
                    self._unpumped[lane] = shard
        self.scheduler.run_timers()
        self.turn()

    def peer_restarted(self, peer: str) -> None:
        """A link began anew: send again from the cursors, and let feeds be asked for again."""
        now_ns = self.monotonic_ns()
        for shard in self.shards.values():
            if shard.state is ShardState.SERVING:
                for lane in shard.lanes.values():
                    if self.placement.host_of(lane.target) == peer:
                        lane.rewind(lane.acked + 1, now_ns)
                        self._unpumped[lane] = shard
                shard.forget_peer(peer)
        for callback in self.on_peer_restarted:
            callback(peer)

    def forget_peer(self, peer: str) -> None:
        """The peer is gone for good: nothing waits for it any more."""
        self.links.pop(peer, None)
        self.heard_at_ns.pop(peer, None)
        self._owed.pop(peer, None)
        for shard in self.shards.values():
            shard.forget_peer(peer)

    @property
    def is_quiet(self) -> bool:
        """Nothing is being appended and nothing waits to be: a host may end here."""
        return (
            self._in_flight is None
            and not self._inbox
            and all(
                shard.batch.is_empty
                for shard in self.shards.values()
                if shard.state is ShardState.SERVING
            )
        )

    # ---------------------------------------------------------------- items for shards

    def _serving(self, shard_id: str) -> Shard | None:
        """Return the shard if it is here and serving. What is dropped else is asked for again."""
        shard = self.shards.get(shard_id)
        if shard is None:
            if self.placement.host_of(shard_id) == self.name:
                self.on_shard_missing(shard_id)
            return None
        return shard if shard.state is ShardState.SERVING else None

    def _on_numbered(self, item: wire.Numbered, _sender: str) -> None:
        shard = self._serving(item.target)
        if shard is not None:
            shard.on_numbered(item, self.monotonic_ns())

    def _on_watermark(self, item: wire.Watermark, _sender: str) -> None:
        shard = self._serving(item.source)
        lane = shard.lanes.get(item.target) if shard is not None else None
        if lane is not None and item.number <= lane.released:
            lane.acknowledge(item.number, self.monotonic_ns())

    def _on_resend(self, item: wire.Resend, _sender: str) -> None:
        shard = self._serving(item.source)
        lane = shard.lanes.get(item.target) if shard is not None else None
        if shard is not None and item.first > (lane.released if lane is not None else 0) + 1:
            self.on_history_lost(shard, item)
        elif shard is not None and lane is not None and lane.acked < item.first:
            lane.rewind(item.first, self.monotonic_ns())
            self._unpumped[lane] = shard

    def _on_commands(self, item: wire.Commands, _sender: str) -> None:
        shard = self._serving(item.shard)
        if shard is not None:
            shard.on_commands(item.commands)

    def _on_targeted(self, item: Any, sender: str) -> None:
        shard = self._serving(item.target)
        if shard is not None:
            shard.on_item(item, sender)

    def _on_addressed(self, item: Any, sender: str) -> None:
        shard = self._serving(item.shard)
        if shard is not None:
            shard.on_item(item, sender)
