"""Opening SQLite files: durable, ours, of a version we know. And what their errors mean."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from storage.ports import CorruptError, OutcomeUnknownError, StoreError, StoreUnusableError

BUSY_TIMEOUT_MS: Final = 2_000  # how long another process may hold the file before we give up
_BUSY_PAUSE_S: Final = 0.005
PAGE_SIZE: Final = 4_096
_SYNCHRONOUS_FULL: Final = 2
_HEADER_BYTES: Final = 512  # the smallest page, and so the smallest file

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def open_file(
    path: Path, *, application_id: int, schema_version: int, schema: str
) -> sqlite3.Connection:
    """Open `path` for writing, and make it if it is not there.

    `application_id` tells whose file it is, `schema_version` of which kind.

    Raises:
        StoreUnusableError: not ours, newer than this program, not writable, or not durable.
        CorruptError: SQLite finds it damaged.
    """
    _check_size(path)
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        connection = None
        try:
            connection = _connect(path, "rwc")
            _prepare(connection, path, application_id, schema_version, schema)
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            # Another process makes the file or has just let go of it: SQLite's own waiting does
            # not cover the change to a write-ahead log.
            if not is_busy(error) or time.monotonic() > deadline:
                raise open_error(path, error) from error
            time.sleep(_BUSY_PAUSE_S)
        except StoreError:
            if connection is not None:
                connection.close()
            raise
        else:
            return connection


def _prepare(
    connection: sqlite3.Connection,
    path: Path,
    application_id: int,
    schema_version: int,
    schema: str,
) -> None:
    """Check whose file it is, make it durable, and fill it if it is new."""
    # Before any PRAGMA that writes: a foreign file must stay as it was.
    is_new = _check_owner(connection, path, application_id, schema_version)
    if is_new:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    connection.execute("PRAGMA synchronous=FULL")
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if mode != "wal" or synchronous != _SYNCHRONOUS_FULL:
        raise StoreUnusableError(
            f"{path} cannot be made durable: journal_mode is {mode}, synchronous {synchronous}"
        )
    # Some builds overwrite freed pages with zeros; every trim would then write twice.
    connection.execute("PRAGMA secure_delete=OFF")
    if is_new:
        # In one transaction, so that a crash leaves an empty file or a complete one. And asked
        # again within it, for another process may be making the same file.
        connection.execute("BEGIN IMMEDIATE")
        if _check_owner(connection, path, application_id, schema_version):
            for statement in schema.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={application_id}")
            connection.execute(f"PRAGMA user_version={schema_version}")
        connection.execute("COMMIT")


def open_file_read_only(
    path: Path, *, application_id: int, schema_version: int
) -> sqlite3.Connection:
    """Open a file that another process may be writing; errors as in open_file."""
    if not path.exists():
        raise StoreUnusableError(f"{path} does not exist (yet)")
    _check_size(path)
    connection = None
    try:
        connection = _connect(path, "ro")
        if _check_owner(connection, path, application_id, schema_version):
            raise StoreUnusableError(f"{path} is still empty")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise open_error(path, error) from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def open_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Translate an error of opening."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return StoreUnusableError(f"{path} is not a store of this exchange")
    if is_corrupt(error):
        return CorruptError(f"{path} is damaged: {error}")
    return StoreUnusableError(f"{path} cannot be opened: {error}")


def read_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Translate an error of reading."""
    if is_corrupt(error):
        return CorruptError(f"{path} is damaged: {error}")
    return OutcomeUnknownError(f"{path} cannot be read: {error}")


def is_corrupt(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CORRUPT


def is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def is_io_error(error: sqlite3.Error) -> bool:
    """Tell whether the disk itself failed, as opposed to being full or busy."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_IOERR


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Threads: each connection is used by one thread at a time; it may be closed by another.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1_000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def _check_size(path: Path) -> None:
    """Refuse a file that is too short for a header; SQLite itself looks at longer ones.

    The file must not be opened for this: closing any descriptor of it drops all POSIX locks that
    this process holds on it, also those of connections in use. Another process that closes the
    file would then take itself for the last one, and remove the log that is being written.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreUnusableError(f"{path} cannot be opened: {error.strerror}") from error
    # SQLite takes a very short file for an empty one, and would write over it.
    if 0 < size < _HEADER_BYTES:
        raise StoreUnusableError(f"{path} is not a store of this exchange")


def _check_owner(
    connection: sqlite3.Connection, path: Path, application_id: int, schema_version: int
) -> bool:
    """Return whether the file is empty; raise StoreUnusableError if it is not ours to use."""
    is_alone = not connection.in_transaction
    if is_alone:
        connection.execute("BEGIN")  # one view of all three: another process may be making it
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (found_id,) = connection.execute("PRAGMA application_id").fetchone()
    (found_version,) = connection.execute("PRAGMA user_version").fetchone()
    if is_alone:
        connection.execute("COMMIT")
    if not tables and not found_id:
        return True
    if found_id != application_id:
        raise StoreUnusableError(f"{path} is not a store of this kind of this exchange")
    if found_version != schema_version:
        raise StoreUnusableError(
            f"{path} has schema {found_version}, this program knows {schema_version}"
        )
    return False
