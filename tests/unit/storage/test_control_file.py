"""What a cluster agreed on at its first start holds at every later one."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from storage.ports import StoreUnusableError
from storage.sqlite.control import ControlFile, HostRow


@pytest.fixture
def control(tmp_path: Path) -> ControlFile:
    return ControlFile(tmp_path / "control.db")


def test_identity_is_made_once(control: ControlFile, tmp_path: Path) -> None:
    first = control.identity(4)
    assert first.account_shards == 4
    assert ControlFile(tmp_path / "control.db").identity(4) == first
    assert ControlFile(tmp_path / "other.db").identity(4).cluster_id != first.cluster_id


def test_other_number_of_account_shards_is_refused(control: ControlFile) -> None:
    first = control.identity(4)
    with pytest.raises(StoreUnusableError, match="has 4 account shards for ever"):
        control.identity(5)
    assert control.identity(4) == first


def test_shards_are_spread_evenly_and_stay_where_they_are(control: ControlFile) -> None:
    slots = ["accounts-1", "accounts-2"]
    placed = control.place([f"account/{number}" for number in range(4)], slots)
    assert sorted(placed.values()) == ["accounts-1", "accounts-1", "accounts-2", "accounts-2"]
    more = control.place([f"account/{number}" for number in range(5)], [*slots, "accounts-3"])
    assert {shard: more[shard] for shard in placed} == placed
    assert more["account/4"] == "accounts-3"
    assert control.placement() == more


def test_kinds_of_slots_are_counted_apart(control: ControlFile) -> None:
    control.place(["account/0", "account/1"], ["accounts-1"])
    markets = control.place(["market/A", "market/B"], ["markets-1", "markets-2"])
    assert markets == {"market/A": "markets-1", "market/B": "markets-2"}
    control.require_slots(["accounts-1", "markets-1", "markets-2", "spare-1"])


def test_removed_slot_that_owns_shards_is_refused(control: ControlFile) -> None:
    control.place(["market/A", "market/B"], ["markets-1", "markets-2"])
    with pytest.raises(StoreUnusableError, match="market/B lies at markets-2"):
        control.place(["market/A", "market/B", "market/C"], ["markets-1"])
    with pytest.raises(StoreUnusableError, match="markets-2 was removed but owns market/B"):
        control.require_slots(["markets-1"])
    assert "market/C" not in control.placement()


def test_host_is_where_it_was_last_seen(control: ControlFile) -> None:
    control.put_host(HostRow("markets-1", 1, "ipc://a", 10))
    control.put_host(HostRow("accounts-1", 2, "ipc://b", 11))
    control.put_host(HostRow("markets-1", 3, "ipc://c", 12))
    assert control.hosts() == [
        HostRow("accounts-1", 2, "ipc://b", 11),
        HostRow("markets-1", 3, "ipc://c", 12),
    ]
    control.remove_host("accounts-1")
    control.remove_host("accounts-1")
    assert [host.name for host in control.hosts()] == ["markets-1"]


def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    together = Barrier(8)

    def start(number: int) -> tuple[str, str]:
        control = ControlFile(tmp_path / "control.db")
        together.wait()
        cluster_id = control.identity(4).cluster_id
        slots = [f"slot-{(number + index) % 8}" for index in range(8)]
        return cluster_id, control.place(["market/A"], slots)["market/A"]

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "control.db")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreUnusableError, match="is not a store of this kind"):
        ControlFile(tmp_path / "control.db").hosts()
