"""The only place that picks an adapter, by the URL of a setting."""

from pathlib import Path
from typing import Final

from storage.memory import MemoryHotStore
from storage.memory_cold import MemoryColdStore
from storage.ports import ColdReader, ColdStore, HotReader, HotStore, StoreUnusableError
from storage.sqlite.cold import SqliteColdReader, SqliteColdStore
from storage.sqlite.hot import SqliteHotReader, SqliteHotStore

_MEMORY: Final = "memory:"
_SQLITE: Final = "sqlite:"


def open_hot_store(url: str) -> HotStore:
    """Open "memory:" or "sqlite:PATH" to write; blocks shortly.

    Raises:
        StoreUnusableError, CorruptError: in one sentence, for the operator.
    """
    if url == _MEMORY:
        return MemoryHotStore()
    return SqliteHotStore(_path(url))


def open_hot_reader(url: str) -> HotReader:
    """Open "sqlite:PATH" to read while its host writes it; errors as open_hot_store."""
    return SqliteHotReader(_path(url))


def open_cold_store(url: str) -> ColdStore:
    """Open "memory:" or "sqlite:PATH" to write, as the projection does; errors as above."""
    if url == _MEMORY:
        return MemoryColdStore()
    return SqliteColdStore(_path(url))


def open_cold_reader(url: str) -> ColdReader:
    """Open "sqlite:PATH" to query while the projection writes it; errors as above."""
    return SqliteColdReader(_path(url))


def _path(url: str) -> Path:
    if url == _MEMORY:
        raise StoreUnusableError('"memory:" is of one process and cannot be read by another')
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise StoreUnusableError(f'{url!r} is no store: it is "memory:" or "sqlite:PATH"')
    return Path(url.removeprefix(_SQLITE))
