"""A whole node under every kind of trouble: after healing all promises hold, for every seed.

SIM_SEEDS is how many seeds a family gets; more of them all night: SIM_SEEDS=5000 pytest this file.
A failure prints the command that repeats it.
"""

import os

import msgspec
import pytest

from actors.audit import audit_streams
from actors.batch import encode
from actors.shard_snapshot import decode_shard_state
from exchange.account import snapshot
from storage.integrity import snapshot_checksum
from storage.memory import MemoryHotStore
from tests.simulation.families import FAMILIES, run_seed
from tests.simulation.world import ACCOUNT_SHARDS, World, complete

SEEDS = int(os.environ.get("SIM_SEEDS", "22"))


@pytest.mark.parametrize("family", FAMILIES)
def test_node_keeps_its_promises(family: str) -> None:
    for seed in range(1, SEEDS + 1):
        try:
            run_seed(family, seed)
        except Exception as error:
            error.add_note(f"repeat it: make simulate SEED={seed} FAMILY={family}")
            raise


def streams_of(world: World) -> dict[str, list[bytes]]:
    return {
        shard: [record.payload for record in disk.all_records(shard)]
        for disk in world.disks.values()
        for shard in disk.streams
    }


def test_same_seed_is_the_same_run() -> None:
    assert streams_of(run_seed("everything", 7)) == streams_of(run_seed("everything", 7))


def test_different_seeds_are_different_runs() -> None:
    assert streams_of(run_seed("everything", 7)) != streams_of(run_seed("everything", 8))


def test_trouble_really_happens() -> None:
    """Else the families would prove nothing."""
    worlds = [run_seed("everything", seed) for seed in range(1, 6)]
    assert sum(world.crashes for world in worlds) > 0
    assert sum(world.partitions for world in worlds) > 0
    assert sum(world.clock_jumps for world in worlds) > 0
    disks = [disk for world in worlds for disk in world.disks.values()]
    epochs = [disk.head(shard).epoch for disk in disks for shard in disk.streams]
    assert max(epochs) > 2
    assert any(disk.snapshots(shard) for disk in disks for shard in disk.streams)
    assert any(
        len(disk.all_records(shard)) > len(disk.streams[shard].records)
        for disk in disks
        for shard in disk.streams
    ), "no stream was ever trimmed"


def test_audit_finds_that_a_market_lost_its_end() -> None:
    """The checker's own check: without its last records a market is behind its accounts."""
    world = run_seed("quiet", 1)
    stores = [MemoryHotStore(disk) for disk in world.disks.values()]
    assert complete(audit_streams(stores, ACCOUNT_SHARDS)).is_clean
    for disk in world.disks.values():
        for shard, stream in disk.streams.items():
            stream.snapshots.clear()
            if shard.startswith("market/") and len(stream.records) > 5:
                del stream.records[-3:]
                last = stream.records[-1][0]
                stream.head = type(stream.head)(last.last_seq, last.epoch, last.batch_id)
    assert not complete(audit_streams(stores, ACCOUNT_SHARDS)).is_clean


def test_audit_finds_live_state_that_the_journal_does_not_say() -> None:
    """A snapshot is a copy of live state: one stolen cent in it is seen, whatever the sums say."""
    world = run_seed("snapshots", 1)
    stores = [MemoryHotStore(disk) for disk in world.disks.values()]
    report = complete(audit_streams(stores, ACCOUNT_SHARDS))
    assert report.is_clean
    assert report.snapshots > ACCOUNT_SHARDS
    disk = world.disks["accounts-1"]
    stream = next(stream for shard, stream in disk.streams.items() if shard.startswith("account/"))
    kept, _ = stream.snapshots[-1]
    state = decode_shard_state(kept.payload)
    ledger, accounts = snapshot.decode_shard(state.payload)
    accounts[0].balances["USDT"].available -= 1
    forged = encode(msgspec.structs.replace(state, payload=snapshot.encode_shard(ledger, accounts)))
    forgery = msgspec.structs.replace(kept, payload=forged)
    stream.snapshots[-1] = forgery, snapshot_checksum(forgery)
    findings = complete(audit_streams(stores, ACCOUNT_SHARDS)).findings
    assert "rebuilt_state_differs_from_live" in {finding.code for finding in findings}
