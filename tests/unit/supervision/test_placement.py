"""Rendezvous hashing: everybody agrees, and little moves."""

import pytest

from supervision.placement import place

SHARDS = [f"market/M{number}" for number in range(300)]
EXPECTED = ["accounts-2", "accounts-2", "accounts-1", "accounts-2", "accounts-2", "accounts-2"]
HOSTS = ["markets-1", "markets-2", "markets-3"]


def test_order_of_owners_does_not_matter() -> None:
    assert [place(s, HOSTS) for s in SHARDS] == [place(s, HOSTS[::-1]) for s in SHARDS]


def test_every_owner_gets_about_its_share() -> None:
    owners = [place(shard, HOSTS) for shard in SHARDS]
    assert all(60 <= owners.count(host) <= 140 for host in HOSTS)


def test_only_shards_of_a_lost_owner_move() -> None:
    for shard in SHARDS:
        before = place(shard, HOSTS)
        if before != "markets-3":
            assert place(shard, HOSTS[:2]) == before


def test_shards_move_only_to_a_new_owner() -> None:
    for shard in SHARDS:
        before, after = place(shard, HOSTS), place(shard, [*HOSTS, "markets-4"])
        assert after in (before, "markets-4")


def test_place_is_the_same_in_every_process() -> None:
    """A stream lies where it was placed: this answer must never change."""
    assert [place(f"account/{n}", ["accounts-1", "accounts-2"]) for n in range(6)] == EXPECTED


def test_nobody_to_place_on_is_refused() -> None:
    with pytest.raises(AssertionError):
        place("account/0", [])
