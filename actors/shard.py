"""One shard: its stream, its processes, its batch. Everything that makes an answer true is here.

A shard takes messages in, lets its processes decide, and gathers what they did into a batch. The
batch's events become one record; what must leave (messages, answers, market data) waits in the
batch and leaves when the record is durable. The shard does no I/O: its host (host_core.py) appends
the record and says how it went. Kinds of shard differ in what an entity is and who gets which
message.
"""

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Raw

from actors import wire
from actors.batch import Batch, encode
from actors.outbox import Lane
from actors.shard_snapshot import (
    ShardHeader,
    decode_shard_state,
    frozen_holes,
    needed_from,
    thawed_holes,
)
from storage.codec import decode_body, encode_body
from storage.ports import BatchRecord, Head, Snapshot
from supervision.light import LightStart, LightSupervisor
from supervision.process import Behaviour, Pid
from supervision.reason import KILL
from supervision.report import Done
from supervision.spec import ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec

if TYPE_CHECKING:
    from actors.host_core import HostCore

MAILBOX_MAX = 1_000_000  # of an entity; drained every turn, so the windows of the links bound it
ATTEMPTS_KEPT = 1_000  # items whose failures are remembered
ATTEMPTS_MAX = 3  # of one item, then it is quarantined (DESIGN section 5)
ENTITY = 0  # the name of the entity of a shard that has only one
RESEND_EVERY_NS = 100_000_000


class ShardState(enum.Enum):
    RECOVERING = "recovering"
    SERVING = "serving"
    STOPPED = "stopped"  # an append was refused or its outcome is unknown: rebuilt from the stream
    FAILED = "failed"  # cannot be rebuilt: an operator must act


