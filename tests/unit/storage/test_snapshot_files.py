"""Snapshot files of one store: whose they are, and what a writer that died left."""

from pathlib import Path

from storage.ports import Snapshot
from storage.sqlite.snapshots import SnapshotFiles


def test_a_shard_whose_name_begins_another_s_keeps_its_own_snapshots(tmp_path: Path) -> None:
    files = SnapshotFiles(tmp_path / "snapshots")
    for seq in (1, 2, 3):
        for shard in ("market/BTC", "market/BTC.X"):
            files.put(Snapshot(shard, seq, 1, shard.encode()))
    for shard in ("market/BTC", "market/BTC.X"):
        assert [(kept.shard, kept.seq) for kept in files.newest(shard)] == [(shard, 3), (shard, 2)]


def test_what_a_writer_left_unfinished_is_removed_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    files = SnapshotFiles(folder)
    files.put(Snapshot("account/0", 1, 1, b"one"))
    left = folder / "account%2F0.00000000000000000002.unfinished"
    left.write_bytes(b"half")
    files.put(Snapshot("account/0", 3, 1, b"three"))
    assert not left.exists()
    assert [kept.seq for kept in files.newest("account/0")] == [3, 1]
