"""Streams in a SQLite file: the blocking half of hot.py, one instance per connection and thread."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from config.logging import get_logger
from storage.integrity import in_order, record_checksum, refusal
from storage.ports import (
    BatchRecord,
    CorruptError,
    Head,
    OutcomeUnknownError,
    StoreError,
    StoreUnusableError,
)
from storage.sqlite.files import (
    BUSY_TIMEOUT_MS,
    is_corrupt,
    is_io_error,
    open_error,
    open_file,
    open_file_read_only,
    read_error,
)
from storage.sqlite.witness import Witness

log = get_logger(__name__)

APPLICATION_ID: Final = 0x564D5448  # "VMTH"
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE heads (
    shard TEXT PRIMARY KEY, seq INTEGER NOT NULL, epoch INTEGER NOT NULL,
    batch_id BLOB NOT NULL, owner TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE records (
    shard TEXT NOT NULL, last_seq INTEGER NOT NULL, first_seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL, batch_id BLOB NOT NULL, checksum INTEGER NOT NULL,
    payload BLOB NOT NULL, PRIMARY KEY (shard, last_seq)
) STRICT;
"""
_SELECT_HEAD: Final = "SELECT seq, epoch, batch_id FROM heads WHERE shard = ?"
_SELECT_HEADS: Final = "SELECT shard, seq, epoch, batch_id FROM heads ORDER BY shard"
_TAKE_EPOCH: Final = """
INSERT INTO heads (shard, seq, epoch, batch_id, owner) VALUES (?, 0, 1, x'', ?)
ON CONFLICT (shard) DO UPDATE SET epoch = epoch + 1, owner = excluded.owner
"""
_MOVE_HEAD: Final = "UPDATE heads SET seq = ?, batch_id = ? WHERE shard = ?"
_INSERT: Final = """
INSERT INTO records (shard, last_seq, first_seq, epoch, batch_id, checksum, payload)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_SELECT_PAGE: Final = """
SELECT epoch, first_seq, last_seq, batch_id, payload, checksum FROM records
WHERE shard = ? AND last_seq > ? ORDER BY last_seq
"""
_DELETE_SLICE: Final = """
DELETE FROM records WHERE rowid IN (
    SELECT rowid FROM records WHERE shard = ? AND last_seq <= ? ORDER BY last_seq LIMIT ?
)
"""
_NEW_STREAM: Final = Head(0, 0, b"")

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024  # of payloads in memory while reading
TRIM_SLICE_RECORDS: Final = 64  # deleted at once, so that commits do not wait long
RESTART_WAIT_MS: Final = 100
WAL_PAGES_MAX: Final = 16_384  # 64 MiB: beyond it, commits wait until the log is written back


class StreamReader:
    """Reads streams through its own connection; one may be used while the writer writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_file_read_only(
            path, application_id=APPLICATION_ID, schema_version=SCHEMA_VERSION
        )

    def head(self, shard: str) -> Head:
        try:
            return _head(self._connection, shard)
        except sqlite3.Error as error:
            raise read_error(self._path, error) from error

    def heads(self) -> dict[str, Head]:
        try:
            rows = self._connection.execute(_SELECT_HEADS).fetchall()
        except sqlite3.Error as error:
            raise read_error(self._path, error) from error
        return {shard: Head(seq, epoch, batch_id) for shard, seq, epoch, batch_id in rows}

    def page(self, shard: str, after_seq: int) -> tuple[list[BatchRecord], bool]:
        """Return the next records after `after_seq`, verified, and whether more follow."""
        rows: list[tuple[BatchRecord, int]] = []
        size = 0
        has_more = False
        try:
            # One snapshot for records and head, else the end could not be told from a loss.
            self._connection.execute("BEGIN")
            try:
                cursor = self._connection.execute(_SELECT_PAGE, (shard, after_seq))
                for epoch, first_seq, last_seq, batch_id, payload, checksum in cursor:
                    if size >= PAGE_BYTES_MAX:
                        has_more = True
                        break
                    size += len(payload)
                    rows.append(
                        (
                            BatchRecord(shard, epoch, first_seq, last_seq, batch_id, payload),
                            checksum,
                        )
                    )
                cursor.close()
                head = _head(self._connection, shard)
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise read_error(self._path, error) from error
        records = list(in_order(shard, after_seq, rows))
        end = records[-1].last_seq if records else after_seq
        if not has_more and end < head.seq:
            raise CorruptError(f"{shard}: the stream ends at {end}, its head is {head.seq}")
        return records, has_more

    def close(self) -> None:
        self._connection.close()


