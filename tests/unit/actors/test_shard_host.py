"""How the program of a shard host opens its shards: each of them once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.control import HostSpec
from actors.placement import NodePlacement
from actors.shard import ShardState
from actors.shard_host import ShardHost
from config.schema import NodeConfig, NodeSettings
from exchange.ids import DIRECTORY_SHARD
from storage.memory import MemoryHotStore
from storage.ports import Head

SECRET = b"sixteen bytes and more"


class SlowStore(MemoryHotStore):
    """Lets other work in before it answers, as every real store does."""

    async def take_epoch(self, shard: str, owner: str) -> Head:
        await asyncio.sleep(0)
        return await super().take_epoch(shard, owner)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[ShardHost]:
    config = NodeConfig(node=NodeSettings(data_dir=str(tmp_path)))
    spec = HostSpec(name="accounts-1", kind="shards", data_dir=str(tmp_path), incarnation=1)
    placement = NodePlacement(["accounts-1"], ["markets-1"])
    host = ShardHost(spec, config, placement, SECRET, SlowStore(), lambda _event: None)
    yield host
    host.close()


async def epochs(host: ShardHost) -> dict[str, int]:
    heads = await host._store.heads()
    return {shard: head.epoch for shard, head in heads.items()}


async def test_a_shard_that_a_message_opened_is_not_recovered_again(host: ShardHost) -> None:
    host.follower.seq = 0  # the directory is known
    others = [f"account/{n}" for n in range(1, host.config.hosts.account_shards)]
    recovering = asyncio.ensure_future(host.recover_all())
    await asyncio.sleep(0)
    for shard_id in others:  # messages for them are here before it is their turn
        host.core.on_shard_missing(shard_id)
    await recovering
    assert set(await epochs(host)) == {DIRECTORY_SHARD, "account/0", *others}
    assert set((await epochs(host)).values()) == {1}
    assert all(shard.state is ShardState.SERVING for shard in host.core.shards.values())


async def test_the_directory_does_not_wait_for_itself(host: ShardHost) -> None:
    host.open_shard(DIRECTORY_SHARD)  # its first append failed, before anyone had heard of it
    host.open_shard("account/0")  # accounts wait until it is known
    async with asyncio.timeout(5):
        while DIRECTORY_SHARD not in await epochs(host):
            await asyncio.sleep(0)
    assert set(host.core.shards) == {DIRECTORY_SHARD}
