"""Kinds of trouble, and one run of one seed. A failing run repeats exactly."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.transport.memory import Faults
from tests.simulation.checker import check_all, check_money
from tests.simulation.traders import Traders
from tests.simulation.world import MILLISECOND, World

BAD_NETWORK = Faults(0.05, 0.05, MILLISECOND // 10, 5 * MILLISECOND)
GOOD_NETWORK = Faults(0.0, 0.0, MILLISECOND // 10, MILLISECOND)


@dataclass(frozen=True)
class Family:
    """How bad the world is while traders trade."""

    faults: Faults = GOOD_NETWORK
    world: dict[str, Any] = field(default_factory=dict)
    has_poison: bool = False
    hiccup_trades_every: int = 0  # each so many fills fail once at each party
    # No subscriber may be told of a gap. Reports older than the newest snapshot are not kept over a
    # crash, so with those it may.
    is_gapless: bool = False


TINY: dict[str, Any] = {"buffer_items_max": 5, "lane_cache_max": 3, "frame_items": (1, 2, 3)}
EVERYTHING: dict[str, Any] = {
    "crash_every_ms": 900,
    "unknown_appends": 0.02,
    "partition_every_ms": 1_500,
    "clock_jump_every_ms": 2_000,
    "snapshot_every_events": 40,
    "trims": True,
}

FAMILIES: dict[str, Family] = {
    "quiet": Family(is_gapless=True),
    "bad-network": Family(BAD_NETWORK, is_gapless=True),
    "crashes": Family(
        world={"crash_every_ms": 500, "snapshot_every_events": 100_000}, is_gapless=True
    ),
    "crashes-bad-network": Family(BAD_NETWORK, {"crash_every_ms": 800}),
    "unknown-appends": Family(
        world={"unknown_appends": 0.05, "snapshot_every_events": 100_000}, is_gapless=True
    ),
    "poison": Family(has_poison=True, is_gapless=True),
    "poison-crashes": Family(
        BAD_NETWORK, {"crash_every_ms": 300, "unknown_appends": 0.05}, has_poison=True
    ),
    "settlements": Family(
        world={"crash_every_ms": 150, "unknown_appends": 0.1, "rebuild_chance": 0.15},
        has_poison=True,
        hiccup_trades_every=3,
    ),
    "tiny": Family(BAD_NETWORK, {**TINY, "crash_every_ms": 800}),
    "partitions": Family(world={"partition_every_ms": 400}, is_gapless=True),
    "snapshots": Family(
        world={"snapshot_every_events": 4, "crash_every_ms": 500, "trims": True}, has_poison=True
    ),
    "clock-jumps": Family(world={"clock_jump_every_ms": 300}),
    "everything": Family(BAD_NETWORK, EVERYTHING, has_poison=True),
    "everything-tiny": Family(BAD_NETWORK, {**EVERYTHING, **TINY}, has_poison=True),
}


def run_seed(
    name: str, seed: int, report: Callable[[str], None] | None = None, **planted: Any
) -> World:
    """Let traders trade through the trouble of a family, heal, and check everything.

    `planted` goes to the World: classes with bugs put in on purpose.
    """
    family = FAMILIES[name]
    world = World(seed, faults=GOOD_NETWORK, **{**family.world, **planted})
    world.random.seed(f"{name}/{seed}")
    world.shards.hiccup_trades_every = family.hiccup_trades_every
    traders = Traders(world, poison=family.has_poison)
    traders.prepare()
    world.network.faults = family.faults
    world.misbehave()
    chance = random.Random(seed)
    for _ in range(3):
        traders.trade_for(chance.randint(200, 1_200), every_ms=chance.choice((3, 8, 20)))
        check_money(world)
    world.heal()
    traders.settle()
    if report is not None:
        report(
            f"{name} seed {seed}: {len(traders.done)} requests, {world.crashes} crashes, "
            f"{world.partitions} partitions, {world.clock_jumps} clock jumps, "
            f"{world.now_ns / 1e9:.1f} s"
        )
    check_all(world, traders)
    if family.is_gapless:
        gaps = [gap for feed in traders.subscribers.users.values() for gap in feed.gaps]
        assert not gaps, ("subscribers were told of gaps", gaps)
    return world
