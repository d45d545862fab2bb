"""What only a file can suffer: foreign files, killed writers, cut logs, full and failing disks."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.ports import CorruptError, Head, OutcomeUnknownError, StoreUnusableError
from storage.sqlite import hot, streams
from storage.sqlite.hot import SqliteHotReader, SqliteHotStore
from tests.contract.test_hot_store import SHARD, fill, read_all, record

ROOT = Path(__file__).parents[2]

WRITER = """
import asyncio, sys
from storage.ports import BatchRecord
from storage.sqlite.hot import SqliteHotStore

async def main() -> None:
    store = SqliteHotStore(sys.argv[1])
    head = await store.take_epoch("account/0", "writer")
    for seq in range(head.seq + 1, head.seq + int(sys.argv[2]) + 1):
        record = BatchRecord("account/0", head.epoch, seq, seq, b"", b"payload %d" % seq * 100)
        (outcome,) = await store.append([record])
        sys.stdout.write(f"{seq if outcome is None else outcome!r}\\n")
        sys.stdout.flush()
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hot.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteHotStore]:
    opened = SqliteHotStore(path)
    yield opened
    await opened.close()


def start_writer(path: Path, records: int, program: str = WRITER) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path), str(records)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def kill_after(path: Path, acknowledged: int, records: int) -> int:
    """Run a writer, kill it when it said `acknowledged` or more; return the last it said."""
    writer = start_writer(path, records)
    assert writer.stdout is not None
    last = 0
    for line in writer.stdout:
        last = int(line)
        if last == acknowledged:
            os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    return last


async def test_everything_acknowledged_survives_kill_9_in_the_midst_of_appending(
    path: Path,
) -> None:
    acknowledged = 0
    for round_number in range(1, 4):
        acknowledged = kill_after(path, acknowledged + 40 * round_number, 1_000_000)
        store = SqliteHotStore(path)
        found = await read_all(store)
        assert [one.payload for one in found[:acknowledged]] == [
            b"payload %d" % seq * 100 for seq in range(1, acknowledged + 1)
        ]
        # What was under way may be there as well, whole; the head always agrees with the stream.
        assert len(found) in {acknowledged, acknowledged + 1}
        assert await store.head(SHARD) == Head(len(found), round_number, b"")
        acknowledged = len(found)
        await store.close()


async def test_log_cut_behind_our_back_is_noticed_at_opening(path: Path) -> None:
    kill_after(path, 50, 50)
    log_path = path.with_name("hot.db-wal")
    os.truncate(log_path, log_path.stat().st_size - 100)
    with pytest.raises(CorruptError, match=r"has lost 1 acknowledged events.*hot\.db-witness"):
        SqliteHotStore(path)
    path.with_name("hot.db-witness").unlink()  # the operator accepts the loss
    store = SqliteHotStore(path)
    assert len(await read_all(store)) == 49
    await store.close()


async def test_bit_flip_in_the_log_is_noticed_at_opening(path: Path) -> None:
    kill_after(path, 50, 50)
    log_path = path.with_name("hot.db-wal")
    content = bytearray(log_path.read_bytes())
    content[len(content) // 2] ^= 1
    log_path.write_bytes(content)
    with pytest.raises(CorruptError, match="has lost"):
        SqliteHotStore(path)


async def test_torn_witness_proves_nothing_and_stops_nothing(
    path: Path, store: SqliteHotStore
) -> None:
    made = await fill(store, 3)
    await store.close()
    path.with_name("hot.db-witness").write_bytes(b"\xff" * 5)
    again = SqliteHotStore(path)
    assert await read_all(again) == made
    await again.close()


async def test_cut_file_is_corrupt(path: Path, store: SqliteHotStore) -> None:
    await fill(store, 100)
    await store.close()
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    with pytest.raises(CorruptError):
        again = SqliteHotStore(path)
        try:
            await read_all(again)
        finally:
            await again.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough for a header" * 50, b"x"])
async def test_file_of_another_kind_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreUnusableError, match=r"hot\.db is not a store"):
        SqliteHotStore(path)
    with pytest.raises(StoreUnusableError, match=r"hot\.db is not a store"):
        SqliteHotReader(path)
    assert path.read_bytes() == content


async def test_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreUnusableError, match="is not a store of this kind"):
        SqliteHotStore(path)
    assert path.read_bytes() == content


