"""The hot store as shards need it: recovery, refilling lanes, rebuilding entities, snapshots.

All of it happens beside the pipeline: nothing here makes trading wait, except a shard or an entity
for itself.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from msgspec import Raw

from actors.host_core import HostCore
from actors.outbox import Lane
from actors.shard import Shard, ShardState
from actors.shard_snapshot import ShardHeader, decode_shard_state, needed_from, shard_state_pieces
from exchange.errors import InvariantError
from storage.ports import HotStore, Snapshot, StoreError

log = structlog.get_logger(__name__)

COPY_NS = 2_000_000  # of a tick, for all snapshots under way
REFILL_MESSAGES_MAX = 5_000  # at a time


@dataclass(slots=True)
class RunningSnapshot:
    shard: Shard
    seq: int
    header: ShardHeader
    pieces: list[bytes] | None = None  # of the payload, once all is copied
    is_writing: bool = False


async def join_here(pieces: Sequence[bytes]) -> bytes:
    """Join in the caller's thread: for hosts without one to spare."""
    return b"".join(pieces)


class Journal:
    """The streams of one host's shards.

    `join` may take its time: it joins the pieces of a snapshot beside the trading.
    """

    def __init__(
        self,
        core: HostCore,
        store: HotStore,
        snapshot_every_events: int,
        join: Callable[[Sequence[bytes]], Awaitable[bytes]] = join_here,
    ) -> None:
        self._join = join
        self._core = core
        self._store = store
        self._every = snapshot_every_events
        self._snapshots: dict[str, RunningSnapshot] = {}
        self._wanted: dict[str, Shard] = {}  # by operators

    async def recover(self, shard: Shard) -> None:
        """Take the shard's epoch, fold its stream, let it serve."""
        started = time.monotonic()
        core = self._core
        head = await self._store.take_epoch(shard.shard_id, core.name)
        snapshots = await self._store.snapshots(shard.shard_id)
        older_seq = _needs(snapshots[1]) if len(snapshots) > 1 else 0
        shard.recover(head, snapshots[0] if snapshots else None, older_seq)
        begin = shard.seq
        shard.resume_window(head.seq)
        async for record in self._store.read(shard.shard_id, shard.seq):
            shard.replay(record)
        if shard.seq != head.seq:
            raise InvariantError(shard=shard.shard_id, seq=shard.seq, head=head.seq)
        shard.serve(core.monotonic_ns())
        log.info(
            "shard_recovered",
            shard=shard.shard_id,
            epoch=head.epoch,
            seq=shard.seq,
            events=shard.seq - begin,
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    async def refill(self, shard: Shard, lane: Lane) -> None:
        """Read from the stream what a lane could not keep in memory."""
        messages: list[tuple[int, Raw]] = []
        try:
            async for record in self._store.read(shard.shard_id, lane.refill_after()):
                if record.last_seq > shard.durable_seq:
                    break
                messages.extend(shard.messages_to(lane.target, record))
                if len(messages) >= REFILL_MESSAGES_MAX:
                    break
        except StoreError as error:
            log.warning("refill_failed", shard=shard.shard_id, error=str(error))
        self._core.refilled(shard, lane, messages)

    async def rebuild(self, shard: Shard, entity: int, twin: Shard) -> None:
        """Fold one entity of a serving shard anew, from the stream, into `twin`; hand it over.

        Call it when `is_durable_for`: the entity's last events must be in the stream.
        """
        snapshots = await self._store.snapshots(shard.shard_id)
        if snapshots:
            twin.recover_entity(snapshots[0])
        after_seq = snapshots[0].seq if snapshots else 0
        async for record in self._store.read(shard.shard_id, after_seq):
            twin.replay_entity(record, entity)
        if self._core.shards.get(shard.shard_id) is shard and shard.state is ShardState.SERVING:
            shard.take_rebuilt(entity, twin)
            self._core.wants_turn = True

    @staticmethod
    def is_durable_for(shard: Shard, entity: int) -> bool:
        """Return whether all that `entity`, which is suspended, did is in the stream."""
        return shard.durable_seq >= shard.suspended_at_seq.get(entity, 0)

    # ---------------------------------------------------------------- snapshots

    def due(self, shard: Shard) -> None:
        """Between two batches of `shard`: begin a snapshot if enough happened since the last.

        Not while an entity is suspended: a crash may have left its state half changed. Nor while
        another shard is copied: busy accounts are copied in the turn that first changes them, and
        those of all shards would be too many for one turn.
        """
        is_due = (
            shard.seq - shard.snapshot_begun_seq >= self._every or shard.shard_id in self._wanted
        )
        if not is_due or shard.suspended or shard.shard_id in self._snapshots:
            return
        if all(running.pieces is not None for running in self._snapshots.values()):
            self.begin_snapshot(shard)

    def want(self, shard: Shard) -> None:
        """Begin a snapshot as soon as there is something new to keep."""
        if shard.durable_seq > shard.snapshot_seq:
            self._wanted[shard.shard_id] = shard

    def is_busy(self, shard: Shard) -> bool:
        """Return whether a snapshot of `shard` is wanted or under way."""
        return shard.shard_id in self._wanted or shard.shard_id in self._snapshots

    def begin_snapshot(self, shard: Shard) -> None:
        self._wanted.pop(shard.shard_id, None)
        shard.snapshot_begun_seq = shard.seq
        shard.begin_snapshot()
        self._snapshots[shard.shard_id] = RunningSnapshot(shard, shard.seq, shard.state_header())

    def step(self) -> RunningSnapshot | None:
        """Copy a piece of each running snapshot; return one that is complete and may be written.

        Takes COPY_NS, and what the piece takes that is being copied then.
        """
        monotonic_ns = self._core.monotonic_ns
        until_ns = monotonic_ns() + COPY_NS
        for shard in list(self._wanted.values()):
            if self._core.shards.get(shard.shard_id) is not shard:
                del self._wanted[shard.shard_id]
            elif shard.batch.is_empty:
                self.due(shard)
        for shard_id, running in list(self._snapshots.items()):
            shard = running.shard
            if self._core.shards.get(shard_id) is not shard or (
                shard.state is not ShardState.SERVING
            ):
                del self._snapshots[shard_id]
            elif running.pieces is None:
                copied = shard.copy_some(monotonic_ns, until_ns)
                if copied is not None:
                    running.pieces = shard_state_pieces(running.header, copied)
            elif not running.is_writing and shard.durable_seq >= running.seq:
                running.is_writing = True
                return running
        return None

    async def write(self, running: RunningSnapshot) -> None:
        """Store a complete snapshot, then trim what no one needs any more."""
        shard, pieces = running.shard, running.pieces
        assert pieces is not None
        running.pieces = []  # its memory is needed only until it is joined
        try:
            payload = await self._join(pieces)
            del pieces
            await self._store.put_snapshot(
                Snapshot(shard.shard_id, running.seq, shard.epoch, payload)
            )
            shard.snapshot_seq = running.seq
            shard.older_snapshot_needs_seq = shard.snapshot_needs_seq
            shard.snapshot_needs_seq = needed_from(running.seq, running.header.lanes)
            await self._store.trim(shard.shard_id, shard.trim_seq())
        except StoreError as error:
            log.warning("snapshot_failed", shard=shard.shard_id, error=str(error))
        finally:
            self._snapshots.pop(shard.shard_id, None)


def _needs(snapshot: Snapshot) -> int:
    return needed_from(snapshot.seq, decode_shard_state(snapshot.payload).lanes)
