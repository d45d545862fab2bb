"""Which host runs which shard of a node."""

from actors.placement import NodePlacement

PLACEMENT = NodePlacement(["accounts-1", "accounts-2"], ["markets-1", "markets-2"])


def test_kinds_of_shards_have_their_kinds_of_hosts() -> None:
    assert all(PLACEMENT.host_of(f"account/{n}").startswith("accounts-") for n in range(20))
    assert all(PLACEMENT.host_of(f"market/M{n}").startswith("markets-") for n in range(20))
    assert PLACEMENT.host_of("directory/0").startswith("accounts-")


def test_every_shard_that_must_run_is_run_once() -> None:
    hosts = [*PLACEMENT.account_hosts, *PLACEMENT.market_hosts]
    shards = [shard for host in hosts for shard in PLACEMENT.shards_of(host, 8)]
    assert sorted(shards) == sorted(["directory/0", *(f"account/{n}" for n in range(8))])
