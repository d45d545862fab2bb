"""Snapshots as files next to the database: a large one must not stand in the way of a commit."""

import os
import struct
import time
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote

import msgspec

from config.logging import get_logger
from storage.integrity import snapshot_checksum
from storage.ports import OutcomeUnknownError, Snapshot

log = get_logger(__name__)

KEPT: Final = 2
PIECE_BYTES: Final = 1024 * 1024
PIECE_PAUSE_S: Final = 0.01  # so at most 100 MB a second
_MAGIC: Final = b"VTSNAP01"
_CHECKSUM: Final = struct.Struct(">I")
_START: Final = len(_MAGIC) + _CHECKSUM.size
_NO_BYTES: Final = msgspec.msgpack.encode(b"")
_decode = msgspec.msgpack.Decoder(tuple[str, int, int, bytes]).decode


class SnapshotFiles:
    """The snapshots of all shards of one hot store, each a file that is written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Files found intact, as they were then: reading a large one again holds everything up.
        self._intact: dict[Path, tuple[int, int]] = {}

    def put(self, snapshot: Snapshot) -> None:
        """Write it durably, then remove all but the two newest; raise OutcomeUnknownError."""
        path = self._path(snapshot.shard, snapshot.seq)
        unfinished = path.with_suffix(".unfinished")
        # Written in two parts: encoding a large payload would copy it while no other thread runs.
        fields = msgspec.msgpack.encode((snapshot.shard, snapshot.seq, snapshot.epoch, b""))
        size = b"\xc6" + len(snapshot.payload).to_bytes(4, "big")
        try:
            self._folder.mkdir(exist_ok=True)
            for left in self._files(snapshot.shard, ".unfinished"):
                left.unlink()  # by a writer that died, or found the disk full
            with unfinished.open("wb") as file:
                file.write(_MAGIC + _CHECKSUM.pack(snapshot_checksum(snapshot)))
                file.write(fields.removesuffix(_NO_BYTES) + size)
                _write_gently(file, snapshot.payload)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
            self._sync_folder()
            self._intact[path] = _looks(path)
            for old in self._paths(snapshot.shard)[KEPT:]:
                old.unlink()
                self._intact.pop(old, None)
        except OSError as error:
            raise OutcomeUnknownError(f"{path} cannot be written: {error}") from error

    def newest(self, shard: str) -> list[Snapshot]:
        """Return the intact ones, newest first; damaged ones are logged and left out."""
        intact = []
        for path in self._paths(shard)[:KEPT]:
            try:
                looks = _looks(path)
                intact.append(_read(shard, path))
                self._intact[path] = looks
            except FileNotFoundError:
                continue  # its writer has just replaced it by a newer one
            except (OSError, ValueError) as error:
                log.error(
                    "snapshot_damaged",
                    shard=shard,
                    path=str(path),
                    reason=str(error),
                )
        return intact

    def intact_seqs(self, shard: str) -> list[int]:
        """Return where the intact ones are, newest first; read only if that is not known yet."""
        paths = self._paths(shard)[:KEPT]
        try:
            if all(self._intact.get(path) == _looks(path) for path in paths):
                return [_seq_of(path) for path in paths]
        except FileNotFoundError:
            log.info("snapshot_replaced", shard=shard)
        return [snapshot.seq for snapshot in self.newest(shard)]

    def _path(self, shard: str, seq: int) -> Path:
        # Numbers of equal width, so that names sort as their numbers do.
        return self._folder / f"{quote(shard, safe='')}.{seq:020}.snapshot"

    def _paths(self, shard: str) -> list[Path]:
        """Return the files of a shard, newest first."""
        if not self._folder.is_dir():
            return []
        return sorted(self._files(shard, ".snapshot"), reverse=True)

    def _files(self, shard: str, suffix: str) -> list[Path]:
        # A shard's name may be another's up to a point: what follows must be a number.
        start = quote(shard, safe="") + "."
        return [
            path
            for path in self._folder.iterdir()
            if path.suffix == suffix
            and path.name.startswith(start)
            and path.name[len(start) : -len(suffix)].isdecimal()
        ]

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _looks(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _seq_of(path: Path) -> int:
    return int(path.name.split(".")[-2])


def _write_gently(file: BinaryIO, payload: bytes) -> None:
    """Write a piece at a time, each to the disk: a hundred megabytes at once would make every
    commit beside it wait for all of them."""
    view = memoryview(payload)
    for start in range(0, len(view), PIECE_BYTES):
        if start:
            file.flush()
            os.fdatasync(file.fileno())
            time.sleep(PIECE_PAUSE_S)
        file.write(view[start : start + PIECE_BYTES])


def _read(shard: str, path: Path) -> Snapshot:
    data = path.read_bytes()
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _START:
        raise ValueError("not a snapshot")
    (checksum,) = _CHECKSUM.unpack_from(data, len(_MAGIC))
    snapshot = Snapshot(*_decode(data[_START:]))  # msgspec's errors are ValueErrors
    if snapshot_checksum(snapshot) != checksum or snapshot.shard != shard:
        raise ValueError("wrong checksum")
    return snapshot
