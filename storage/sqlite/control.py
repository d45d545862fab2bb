"""control.db: what a cluster of embedded stores must agree on before any host starts.

Small and blocking; opened for each use and closed again, so it is never in anybody's way.
"""

import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from storage.ports import StoreUnusableError
from storage.sqlite.files import open_error, open_file

APPLICATION_ID: Final = 0x564D5458  # "VMTX"
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE cluster (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1), cluster_id TEXT NOT NULL,
    account_shards INTEGER NOT NULL
) STRICT;
CREATE TABLE placement (shard TEXT PRIMARY KEY, slot TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE hosts (
    name TEXT PRIMARY KEY, incarnation INTEGER NOT NULL, endpoint TEXT NOT NULL,
    pid INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
"""


class ClusterIdentity(msgspec.Struct, frozen=True):
    """Fixed at the first start, for ever."""

    cluster_id: str
    account_shards: int


class HostRow(msgspec.Struct, frozen=True):
    """Where a host was last seen."""

    name: str
    incarnation: int  # Unix time in ns of its start
    endpoint: str
    pid: int


class ControlFile:
    """All methods raise StoreUnusableError or CorruptError, in one sentence for the operator."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)

    def identity(self, account_shards: int) -> ClusterIdentity:
        """Return the cluster's identity; the first call makes it.

        Raises:
            StoreUnusableError: `account_shards` is not what the cluster was made with.
        """
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO cluster VALUES (1, ?, ?)",
                (secrets.token_hex(8), account_shards),
            )
            row = connection.execute("SELECT cluster_id, account_shards FROM cluster").fetchone()
        found = ClusterIdentity(*row)
        if found.account_shards != account_shards:
            raise StoreUnusableError(
                f"this cluster has {found.account_shards} account shards for ever,"
                f" the configuration says {account_shards}"
            )
        return found

    def place(self, shards: Sequence[str], slots: Sequence[str]) -> dict[str, str]:
        """Return the slot of each of `shards`. A shard is placed once, for its stream lies there:
        a new one goes to the slot of `slots` that has the fewest, and stays.

        Raises:
            StoreUnusableError: one of them lies at a slot that is not among `slots`.
        """
        with self._transaction() as connection:
            placement = _placement(connection)
            counts = Counter(dict.fromkeys(slots, 0))
            counts.update(slot for slot in placement.values() if slot in counts)
            for shard in shards:
                slot = placement.get(shard)
                if slot is None:
                    slot = placement[shard] = min(slots, key=lambda one: counts[one])
                    counts[slot] += 1
                    connection.execute("INSERT INTO placement VALUES (?, ?)", (shard, slot))
                elif slot not in counts:
                    raise StoreUnusableError(
                        f"{shard} lies at {slot}, which is not among {', '.join(slots)}:"
                        " a slot that owns shards cannot be removed"
                    )
        return {shard: placement[shard] for shard in shards}

    def placement(self) -> dict[str, str]:
        """Return shard -> slot of all shards placed so far, sorted by shard."""
        with self._transaction() as connection:
            return _placement(connection)

    def require_slots(self, slots: Sequence[str]) -> None:
        """Refuse, with StoreUnusableError, to go on without a slot that owns shards."""
        for shard, slot in self.placement().items():
            if slot not in slots:
                raise StoreUnusableError(f"{slot} was removed but owns {shard}: configure it again")

    def put_host(self, host: HostRow) -> None:
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?)",
                (host.name, host.incarnation, host.endpoint, host.pid),
            )

    def remove_host(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM hosts WHERE name = ?", (name,))

    def hosts(self) -> list[HostRow]:
        """Return the hosts, sorted by name."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT name, incarnation, endpoint, pid FROM hosts ORDER BY name"
            ).fetchall()
        return [HostRow(*row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction: all of it, or none if the body raises."""
        connection = open_file(
            self._path,
            application_id=APPLICATION_ID,
            schema_version=SCHEMA_VERSION,
            schema=_SCHEMA,
        )
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise open_error(self._path, error) from error
        finally:
            connection.close()  # rolls back what was not committed


def _placement(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT shard, slot FROM placement ORDER BY shard").fetchall())