class StreamWriter:
    """Appends, through the one connection that writes the file. Groups are transactions."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            StoreUnusableError: as open_file.
            CorruptError: damaged, or acknowledged events are missing.
        """
        self._path = path
        self._failure = ""
        self._connection = open_file(
            path,
            application_id=APPLICATION_ID,
            schema_version=SCHEMA_VERSION,
            schema=_SCHEMA,
        )
        witness_path = path.with_name(path.name + "-witness")
        try:
            # Written back by `checkpoint` at chosen moments, never by a commit.
            self._connection.execute("PRAGMA wal_autocheckpoint=0")
            self._connection.execute("PRAGMA journal_size_limit=67108864")
            (self._events,) = self._connection.execute(
                "SELECT coalesce(sum(seq), 0) FROM heads"
            ).fetchone()
            self._witness = Witness(witness_path)
        except sqlite3.Error as error:
            self._connection.close()
            raise open_error(path, error) from error
        except OSError as error:
            self._connection.close()
            raise StoreUnusableError(f"{witness_path} cannot be used: {error}") from error
        missing = self._witness.count() - self._events
        if missing > 0:
            self.close()
            raise CorruptError(
                f"{path} has lost {missing} acknowledged events: restore it,"
                f" or remove {witness_path} to go on without them"
            )

    def take_epoch(self, shard: str, owner: str) -> Head:
        self._check_usable()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_TAKE_EPOCH, (shard, owner))
            head = _head(self._connection, shard)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._undo(error) from error
        return head

    def append_group(self, records: Sequence[BatchRecord]) -> list[StoreError | None]:
        """Append in one transaction and one flush; outcomes as HotStore.append promises."""
        execute = self._connection.execute
        outcomes: list[StoreError | None] = []
        events = 0
        try:
            self._check_usable()
            execute("BEGIN IMMEDIATE")
            for record in records:
                reason = refusal(record, _head(self._connection, record.shard))
                outcomes.append(reason)
                if reason is None:
                    execute(_MOVE_HEAD, (record.last_seq, record.batch_id, record.shard))
                    execute(
                        _INSERT,
                        (
                            record.shard,
                            record.last_seq,
                            record.first_seq,
                            record.epoch,
                            record.batch_id,
                            record_checksum(record),
                            record.payload,
                        ),
                    )
                    events += record.last_seq - record.first_seq + 1
            execute("COMMIT")
        except sqlite3.Error as error:
            unknown = self._undo(error)
            return [unknown] * len(records)
        except OutcomeUnknownError as error:
            return [error] * len(records)
        self._events += events
        self._witness.note(self._events)
        return outcomes

    def trim_slice(self, shard: str, upto_seq: int) -> bool:
        """Forget some of the oldest records up to `upto_seq`; return whether there may be more."""
        self._check_usable()
        try:
            cursor = self._connection.execute(_DELETE_SLICE, (shard, upto_seq, TRIM_SLICE_RECORDS))
        except sqlite3.Error as error:
            raise self._undo(error) from error
        return cursor.rowcount == TRIM_SLICE_RECORDS

    def checkpoint(self) -> None:
        """Write what is left of the log back to the file, so that the next commit starts it anew.

        Waits for nobody, unless a reader has kept the log from starting anew for long.
        """
        try:
            _, pages, done = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages > WAL_PAGES_MAX:
                # Commits wait meanwhile, so wait for readers only shortly; next time again.
                self._connection.execute(f"PRAGMA busy_timeout={RESTART_WAIT_MS}")
                busy, pages, done = self._connection.execute(
                    "PRAGMA wal_checkpoint(RESTART)"
                ).fetchone()
                self._connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
                log.warning("store_log_long", pages=pages, written=done, is_busy=bool(busy))
        except sqlite3.Error as error:
            self._undo(error)

    def close(self) -> None:
        self._connection.close()
        if hasattr(self, "_witness"):
            self._witness.close()

    def _check_usable(self) -> None:
        if self._failure:
            raise OutcomeUnknownError(self._failure)

    def _undo(self, error: sqlite3.Error) -> OutcomeUnknownError:
        """Roll back after `error` and return what to tell; after a failing disk, stay failed."""
        unknown = OutcomeUnknownError(f"{self._path}: {error}")
        if is_io_error(error) or is_corrupt(error):
            # After a failed flush nobody knows what is on the disk, and a later flush may wrongly
            # succeed. Only opening the file anew, that is restarting, shows what is there.
            self._failure = f"{self._path} has failed and must be opened anew: {error}"
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as rollback_error:
            self._failure = f"{self._path} has failed and must be opened anew: {rollback_error}"
        return unknown


class Checkpointer:
    """Writes most of the log back while the writer goes on, through its own connection."""

    def __init__(self, path: Path) -> None:
        self._connection = open_file(
            path, application_id=APPLICATION_ID, schema_version=SCHEMA_VERSION, schema=_SCHEMA
        )

    def run(self) -> None:
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            # Nothing is lost by it: the writer's own checkpoint does all the work, and says so.
            log.warning("store_checkpoint_failed", reason=str(error))

    def close(self) -> None:
        self._connection.close()


def _head(connection: sqlite3.Connection, shard: str) -> Head:
    row = connection.execute(_SELECT_HEAD, (shard,)).fetchone()
    return _NEW_STREAM if row is None else Head(*row)
