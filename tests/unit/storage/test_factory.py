"""A URL names an adapter, or is refused in one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage import factory
from storage.memory import MemoryHotStore
from storage.memory_cold import MemoryColdStore
from storage.ports import ColdReader, HotReader, StoreUnusableError
from storage.sqlite.cold import SqliteColdReader, SqliteColdStore
from storage.sqlite.hot import SqliteHotReader, SqliteHotStore


async def test_url_picks_the_adapter(tmp_path: Path) -> None:
    hot_url, cold_url = f"sqlite:{tmp_path}/hot.db", f"sqlite:{tmp_path}/cold.db"
    stores: list[HotReader | ColdReader] = [
        factory.open_hot_store("memory:"),
        factory.open_cold_store("memory:"),
        factory.open_hot_store(hot_url),
        factory.open_hot_reader(hot_url),
        factory.open_cold_store(cold_url),
        factory.open_cold_reader(cold_url),
    ]
    assert [type(store) for store in stores] == [
        MemoryHotStore,
        MemoryColdStore,
        SqliteHotStore,
        SqliteHotReader,
        SqliteColdStore,
        SqliteColdReader,
    ]
    for store in reversed(stores):
        await store.close()


@pytest.mark.parametrize("url", ["", "sqlite:", "postgres://x", "hot.db", "memory"])
@pytest.mark.parametrize(
    "opens",
    [
        factory.open_hot_store,
        factory.open_hot_reader,
        factory.open_cold_store,
        factory.open_cold_reader,
    ],
)
def test_unknown_url_is_refused(url: str, opens: Callable[[str], object]) -> None:
    with pytest.raises(StoreUnusableError, match="is no store"):
        opens(url)


@pytest.mark.parametrize("opens", [factory.open_hot_reader, factory.open_cold_reader])
def test_memory_of_another_process_cannot_be_read(opens: Callable[[str], object]) -> None:
    with pytest.raises(StoreUnusableError, match="cannot be read by another"):
        opens("memory:")