class Shard:
    """What all kinds of shard have in common. Subclasses say what their entities are."""

    # By the kind of the source: "account", "market" or "directory".
    message_decoders: ClassVar[dict[str, Callable[[Raw], Any]]]

    def __init__(self, shard_id: str, host: "HostCore") -> None:
        self.shard_id = shard_id
        self.host = host
        self.state = ShardState.RECOVERING
        self.epoch = 0
        self.seq = 0  # of the last closed batch
        self.durable_seq = 0
        self.snapshot_seq = 0  # of the newest snapshot that is durable
        # What the kept snapshots need of the stream; what their lanes had yet to send is included.
        self.snapshot_needs_seq = 0
        self.older_snapshot_needs_seq = 0
        self.batch = Batch()
        self.watermarks: dict[str, int] = {}  # per source: applied up to, in memory
        # Below the watermark, not yet applied: source -> number -> by these entities. A message may
        # concern two, and one of them may have had it.
        self.holes: dict[str, dict[int, tuple[int, ...]]] = {}
        self.durable: dict[str, int] = {}  # per source: in a durable record up to
        # Of the holes, those whose message is in a mailbox here; the others were lost in a crash of
        # the host, and are taken when they are sent again. Only asked for membership.
        self.kept: set[tuple[str, int, int]] = set()  # (source, number, entity)
        self.lanes: dict[str, Lane] = {}
        self.attempts: dict[object, int] = {}  # failures of items not yet quarantined
        self.entities: dict[int, Pid] = {}
        self._supervisor: LightSupervisor | None = None  # once there is an entity
        self._supervisor_pid = Pid(0)
        self.suspended: dict[int, str] = {}  # entities whose process crashed -> the error
        self.suspended_at_seq: dict[int, int] = {}  # they did nothing after this
        self.snapshot_begun_seq = 0
        self.projected_seq = 0  # the cold store has everything up to here
        self._asked_at_ns: dict[str, int] = {}

    # ---------------------------------------------------------------- for subclasses

    def replay_entry(self, entity: int, raw: Raw) -> tuple[str, ...]:
        """Fold one entry of the stream; return the targets it is a message to."""
        raise NotImplementedError

    def targets_of_entry(self, raw: Raw) -> tuple[str, ...]:
        """Return the targets that an entry of the stream is a message to."""
        raise NotImplementedError

    def restore(self, payload: bytes) -> None:
        """Take the state of a snapshot."""
        raise NotImplementedError

    def behaviour_of(self, entity: int) -> Behaviour:
        """Return a behaviour over the entity's present state."""
        raise NotImplementedError

    def adopt(self, entity: int, twin: Any) -> None:
        """Take the entity's state from `twin`, a shard of the same kind that folded it anew."""
        raise NotImplementedError

    def quarantine(self, entity: int, message: Any, error: str) -> None:
        """Record that `message` is not run, and what that means for orders and money."""
        raise NotImplementedError

    def begin_snapshot(self) -> None:
        """Start copying the state as it is now, between two batches."""
        raise NotImplementedError

    def copy_some(self, monotonic_ns: Callable[[], int], until_ns: int) -> list[bytes] | None:
        """Copy more until the clock says `until_ns`, and at least a little.

        Return the kind's payload, in pieces to be joined, when all are copied.
        """
        raise NotImplementedError

    def resume_window(self, head_seq: int) -> None:
        """The stream that is about to be replayed ends at `head_seq`."""

    def forget_peer(self, peer: str) -> None:
        """The host `peer` was restarted: what it followed it follows anew."""

    def on_item(self, item: Any, sender: str) -> None:
        """Take an item that is addressed to this shard."""
        if type(item) is wire.Projected:
            self.projected_seq = max(self.projected_seq, item.seq)

    def started(self) -> None:
        """All is folded: start processes, announce feeds."""

    def entities_of(self, message: Any) -> tuple[int, ...]:
        """Return the entities here that `message` of another shard concerns."""
        raise NotImplementedError

    def deliver(self, entities: Iterable[int], item: Any) -> None:
        """Put (raw, decoded, source, number) into the mailboxes of these entities."""
        raise NotImplementedError

    def deliver_command(self, raw: Raw) -> None:
        """Put a command into its entity's mailbox, or answer that it cannot be."""
        raise NotImplementedError

    def after_turn(self) -> None:
        """The mailboxes are drained: answer what waited for a position, gather feeds."""

    # ---------------------------------------------------------------- recovery

    def recover(self, head: Head, snapshot: Snapshot | None, older_needs_seq: int) -> None:
        """Begin from a snapshot or from nothing. The snapshot before it needs `older_needs_seq`."""
        self.epoch = head.epoch
        if snapshot is not None:
            state = decode_shard_state(snapshot.payload)
            self.watermarks = dict(state.watermarks)
            self.holes = {source: frozen_holes(numbers) for source, numbers in state.holes.items()}
            for target, (last, acked, after_seq) in state.lanes.items():
                lane = self._new_lane(target, last, acked)
                lane.mark(acked + 1, after_seq)
            self.restore(state.payload)
            self.seq = self.snapshot_begun_seq = snapshot.seq
            self.snapshot_seq = snapshot.seq
            self.snapshot_needs_seq = needed_from(snapshot.seq, state.lanes)
            self.older_snapshot_needs_seq = older_needs_seq

    def replay(self, record: BatchRecord) -> None:
        """Fold one record of the stream: the same folding as when it was decided."""
        assert record.first_seq == self.seq + 1, (self.shard_id, record.first_seq, self.seq)
        body = decode_body(record.payload)
        for target, first in body.outbox.items():
            lane = self.lane(target)
            assert lane.last + 1 == first, (self.shard_id, target, lane.last, first)
            lane.mark(first, record.first_seq - 1)
        entities = body.entities or [ENTITY] * len(body.entries)
        for entity, raw in zip(entities, body.entries, strict=True):
            for target in self.replay_entry(entity, raw):
                self.lane(target).emit()
        self.watermarks.update(body.watermarks)
        for source, numbers in body.holes.items():
            self.holes[source] = frozen_holes(numbers)
        self.seq = record.last_seq

    def serve(self, now_ns: int) -> None:
        """Recovery is complete: tell the sources where to go on, and take messages."""
        self.durable_seq = self.seq
        self.durable = {source: self.applied(source) for source in self.watermarks}
        for lane in self.lanes.values():
            lane.released = lane.last
        self.state = ShardState.SERVING
        self.started()
        for source in sorted(self.watermarks):
            self._ask_again(source, now_ns)

    def messages_to(self, target: str, record: BatchRecord) -> list[tuple[int, Raw]]:
        """Return the messages to `target` that stand in a record, with their numbers."""
        body = decode_body(record.payload)
        number = body.outbox.get(target)
        messages: list[tuple[int, Raw]] = []
        if number is not None:
            for raw in body.entries:
                if target in self.targets_of_entry(raw):
                    messages.append((number, raw))
                    number += 1
        return messages

    # ---------------------------------------------------------------- processes

    def start_entity(self, entity: int) -> Pid:
        """Start the process of an entity under the shard's supervisor."""
        if self._supervisor is None:
            self._supervisor = LightSupervisor(
                entities_under(self.shard_id, self._entity), self.host.on_supervisor_report
            )
            self._supervisor_pid = self.host.scheduler.spawn(self._supervisor)
        outcome: list[object] = []
        self._supervisor.supervisor.start_child((entity,), outcome.append)
        started = outcome[0] if outcome else None
        assert isinstance(started, Done) and isinstance(started.handle, int), started
        pid = self.entities[entity] = Pid(started.handle)
        self.host.owners[pid] = (self, entity)
        return pid

    def _entity(self, entity: int) -> LightStart:
        return LightStart(self.behaviour_of(entity), mailbox_max=MAILBOX_MAX, on_crash="suspend")

    def end_entities(self) -> None:
        """The shard is over: its processes end, whatever is in their mailboxes."""
        for pid in self.entities.values():
            self.host.owners.pop(pid, None)
        self.entities.clear()
        if self._supervisor is not None:
            pid, self._supervisor = self._supervisor_pid, None
            self.host.scheduler.send_exit(pid, KILL, sender=pid)

    def crashed(self, entity: int, mailbox: Sequence[Any], error: str) -> None:
        """The process of `entity` failed on the first message of `mailbox`.

        What came from other shards counts as received, so it is remembered in the stream as
        missing until it is applied. The state may be half changed: it is folded anew.
        """
        item = item_of(mailbox[0])
        self.attempts[item] = self.attempts.get(item, 0) + 1
        if len(self.attempts) > ATTEMPTS_KEPT:  # most got through on a later try
            del self.attempts[next(iter(self.attempts))]
        for _, _, source, number in mailbox:
            if source:
                self.kept.add((source, number, entity))
                holes = self.holes.setdefault(source, {})
                owners = holes.get(number, ())
                if entity not in owners:
                    holes[number] = (*owners, entity)
                    self._holes_changed(source)
        self.suspended[entity] = error
        self.suspended_at_seq[entity] = self.position
        self.host.on_rebuild(self, entity)

    def take_rebuilt(self, entity: int, twin: "Shard") -> None:
        """Go on with the state that `twin` folded from the stream, and with the kept mailbox."""
        self.adopt(entity, twin)
        scheduler, pid = self.host.scheduler, self.entities[entity]
        error = self.suspended.pop(entity)
        del self.suspended_at_seq[entity]
        scheduler.replace(pid, self.behaviour_of(entity))
        message = scheduler.mailbox_head(pid, 1)[0]  # the one it crashed on
        if self.attempts.get(item_of(message), 0) >= ATTEMPTS_MAX:
            scheduler.discard_head(pid)
            del self.attempts[item_of(message)]
            self.quarantine(entity, message, error)
        scheduler.resume(pid)
        self.ask_all_again(self.host.monotonic_ns())

    def recover_entity(self, snapshot: Snapshot) -> None:
        """Begin to fold one entity anew: only the kind's own state matters."""
        self.restore(decode_shard_state(snapshot.payload).payload)

    def replay_entity(self, record: BatchRecord, entity: int) -> None:
        """Fold what a record says about one entity."""
        body = decode_body(record.payload)
        entities = body.entities or [ENTITY] * len(body.entries)
        for owner, raw in zip(entities, body.entries, strict=True):
            if owner == entity:
                self.replay_entry(entity, raw)

    # ---------------------------------------------------------------- intake

    def on_numbered(self, item: wire.Numbered, now_ns: int) -> None:
        """Apply what continues the watermark, drop what came before, ask again after a gap."""
        source = item.source
        applied = self.watermarks.get(source, 0)
        number = item.first - 1
        holes = self.holes.get(source)
        decode = self.message_decoders[source.partition("/")[0]]
        for raw in item.messages:
            number += 1
            if number == applied + 1:
                if holes and self._lost(source, holes):
                    break  # an entity must not have this before what it missed: asked for again
                message = decode(raw)
                entities = self.entities_of(message)
                if self.suspended and not self.suspended.keys().isdisjoint(entities):
                    break  # suspended: asked for again when it is rebuilt
                self.deliver(entities, (raw, message, source, number))
                applied = number
            elif number > applied + 1:
                if now_ns - self._asked_at_ns.get(source, 0) > RESEND_EVERY_NS:
                    self._ask_again(source, now_ns)
                break
            elif holes and number in holes:
                due = [e for e in holes[number] if self._is_due(source, number, e, holes)]
                if due:
                    self.kept.update([(source, number, entity) for entity in due])
                    self.deliver(due, (raw, decode(raw), source, number))
        if applied != self.watermarks.get(source, 0):
            self.watermarks[source] = applied
            self.batch.moved[source] = applied
        elif item.messages and number <= applied:
            self.host.send_watermark(source, self.shard_id, self.durable.get(source, 0))

    def applied(self, source: str) -> int:
        """Everything of `source` up to here has had its effect, in memory."""
        holes = self.holes.get(source)
        return min(holes) - 1 if holes else self.watermarks.get(source, 0)

    def on_commands(self, commands: Iterable[Raw]) -> None:
        for raw in commands:
            self.deliver_command(raw)

    def trim_seq(self) -> int:
        """Everything up to here is in both snapshots, at every consumer, in the cold store.

        A snapshot's lanes remember less of what consumers have than the live ones: whoever
        recovers from it sends again from there.
        """
        consumed = [lane.cursor[2] for lane in self.lanes.values() if lane.acked < lane.last]
        snapshots = self.older_snapshot_needs_seq, self.snapshot_needs_seq
        return min([*snapshots, self.projected_seq, *consumed])

    def ask_all_again(self, now_ns: int) -> None:
        """An entity that refused messages takes them again."""
        for source in sorted(self.watermarks):
            self._ask_again(source, now_ns)

    def _ask_again(self, source: str, now_ns: int) -> None:
        self._asked_at_ns[source] = now_ns
        self.host.send_resend(source, self.shard_id, self.applied(source) + 1)

    def close_hole(self, source: str, number: int, entity: int) -> None:
        """If that message was kept from `entity`: it is applied now."""
        holes = self.holes.get(source)
        if not holes or entity not in holes.get(number, ()):
            return
        self.kept.discard((source, number, entity))
        left = tuple(other for other in holes[number] if other != entity)
        if left:
            holes[number] = left
        else:
            del holes[number]
        self._holes_changed(source)

    def _is_due(
        self, source: str, number: int, entity: int, holes: dict[int, tuple[int, ...]]
    ) -> bool:
        """Return whether `entity` lost this message, and takes it now, and lost none before it."""
        if entity in self.suspended or (source, number, entity) in self.kept:
            return False
        return not any(
            other < number and entity in owners and (source, other, entity) not in self.kept
            for other, owners in holes.items()
        )

    def _lost(self, source: str, holes: dict[int, tuple[int, ...]]) -> bool:
        """Return whether some of the holes are in no mailbox: the host crashed with them."""
        return any(
            (source, number, entity) not in self.kept
            for number, entities in holes.items()
            for entity in entities
        )

    def _holes_changed(self, source: str) -> None:
        self.batch.moved[source] = self.watermarks.get(source, 0)

    # ---------------------------------------------------------------- what processes do

    def lane(self, target: str) -> Lane:
        lane = self.lanes.get(target)
        return lane if lane is not None else self._new_lane(target, 0, 0)

    def _new_lane(self, target: str, last: int, acked: int) -> Lane:
        lane = Lane(target, cache_max=self.host.lane_cache_max, last=last, acked=acked)
        self.lanes[target] = lane
        return lane

    def emit(self, entity: int, raw: Raw) -> None:
        """An event happened to `entity`."""
        batch = self.batch
        batch.entries.append(raw)
        batch.entities.append(entity)

    def emit_to(self, target: str, raw: Raw) -> None:
        """The event just emitted is a message to `target`."""
        batch = self.batch
        lane = self.lanes.get(target) or self._new_lane(target, 0, 0)
        number = lane.last = lane.last + 1
        if target not in batch.outbox:
            batch.outbox[target] = number
        batch.numbered.append((lane, number, raw))

    def answer(self, reply_to: str, answer: Any) -> None:
        if reply_to:
            self.batch.answers.append((reply_to, Raw(encode(answer))))

    @property
    def position(self) -> int:
        """The seq of the last event so far, of the open batch included."""
        return self.seq + len(self.batch.entries)

    # ---------------------------------------------------------------- batches

    def close_batch(self) -> tuple[BatchRecord | None, Batch] | None:
        """End the turn: return the record to append and the batch, or None if nothing happened."""
        batch = self.batch
        if batch.is_empty:
            return None
        self.batch = Batch()
        if not batch.entries and not batch.moved:
            return None, batch
        holes = {
            source: thawed_holes(self.holes[source])
            for source in batch.moved
            if source in self.holes
        }
        batch.applied = {source: self.applied(source) for source in batch.moved}
        first_seq = self.seq + 1
        self.seq += len(batch.entries) or 1
        payload = encode_body(batch.entries, batch.moved, batch.outbox, batch.entities, holes)
        for target, first in batch.outbox.items():
            self.lanes[target].mark(first, first_seq - 1)
        record = BatchRecord(
            shard=self.shard_id,
            epoch=self.epoch,
            first_seq=first_seq,
            last_seq=self.seq,
            batch_id=self.host.batch_id(self.shard_id, self.seq),
            payload=payload,
        )
        return record, batch

    def release(self, record: BatchRecord | None, batch: Batch) -> None:
        """The record is durable: let out what waited for it."""
        if record is not None:
            self.durable_seq = record.last_seq
        host = self.host
        for lane, number, raw in batch.numbered:
            lane.release(number, raw)
        for source, number in batch.applied.items():
            self.durable[source] = number
            host.send_watermark(source, self.shard_id, number)
        for reply_to, raw in batch.answers:
            host.send_answer(reply_to, raw)
        for feed in batch.feeds:
            feed()

    def stop(self) -> None:
        """An append failed: whatever was only in memory never happened."""
        self.state = ShardState.STOPPED
        self.end_entities()
        self.batch = Batch()

    # ---------------------------------------------------------------- snapshots

    def state_header(self) -> ShardHeader:
        """What a snapshot keeps besides the entities, taken between two batches."""
        return ShardHeader(
            watermarks=dict(sorted(self.watermarks.items())),
            holes={
                source: thawed_holes(numbers)
                for source, numbers in sorted(self.holes.items())
                if numbers
            },
            lanes={target: lane.cursor for target, lane in sorted(self.lanes.items())},
        )


def entities_under(shard_id: str, start: Callable[[int], LightStart]) -> SupervisorSpec:
    """Return the supervisor of a shard's entities.

    A crash suspends an entity and keeps its mailbox (`crashed`), so none ever exits to be
    restarted from nothing: temporary, as children of simple_one_for_one that others look after.
    """
    child = ChildSpec("entity", start, restart=Restart.TEMPORARY, shutdown=Shutdown.BRUTAL_KILL)
    return SupervisorSpec(shard_id, Strategy.SIMPLE_ONE_FOR_ONE, children=(child,))


def item_of(message: Any) -> object:
    """Return what names an item of a mailbox: (source, number), or the bytes of a command."""
    raw, _, source, number = message
    return (source, number) if source else bytes(raw)
