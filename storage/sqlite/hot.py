"""HotStore on SQLite: WAL, synchronous=FULL, one writer thread whose transactions are groups."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from storage.ports import BatchRecord, Head, SequenceConflictError, Snapshot, StoreError
from storage.sqlite.snapshots import SnapshotFiles
from storage.sqlite.streams import Checkpointer, StreamReader, StreamWriter
from storage.sqlite.worker import Worker

# Measured at 500 groups of 200 events a second beside a reading process, one run of 6 s each on a
# quiet machine: 2 MiB gives an append 1.0 ms at p99 and 4 ms at most, 8 MiB 1.8 and 8 ms, SQLite's
# own checkpoints 4.9 and 14 ms. On a busy machine all of them are several times as long.
CHECKPOINT_AFTER_BYTES: Final = 2 * 1024 * 1024
_RECORD_OVERHEAD_BYTES: Final = 12 * 1024  # pages that a small record touches anyway


class SqliteHotReader:
    """The streams of one file, to read while another process writes them."""

    def __init__(self, path: Path | str) -> None:
        """Open an existing file; raise StoreUnusableError or CorruptError. Blocks shortly."""
        path = Path(path)
        self._reading = Worker(f"read-{path.stem}")
        self._snapshot_files = SnapshotFiles(path.with_name(path.name + "-snapshots"))
        try:
            self._reader = StreamReader(path)
        except StoreError:
            self._reading.close()
            raise

    async def read(self, shard: str, after_seq: int = 0) -> AsyncIterator[BatchRecord]:
        has_more = True
        while has_more:
            records, has_more = await self._reading.run(self._reader.page, shard, after_seq)
            for record in records:
                yield record
            if records:
                after_seq = records[-1].last_seq

    async def head(self, shard: str) -> Head:
        return await self._reading.run(self._reader.head, shard)

    async def heads(self) -> dict[str, Head]:
        return await self._reading.run(self._reader.heads)

    async def shards(self) -> list[str]:
        return list(await self.heads())

    async def snapshots(self, shard: str) -> list[Snapshot]:
        return await self._reading.run(self._snapshot_files.newest, shard)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.close()
        self._reader.close()


class SqliteHotStore(SqliteHotReader):
    """The streams of one file, which this process alone writes."""

    def __init__(self, path: Path | str) -> None:
        """Open the file, or make it; raise StoreUnusableError or CorruptError. Blocks shortly."""
        path = Path(path)
        self._writer = StreamWriter(path)
        try:
            self._checkpointer = Checkpointer(path)
            super().__init__(path)
        except StoreError:
            self._writer.close()
            raise
        self._writing = Worker(f"write-{path.stem}")
        self._tending = Worker(f"tend-{path.stem}")  # what may take long: snapshots, checkpoints
        self._bytes_since_checkpoint = 0
        self._checkpoint: asyncio.Task[None] | None = None

    async def take_epoch(self, shard: str, owner: str) -> Head:
        return await self._writing.run(self._writer.take_epoch, shard, owner)

    async def append(self, records: Sequence[BatchRecord]) -> list[StoreError | None]:
        outcomes = await self._writing.run(self._writer.append_group, records)
        for record in records:
            self._bytes_since_checkpoint += len(record.payload) + _RECORD_OVERHEAD_BYTES
        if self._bytes_since_checkpoint >= CHECKPOINT_AFTER_BYTES and self._checkpoint is None:
            self._checkpoint = asyncio.create_task(self._write_back())
        return outcomes

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        head = await self.head(snapshot.shard)
        if snapshot.seq > head.seq:
            raise SequenceConflictError(
                f"{snapshot.shard} ends at {head.seq}, the snapshot is of {snapshot.seq}"
            )
        await self._tending.run(self._snapshot_files.put, snapshot)

    async def trim(self, shard: str, upto_seq: int) -> None:
        intact = await self._reading.run(self._snapshot_files.intact_seqs, shard)
        if len(intact) < 2:
            return
        upto_seq = min(upto_seq, intact[-1])
        while await self._writing.run(self._writer.trim_slice, shard, upto_seq):
            # Deleting is writing too, and appends that came meanwhile go first: the queue is fair.
            self._bytes_since_checkpoint += _RECORD_OVERHEAD_BYTES

    def _close(self) -> None:
        self._writing.close()
        self._tending.close()
        self._checkpointer.close()
        super()._close()
        self._writer.close()  # the last connection: it writes the log back and removes it

    async def close(self) -> None:
        if self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
        await super().close()

    async def _write_back(self) -> None:
        """Bound the log: most of it is written back beside the commits, the rest between two.

        A log starts anew only when all of it is written back and no commit came in between, so
        the last step belongs to the writer; it finds little left to do.
        """
        try:
            await self._tending.run(self._checkpointer.run)
            self._bytes_since_checkpoint = 0
            await self._writing.run(self._writer.checkpoint)
        finally:
            self._checkpoint = None
