"""Stores that live in memory: for tests, and for the simulation, which calls the plain cores."""

import dataclasses
from collections.abc import AsyncIterator, Sequence

from config.logging import get_logger
from storage.integrity import in_order, record_checksum, refusal, snapshot_checksum
from storage.ports import (
    BatchRecord,
    CorruptError,
    Head,
    SequenceConflictError,
    Snapshot,
    StoreError,
)

log = get_logger(__name__)

NEW_STREAM = Head(0, 0, b"")


@dataclasses.dataclass(slots=True)
class Stream:
    """One shard's records and snapshots, each with its checksum, oldest first."""

    head: Head = NEW_STREAM
    owner: str = ""
    records: list[tuple[BatchRecord, int]] = dataclasses.field(default_factory=list)
    snapshots: list[tuple[Snapshot, int]] = dataclasses.field(default_factory=list)


class MemoryStreams:
    """The promises of HotStore as plain methods: no loop, no waiting, same answers every time."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    def take_epoch(self, shard: str, owner: str) -> Head:
        stream = self.streams.setdefault(shard, Stream())
        head = stream.head
        stream.head = Head(head.seq, head.epoch + 1, head.batch_id)
        stream.owner = owner
        return stream.head

    def append_group(self, records: Sequence[BatchRecord]) -> list[StoreError | None]:
        return [self._append(record) for record in records]

    def _append(self, record: BatchRecord) -> StoreError | None:
        stream = self.streams.get(record.shard)
        reason = refusal(record, NEW_STREAM if stream is None else stream.head)
        if reason is not None or stream is None:
            return reason
        stream.records.append((record, record_checksum(record)))
        stream.head = Head(record.last_seq, record.epoch, record.batch_id)
        return None

    def read_records(self, shard: str, after_seq: int = 0) -> list[BatchRecord]:
        """Return the records that end after `after_seq`; raise as HotStore.read does."""
        stream = self.streams.get(shard)
        if stream is None or stream.head.seq <= after_seq:
            return []
        start = len(stream.records)  # from the end: readers are mostly near the head
        while start and stream.records[start - 1][0].last_seq > after_seq:
            start -= 1
        records = list(in_order(shard, after_seq, stream.records[start:]))
        if not records or records[-1].last_seq != stream.head.seq:
            raise CorruptError(f"{shard}: the stream ends before its head {stream.head.seq}")
        return records

    def head(self, shard: str) -> Head:
        stream = self.streams.get(shard)
        return NEW_STREAM if stream is None else stream.head

    def heads(self) -> dict[str, Head]:
        return {shard: self.streams[shard].head for shard in sorted(self.streams)}

    def put_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.seq > self.head(snapshot.shard).seq:
            raise SequenceConflictError(
                f"{snapshot.shard} ends at {self.head(snapshot.shard).seq}, "
                f"the snapshot is of {snapshot.seq}"
            )
        stream = self.streams.setdefault(snapshot.shard, Stream())
        kept = [pair for pair in stream.snapshots if pair[0].seq != snapshot.seq]
        kept.append((snapshot, snapshot_checksum(snapshot)))
        kept.sort(key=lambda pair: pair[0].seq)
        stream.snapshots = kept[-2:]

    def snapshots(self, shard: str) -> list[Snapshot]:
        stream = self.streams.get(shard, Stream())
        intact = []
        for snapshot, checksum in reversed(stream.snapshots):
            if snapshot_checksum(snapshot) == checksum:
                intact.append(snapshot)
            else:
                log.error("snapshot_damaged", shard=shard, seq=snapshot.seq)
        return intact

    def trim(self, shard: str, upto_seq: int) -> None:
        intact = self.snapshots(shard)
        if len(intact) < 2:
            return
        upto_seq = min(upto_seq, intact[-1].seq)
        stream = self.streams[shard]
        stream.records = [pair for pair in stream.records if pair[0].last_seq > upto_seq]


class MemoryHotStore:
    """HotStore over MemoryStreams."""

    def __init__(self, streams: MemoryStreams | None = None) -> None:
        self.streams = MemoryStreams() if streams is None else streams

    async def take_epoch(self, shard: str, owner: str) -> Head:
        return self.streams.take_epoch(shard, owner)

    async def append(self, records: Sequence[BatchRecord]) -> list[StoreError | None]:
        return self.streams.append_group(records)

    async def read(self, shard: str, after_seq: int = 0) -> AsyncIterator[BatchRecord]:
        for record in self.streams.read_records(shard, after_seq):
            yield record

    async def head(self, shard: str) -> Head:
        return self.streams.head(shard)

    async def heads(self) -> dict[str, Head]:
        return self.streams.heads()

    async def shards(self) -> list[str]:
        return list(self.streams.heads())

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        self.streams.put_snapshot(snapshot)

    async def snapshots(self, shard: str) -> list[Snapshot]:
        return self.streams.snapshots(shard)

    async def trim(self, shard: str, upto_seq: int) -> None:
        self.streams.trim(shard, upto_seq)

    async def close(self) -> None:
        """Nothing to give back; the streams stay readable for whoever holds them."""
