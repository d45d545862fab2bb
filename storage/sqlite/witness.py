"""A file that remembers how much was acknowledged, apart from the database.

SQLite treats a damaged end of its write-ahead log as commits that never were, and says nothing.
What was acknowledged and is gone must be noticed, so the store notes here, after each commit, how
many events it has. The note is not flushed: after a power cut it may be old, but never ahead of
the truth.
"""

import mmap
import struct
import zlib
from pathlib import Path
from typing import Final

_FORMAT: Final = struct.Struct(">QI")


class Witness:
    """One counter in a memory-mapped file; noting it costs no system call."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it with a count of 0; raises OSError."""
        with path.open("a+b") as file:
            if file.seek(0, 2) < _FORMAT.size:
                file.truncate(_FORMAT.size)
            self._map = mmap.mmap(file.fileno(), _FORMAT.size)

    def count(self) -> int:
        """Return the last count noted; 0 if the note itself is torn, for then it proves nothing."""
        count, checksum = _FORMAT.unpack_from(self._map)
        return count if checksum == zlib.crc32(count.to_bytes(8, "big")) else 0

    def note(self, count: int) -> None:
        _FORMAT.pack_into(self._map, 0, count, zlib.crc32(count.to_bytes(8, "big")))

    def close(self) -> None:
        self._map.close()
