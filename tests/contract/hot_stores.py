"""The hot stores under test, and how to damage what each has stored."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from storage.memory import MemoryHotStore
from storage.ports import BatchRecord, HotStore, Snapshot
from storage.sqlite.hot import SqliteHotStore


class Subject(Protocol):
    """A kind of store: how to open it, and how to damage it behind its back."""

    async def open(self) -> HotStore:
        """Open the store; what an earlier one of this subject stored and closed is there."""

    async def flip_bit_of_record(self, shard: str, last_seq: int) -> None: ...

    async def lose_record(self, shard: str, last_seq: int) -> None: ...

    async def flip_bit_of_snapshot(self, shard: str, seq: int) -> None: ...


class MemorySubject:
    def __init__(self, folder: Path) -> None:
        self.store = MemoryHotStore()

    async def open(self) -> HotStore:
        return self.store

    async def flip_bit_of_record(self, shard: str, last_seq: int) -> None:
        records = self.store.streams.streams[shard].records
        for index, (record, checksum) in enumerate(records):
            if record.last_seq == last_seq:
                damaged = BatchRecord(
                    record.shard,
                    record.epoch,
                    record.first_seq,
                    record.last_seq,
                    record.batch_id,
                    flipped(record.payload),
                )
                records[index] = (damaged, checksum)

    async def lose_record(self, shard: str, last_seq: int) -> None:
        stream = self.store.streams.streams[shard]
        stream.records = [pair for pair in stream.records if pair[0].last_seq != last_seq]

    async def flip_bit_of_snapshot(self, shard: str, seq: int) -> None:
        snapshots = self.store.streams.streams[shard].snapshots
        for index, (snapshot, checksum) in enumerate(snapshots):
            if snapshot.seq == seq:
                damaged = Snapshot(
                    snapshot.shard, snapshot.seq, snapshot.epoch, flipped(snapshot.payload)
                )
                snapshots[index] = (damaged, checksum)


class SqliteSubject:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "hot.db"

    async def open(self) -> HotStore:
        return await asyncio.to_thread(SqliteHotStore, self.path)

    async def flip_bit_of_record(self, shard: str, last_seq: int) -> None:
        with sqlite3.connect(self.path, isolation_level=None) as connection:
            (payload,) = connection.execute(
                "SELECT payload FROM records WHERE shard = ? AND last_seq = ?", (shard, last_seq)
            ).fetchone()
            connection.execute(
                "UPDATE records SET payload = ? WHERE shard = ? AND last_seq = ?",
                (flipped(payload), shard, last_seq),
            )
        connection.close()

    async def lose_record(self, shard: str, last_seq: int) -> None:
        with sqlite3.connect(self.path, isolation_level=None) as connection:
            connection.execute(
                "DELETE FROM records WHERE shard = ? AND last_seq = ?", (shard, last_seq)
            )
        connection.close()

    async def flip_bit_of_snapshot(self, shard: str, seq: int) -> None:
        folder = self.path.with_name(self.path.name + "-snapshots")
        (path,) = (file for file in folder.iterdir() if f"{seq:020}" in file.name)
        path.write_bytes(flipped(path.read_bytes()))


def flipped(payload: bytes) -> bytes:
    """Return `payload` with the lowest bit of its last byte turned."""
    return payload[:-1] + bytes([payload[-1] ^ 1])


SUBJECTS: dict[str, Callable[[Path], Subject]] = {"memory": MemorySubject, "sqlite": SqliteSubject}
