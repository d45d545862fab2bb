"""What survives a crash: streams in memory that also keep what was trimmed, for the checker."""

from storage.memory import MemoryStreams
from storage.ports import BatchRecord


class KeptStreams(MemoryStreams):
    """The streams of one host. Hosts see them as they are; the checker sees all that ever was."""

    def __init__(self) -> None:
        super().__init__()
        self._trimmed: dict[str, list[BatchRecord]] = {}

    def trim(self, shard: str, upto_seq: int) -> None:
        before = [record for record, _ in self.streams[shard].records]
        super().trim(shard, upto_seq)
        gone = before[: len(before) - len(self.streams[shard].records)]
        self._trimmed.setdefault(shard, []).extend(gone)

    def all_records(self, shard: str) -> list[BatchRecord]:
        """Return the whole stream, from its first record on."""
        kept = [record for record, _ in self.streams[shard].records]
        return [*self._trimmed.get(shard, []), *kept]
