"""The projection waits for what is missing, says so, and goes on when it is there."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.control import HostControl, HostSpec, Outlet, Report, decode_from_host
from actors.projection import Projection
from storage.ports import BatchRecord
from storage.sqlite.cold import SqliteColdReader
from storage.sqlite.hot import SqliteHotStore
from tests.support.streams import StreamedExchange

SPEC = HostSpec(name="projection", kind="projection", data_dir="unused")


class Running:
    """A projection over the files of a folder, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.outlet = Outlet()
        self.control = HostControl(SPEC, self.outlet)
        self.reports: list[dict[str, Any]] = []
        self.positions: dict[str, int] = {}
        projection = Projection(
            [f"sqlite:{folder}/hot-1.db", f"sqlite:{folder}/hot-2.db"],
            f"sqlite:{folder}/cold/cold.db",
            self.control,
            self.positions.__setitem__,
            poll_s=0.001,
        )
        self.task = asyncio.create_task(projection.run())

    async def until(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_reached():
                assert not self.task.done() or self.task.exception() is None
                for message in self.outlet.take():
                    report = decode_from_host(message)
                    assert isinstance(report, Report)
                    self.reports.append(report.event)
                await asyncio.sleep(0.001)

    def has_said(self, **facts: object) -> bool:
        return bool(self.reports) and all(
            self.reports[-1][name] == value for name, value in facts.items()
        )

    async def stop(self) -> None:
        self.control.stopping.set()
        await self.task


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    started = Running(tmp_path)
    yield started
    await started.stop()


async def write_streams(exchange: StreamedExchange, store: SqliteHotStore, shards: str) -> None:
    """Copy what `exchange` has in streams of this kind and the file has not."""
    for shard, stream in exchange.streams.streams.items():
        if shard.startswith(shards):
            head = await store.head(shard)
            if not head.epoch:
                head = await store.take_epoch(shard, "host")
            for record, _ in stream.records:
                if record.last_seq > head.seq:
                    copied: BatchRecord = msgspec.structs.replace(record, epoch=head.epoch)
                    assert await store.append([copied]) == [None]


async def test_projection_follows_files_as_hosts_make_and_write_them(
    tmp_path: Path, running: Running
) -> None:
    (tmp_path / "cold").mkdir()
    exchange = StreamedExchange()
    exchange.trade_at_random(50)
    await running.until(lambda: running.has_said(state="projecting"))
    assert len(running.reports[-1]["stores_missing"]) == 2
    accounts = SqliteHotStore(tmp_path / "hot-1.db")
    await write_streams(exchange, accounts, "directory")
    await write_streams(exchange, accounts, "account")
    await running.until(lambda: len(running.positions) == 3)
    markets = SqliteHotStore(tmp_path / "hot-2.db")
    await write_streams(exchange, markets, "market")
    exchange.trade_at_random(50)
    await write_streams(exchange, accounts, "account")
    await write_streams(exchange, markets, "market")
    ends = {shard: head.seq for shard, head in exchange.streams.heads().items()}
    await running.until(lambda: running.positions == ends)
    await running.until(lambda: running.has_said(stores_missing=[]))
    cold = SqliteColdReader(tmp_path / "cold" / "cold.db")
    assert await cold.watermarks() == ends
    for store in (cold, accounts, markets):
        await store.close()


async def test_cold_store_that_cannot_be_opened_is_reported_and_waited_for(
    tmp_path: Path, running: Running
) -> None:
    await running.until(lambda: running.has_said(state="waiting"))
    assert "cannot be opened" in running.reports[-1]["error"]
    (tmp_path / "cold").mkdir()
    await running.until(lambda: running.has_said(state="projecting", error=""))


async def test_cold_store_that_fails_is_reported_and_taken_up_again(
    tmp_path: Path, running: Running
) -> None:
    (tmp_path / "cold").mkdir()
    store = SqliteHotStore(tmp_path / "hot-1.db")
    exchange = StreamedExchange()
    await write_streams(exchange, store, "")
    ends = {shard: head.seq for shard, head in exchange.streams.heads().items()}
    await running.until(lambda: running.positions == ends)
    # Somebody takes the table away; no write can succeed.
    with sqlite3.connect(tmp_path / "cold" / "cold.db", isolation_level=None) as connection:
        connection.execute("ALTER TABLE watermarks RENAME TO elsewhere")
        exchange.trade_at_random(20)
        await write_streams(exchange, store, "")
        await running.until(lambda: running.has_said(state="waiting"))
        connection.execute("ALTER TABLE elsewhere RENAME TO watermarks")
    connection.close()
    ends = {shard: head.seq for shard, head in exchange.streams.heads().items()}
    await running.until(lambda: running.positions == ends)
    await running.until(lambda: running.has_said(state="projecting"))
    await store.close()


async def test_history_that_was_deleted_is_built_again_from_the_streams(tmp_path: Path) -> None:
    (tmp_path / "cold").mkdir()
    store = SqliteHotStore(tmp_path / "hot-1.db")
    exchange = StreamedExchange()
    exchange.trade_at_random(50)
    await write_streams(exchange, store, "")
    ends = {shard: head.seq for shard, head in exchange.streams.heads().items()}
    for _ in range(2):
        running = Running(tmp_path)
        await running.until(lambda now=running: now.positions == ends)  # type: ignore[misc]
        await running.stop()
        shutil.rmtree(tmp_path / "cold")
        (tmp_path / "cold").mkdir()
    await store.close()
