"""A snapshot takes a little of every tick, whatever the shard holds, and is of one moment."""

import asyncio
import random
from typing import Any, cast

import pytest

from actors.account_shard import ENCODED_AT_ONCE_MAX, AccountShard
from actors.host_core import HostCore
from actors.journal import COPY_NS, Journal
from actors.shard import ShardState
from actors.shard_snapshot import ShardHeader, decode_shard_state, shard_state_pieces
from exchange.account import snapshot
from exchange.account.decider import evolve
from exchange.account.events import Deposited
from exchange.account.state import Account
from storage.memory import MemoryHotStore, MemoryStreams
from tests.support.shards import BTCUSDT, Context

STEP_NS = COPY_NS // 4  # the clock goes on so far with every look at it


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += STEP_NS
        return self.now_ns


class HereOnly:
    def host_of(self, shard: str) -> str:
        return "accounts-0"


def no_link(peer: str, core: HostCore) -> Any:
    raise AssertionError(f"nothing is sent to {peer}")


@pytest.fixture
def core() -> HostCore:
    clock = Clock()
    return HostCore(
        "accounts-0",
        1,
        placement=HereOnly(),
        randomness=random.Random(1),
        clock_ns=clock,
        monotonic_ns=clock,
        new_link=no_link,
        submit=lambda records: None,
    )


@pytest.fixture
def store() -> MemoryHotStore:
    return MemoryHotStore(MemoryStreams())


def shard_of(core: HostCore, shard_id: str, accounts: int) -> AccountShard:
    shard = AccountShard(shard_id, core, Context(BTCUSDT), 1)
    for account_id in range(1, accounts + 1):
        shard.accounts[account_id] = Account(account_id)
        deposit(shard, account_id, 1)
    shard.state = ShardState.SERVING
    core.shards[shard_id] = shard
    return shard


def deposit(shard: AccountShard, account_id: int, times: int) -> None:
    account = shard.accounts[account_id]
    for number in range(len(account.identities), len(account.identities) + times):
        event = Deposited(account_id, "BTC", 1, number + 1, number.to_bytes(16, "big"))
        shard.before_change(account)
        evolve(account, event)
        shard.ledger.apply(account_id, event)


def state_of(shard: AccountShard) -> bytes:
    return snapshot.encode_shard(shard.ledger, shard.accounts.values())


async def finish(journal: Journal) -> None:
    for _ in range(1_000):
        running = journal.step()
        if running is not None:
            await journal.write(running)
            return
    raise AssertionError("the snapshot does not end")


async def stored(store: MemoryHotStore, shard: AccountShard) -> bytes:
    (kept,) = await store.snapshots(shard.shard_id)
    return decode_shard_state(kept.payload).payload


async def test_a_tick_copies_for_its_time_and_not_more(
    core: HostCore, store: MemoryHotStore
) -> None:
    shard = shard_of(core, "account/0", 10)
    shard.epoch = (await store.take_epoch(shard.shard_id, core.name)).epoch
    journal, then = Journal(core, store, 1_000), state_of(shard)
    journal.begin_snapshot(shard)
    looks = []
    while (running := journal.step()) is None:
        looks.append(core.monotonic_ns())
        assert len(looks) < 10
    assert len(looks) == 3  # 4, 4 and 2 accounts
    await journal.write(running)
    assert await stored(store, shard) == then


async def test_at_least_one_account_is_copied_however_slow_the_host_is(core: HostCore) -> None:
    shard = shard_of(core, "account/0", 3)
    shard.begin_snapshot()
    late = core.monotonic_ns
    assert shard.copy_some(late, 0) is None
    assert shard.copy_some(late, 0) is None
    assert shard.copy_some(late, 0) is not None


async def test_a_snapshot_is_of_the_moment_it_began_whatever_changes_meanwhile(
    core: HostCore, store: MemoryHotStore
) -> None:
    shard = shard_of(core, "account/0", 12)
    for busy in (3, 7, 11):
        deposit(shard, busy, 2 * ENCODED_AT_ONCE_MAX)
    shard.epoch = (await store.take_epoch(shard.shard_id, core.name)).epoch
    journal, then = Journal(core, store, 1_000), state_of(shard)
    journal.begin_snapshot(shard)
    for account_id in (1, 3, 7, 11):
        deposit(shard, account_id, 5)
    shard.accounts[99] = Account(99)
    deposit(shard, 99, 1)
    assert journal.step() is None
    for account_id in (2, 3, 12):
        deposit(shard, account_id, 5)
    await finish(journal)
    assert await stored(store, shard) == then
    assert all(account.trace is None for account in shard.accounts.values())


async def test_a_busy_account_is_captured_at_once_and_encoded_later(core: HostCore) -> None:
    shard = shard_of(core, "account/0", 1)
    deposit(shard, 1, 2 * ENCODED_AT_ONCE_MAX)
    account = shard.accounts[1]
    shard.begin_snapshot()
    deposit(shard, 1, 1)
    assert account.trace is not None
    shard.begin_snapshot()  # of anew: what the first one kept is let go
    assert cast(Any, account).trace is None
    for _ in range(10):
        pieces = shard.copy_some(core.monotonic_ns, 0)
        if pieces is not None:
            break
    assert pieces is not None
    assert b"".join(pieces) == state_of(shard)


async def test_one_shard_is_copied_at_a_time(core: HostCore, store: MemoryHotStore) -> None:
    shards = [shard_of(core, f"account/{number}", 6) for number in range(2)]
    journal = Journal(core, store, snapshot_every_events=1)
    for shard in shards:
        shard.epoch = (await store.take_epoch(shard.shard_id, core.name)).epoch
        shard.seq = shard.durable_seq = 1
        journal.due(shard)
    assert [journal.is_busy(shard) for shard in shards] == [True, False]
    await finish(journal)
    for shard in shards:
        journal.due(shard)
    assert [journal.is_busy(shard) for shard in shards] == [False, True]


async def test_joining_is_left_to_who_has_a_thread_for_it(
    core: HostCore, store: MemoryHotStore
) -> None:
    joined: list[int] = []

    async def join(pieces: Any) -> bytes:
        joined.append(len(pieces))
        return await asyncio.to_thread(b"".join, pieces)

    shard = shard_of(core, "account/0", 3)
    shard.epoch = (await store.take_epoch(shard.shard_id, core.name)).epoch
    journal = Journal(core, store, 1_000, join)
    journal.begin_snapshot(shard)
    await finish(journal)
    assert joined == [2 + 2 + 3]  # the header, the start of the payload; its head, ledger, accounts
    assert await stored(store, shard) == state_of(shard)


@pytest.mark.parametrize("sizes", [[], [0], [1], [255], [256, 0], [70_000, 5]])
def test_pieces_join_to_what_is_decoded(sizes: list[int]) -> None:
    header = ShardHeader({"market/X": 7}, {"market/X": {5: [1]}}, {"market/X": (9, 8, 7)})
    payload = [bytes(size) for size in sizes]
    state = decode_shard_state(b"".join(shard_state_pieces(header, payload)))
    assert (state.watermarks, state.holes, state.lanes) == (
        header.watermarks,
        header.holes,
        header.lanes,
    )
    assert state.payload == b"".join(payload)
