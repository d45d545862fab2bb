"""Checksums of what is stored, and the order in which a stream must be read. Shared by adapters."""

import struct
import zlib
from collections.abc import Iterable, Iterator

from storage.ports import (
    BatchRecord,
    CorruptError,
    FencedError,
    Head,
    SequenceConflictError,
    Snapshot,
    StoreError,
)

_pack_positions = struct.Struct(">QQQ").pack


def record_checksum(record: BatchRecord) -> int:
    """Return the CRC-32 over all fields: a payload under another position is wrong too."""
    head = _pack_positions(record.epoch, record.first_seq, record.last_seq)
    names = b"%b\0%b\0%b" % (record.shard.encode(), record.batch_id, head)
    return zlib.crc32(record.payload, zlib.crc32(names))


def snapshot_checksum(snapshot: Snapshot) -> int:
    """Return the CRC-32 over all fields of a snapshot."""
    names = b"%b\0%b" % (snapshot.shard.encode(), _pack_positions(snapshot.epoch, snapshot.seq, 0))
    return zlib.crc32(snapshot.payload, zlib.crc32(names))


def refusal(record: BatchRecord, head: Head) -> StoreError | None:
    """Return why `record` may not follow `head`, or None. Every adapter decides by this."""
    if record.epoch != head.epoch or not record.epoch:
        # A higher epoch than the head's was never taken: its owner is none either.
        return FencedError(f"{record.shard} has epoch {head.epoch}, the record has {record.epoch}")
    if record.first_seq != head.seq + 1 or record.last_seq < record.first_seq:
        return SequenceConflictError(
            f"{record.shard} ends at {head.seq}, "
            f"the record is {record.first_seq} to {record.last_seq}"
        )
    return None


def in_order(
    shard: str, after_seq: int, rows: Iterable[tuple[BatchRecord, int]]
) -> Iterator[BatchRecord]:
    """Yield the records of (record, checksum) rows that continue `after_seq`.

    The first may begin at or before `after_seq` (a reader need not stop at a record's end).

    Raises:
        CorruptError: a checksum is wrong, or records are missing in between.
    """
    position = after_seq
    is_first = True
    for record, checksum in rows:
        if record_checksum(record) != checksum:
            raise CorruptError(
                f"{shard}: the record {record.first_seq} to {record.last_seq} fails its checksum"
            )
        if record.first_seq > position + 1 or (not is_first and record.first_seq <= position):
            raise CorruptError(
                f"{shard}: after {position} follows {record.first_seq}, records are missing"
            )
        is_first = False
        position = record.last_seq
        yield record