async def test_newer_schema_is_refused(path: Path, store: SqliteHotStore) -> None:
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(StoreUnusableError, match="has schema 2, this program knows 1"):
        SqliteHotStore(path)
    with pytest.raises(StoreUnusableError, match="has schema 2, this program knows 1"):
        SqliteHotReader(path)


async def test_folder_that_is_not_there_and_file_that_is_not_there_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(StoreUnusableError, match="cannot be opened"):
        SqliteHotStore(tmp_path / "none" / "hot.db")
    with pytest.raises(StoreUnusableError, match="does not exist"):
        SqliteHotReader(tmp_path / "hot.db")


async def test_reader_of_another_process_sees_what_is_appended(path: Path) -> None:
    writer = start_writer(path, 200)
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stdout.readline() == "1\n"
    reader = SqliteHotReader(path)
    position = 0
    while position < 200:
        async for found in reader.read(SHARD, position):
            position = found.last_seq
        await asyncio.sleep(0)
    assert (await reader.heads())[SHARD].seq == 200
    writer.stdin.close()
    assert writer.wait() == 0
    await reader.close()


async def test_full_disk_leaves_the_outcome_unknown_and_the_store_usable(
    path: Path, store: SqliteHotStore
) -> None:
    made = await fill(store, 3)
    connection = store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    (outcome,) = await store.append([record(31, 40, payload=bytes(100_000))])
    assert isinstance(outcome, OutcomeUnknownError)
    assert await read_all(store) == made
    connection.execute("PRAGMA max_page_count=1000000")
    assert await store.append([record(31, 40)]) == [None]
    assert len(await read_all(store)) == 4


FAILING_WRITER = (
    """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))  # writing beyond it fails
"""
    + WRITER
)


async def test_after_a_failing_disk_nothing_is_appended_until_opened_anew(path: Path) -> None:
    writer = start_writer(path, 1_000, FAILING_WRITER)
    said, _ = writer.communicate("")
    lines = said.splitlines()
    acknowledged = [line for line in lines if line.isdigit()]
    failed = lines[len(acknowledged) :]
    assert acknowledged
    assert "disk I/O error" in failed[0]
    assert all("must be opened anew" in line for line in failed[1:])
    assert len(failed) > 1
    store = SqliteHotStore(path)
    assert len(await read_all(store)) >= len(acknowledged)
    await store.close()


async def test_locked_file_leaves_the_outcome_unknown(path: Path, store: SqliteHotStore) -> None:
    made = await fill(store, 1)
    store._writer._connection.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (outcome,) = await store.append([record(11, 20)])
    assert isinstance(outcome, OutcomeUnknownError)
    with pytest.raises(OutcomeUnknownError):
        await store.take_epoch(SHARD, "host")
    other.execute("ROLLBACK")
    other.close()
    assert await read_all(store) == made
    assert await store.append([record(11, 20)]) == [None]


async def test_log_stays_bounded_while_appending(
    path: Path, store: SqliteHotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "CHECKPOINT_AFTER_BYTES", 200_000)
    await store.take_epoch(SHARD, "host")
    for seq in range(1, 501):
        await store.append([record(seq, seq, payload=bytes(20_000))])
    assert path.with_name("hot.db-wal").stat().st_size < 5_000_000
    assert len(await read_all(store)) == 500


async def test_log_kept_by_a_reader_starts_anew_once_it_is_gone(
    path: Path, store: SqliteHotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hot, "CHECKPOINT_AFTER_BYTES", 200_000)
    monkeypatch.setattr(streams, "WAL_PAGES_MAX", 100)
    monkeypatch.setattr(streams, "RESTART_WAIT_MS", 1)
    await store.take_epoch(SHARD, "host")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM heads").fetchall()
    for seq in range(1, 101):
        assert await store.append([record(seq, seq, payload=bytes(20_000))]) == [None]
    size = path.with_name("hot.db-wal").stat().st_size
    reader.close()
    for seq in range(101, 201):
        assert await store.append([record(seq, seq, payload=bytes(20_000))]) == [None]
    assert path.with_name("hot.db-wal").stat().st_size <= size + 1_000_000


async def test_leftover_of_a_crash_in_writing_a_snapshot_is_ignored(
    path: Path, store: SqliteHotStore
) -> None:
    await fill(store, 1)
    folder = path.with_name("hot.db-snapshots")
    folder.mkdir()
    (folder / f"account%2F0.{10:020}.unfinished").write_bytes(b"half")
    assert await store.snapshots(SHARD) == []
