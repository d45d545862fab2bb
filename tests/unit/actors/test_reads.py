"""Reads that wait for what a market did: their numbers, for as long as a host lives."""

import random
from typing import Any

import pytest
from msgspec import Raw

from actors import wire
from actors.account_shard import AccountShard
from actors.batch import encode
from actors.host_core import HostCore
from actors.reads import SYNC_NUMBERS
from actors.shard import ShardState
from exchange.account.commands import ReadAccount, ReadKind
from tests.support.shards import BTCUSDT, Context


class Elsewhere:
    def host_of(self, shard: str) -> str:
        return "markets-1"


class Sent(list[Any]):
    """A link that keeps what is put into it."""

    is_delayed = False

    def put(self, item: wire.Item) -> bool:
        self.append(item)
        return True

    def flush(self, now_ns: int) -> None:
        """Nothing leaves."""


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def shard(sent: Sent) -> AccountShard:
    core = HostCore(
        "accounts-1",
        1,
        placement=Elsewhere(),
        randomness=random.Random(1),
        clock_ns=lambda: 1,
        monotonic_ns=lambda: 1,
        new_link=lambda _peer, _core: sent,  # type: ignore[arg-type, return-value]
        submit=lambda records: None,
    )
    shard = AccountShard("account/0", core, Context(BTCUSDT), 1)
    shard.epoch, shard.state = 3, ShardState.SERVING
    core.shards[shard.shard_id] = shard
    return shard


@pytest.mark.parametrize("reads_before", [0, 7, SYNC_NUMBERS - 1, SYNC_NUMBERS, 3 * SYNC_NUMBERS])
def test_a_read_is_answered_however_many_came_before(
    shard: AccountShard, sent: Sent, reads_before: int
) -> None:
    shard.reads.asked = reads_before
    read = ReadAccount(1, ReadKind.OPEN_ORDERS, "BTCUSDT", 0, "", b"", (), "", 5)
    shard.reads.ask(Raw(encode(read)), read)
    shard.reads.serve()
    (sync,) = sent
    shard.reads.synced(wire.Synced(sync.target, sync.source, 0, sync.sync_id))
    shard.reads.serve()
    assert not len(shard.reads)


def test_what_was_asked_before_a_recovery_answers_nothing(shard: AccountShard, sent: Sent) -> None:
    read = ReadAccount(1, ReadKind.OPEN_ORDERS, "BTCUSDT", 0, "", b"", (), "", 5)
    shard.reads.ask(Raw(encode(read)), read)
    shard.reads.serve()
    (sync,) = sent
    shard.reads.synced(wire.Synced(sync.target, sync.source, 0, sync.sync_id - SYNC_NUMBERS))
    shard.reads.serve()
    assert len(shard.reads) == 1
