"""A store in use keeps its log, whoever else opens and closes the file meanwhile."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.ports import StoreUnusableError
from storage.sqlite.cold import SqliteColdReader, SqliteColdStore
from storage.sqlite.hot import SqliteHotReader, SqliteHotStore
from tests.contract.test_hot_store import SHARD, read_all, record

ROOT = Path(__file__).parents[2]

# As a gateway does when it starts: it makes the file if need be, and lets go of it.
OPEN_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
connection.close()
"""


def _open_and_close_elsewhere(path: Path) -> None:
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(path)], check=True, cwd=ROOT)


async def test_hot_store_in_use_keeps_its_log(tmp_path: Path) -> None:
    path = tmp_path / "hot.db"
    store = SqliteHotStore(path)
    head = await store.take_epoch(SHARD, "here")
    assert await store.append([record(1, 1, epoch=head.epoch)]) == [None]
    _open_and_close_elsewhere(path)
    assert await store.append([record(2, 2, epoch=head.epoch)]) == [None]
    reader = SqliteHotReader(path)
    assert [found.last_seq for found in await read_all(reader)] == [1, 2]
    await reader.close()
    await store.close()


async def test_cold_store_in_use_keeps_its_log(tmp_path: Path) -> None:
    path = tmp_path / "cold.db"
    store = SqliteColdStore(path)
    log = path.with_name("cold.db-wal")
    before = log.stat().st_ino
    _open_and_close_elsewhere(path)
    assert log.stat().st_ino == before
    reader = SqliteColdReader(path)
    assert await reader.watermarks() == {}
    await reader.close()
    await store.close()


@pytest.mark.parametrize("size", [1, 15, 100, 511, 512, 5_000])
def test_foreign_file_of_any_size_is_refused_and_stays_as_it_was(tmp_path: Path, size: int) -> None:
    path = tmp_path / "hot.db"
    path.write_bytes(b"x" * size)
    with pytest.raises(StoreUnusableError, match=r"hot\.db is not a store of this exchange"):
        SqliteHotStore(path)
    assert path.read_bytes() == b"x" * size
