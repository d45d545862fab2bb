"""Read the streams of a data directory, whether its node runs or not, and audit the money.

Nothing is asked of the node: accounts and markets are folded anew from their journals. While a
node runs the positions differ from stream to stream, which exchange/audit.py allows for.
"""

import asyncio
from pathlib import Path
from typing import Final, cast

from actors.account_shard import AccountShard
from actors.client import published_config
from actors.market_shard import MarketShard
from actors.shard import Shard, decode_shard_state
from config.schema import NodeConfig
from exchange.account.decider import TradingContext
from exchange.audit import AccountShardView, AuditReport, MarketView, audit
from exchange.ids import account_shard
from exchange.market.events import MarketToAccount
from storage.codec import decode_account_entry
from storage.factory import open_hot_reader
from storage.ports import CorruptError, HotReader, Snapshot

NO_RESUME: Final = 2**62  # user events are not wanted: none are built
HOLES_TRIES: Final = 10  # an entity that is being rebuilt is done in milliseconds
HOLES_PAUSE_S: Final = 0.2


class AuditUnreadableError(Exception):
    """The streams cannot be read to the end; the text says which and why."""


class _Folding:
    """As much of a host as folding a stream asks for."""

    lane_cache_max = 0


# Only deciding asks for it, and an audit decides nothing.
_NO_CONTEXT = cast(TradingContext, None)


async def audit_data_dir(data_dir: Path) -> AuditReport:
    """Fold all streams of `data_dir` and check them.

    Raises:
        NodeUnreachableError (actors.client): no node has ever been started there.
        AuditUnreadableError: no journals, or messages of a market are neither in its stream nor
            applied, or a process that crashed stays down.
        StoreError: a store cannot be read.
    """
    config = published_config(data_dir)
    readers = _open_readers(config)
    if not readers:
        raise AuditUnreadableError(f"there are no journals in {data_dir}")
    try:
        for _ in range(HOLES_TRIES):
            accounts = await _accounts(readers, config.hosts.account_shards)
            if not any(numbers for shard in accounts for numbers in shard.holes.values()):
                break
            await asyncio.sleep(HOLES_PAUSE_S)
        else:
            raise AuditUnreadableError("an account's process is down; see the node's status")
        # After the accounts: what they have applied is then certainly in the markets' streams.
        markets = await _markets(readers, accounts, config.hosts.account_shards)
    finally:
        for reader in readers:
            await reader.close()
    return audit([_account_view(shard) for shard in accounts], markets)


def _open_readers(config: NodeConfig) -> list[HotReader]:
    """Open the files of all hosts that own shards; one that has none yet has no file."""
    hosts = [f"accounts-{n}" for n in range(1, config.hosts.account_hosts + 1)]
    hosts += [f"markets-{n}" for n in range(1, config.hosts.market_hosts + 1)]
    urls = [config.hot_url(host) for host in hosts]
    return [open_hot_reader(url) for url in urls if Path(url.partition(":")[2]).exists()]


async def _accounts(readers: list[HotReader], shards: int) -> list[AccountShard]:
    found: list[AccountShard] = []
    for number in range(shards):
        shard_id = account_shard(number, shards)
        shard = AccountShard(shard_id, _Folding(), _NO_CONTEXT, shards)
        shard.resume_window(NO_RESUME)
        for reader in readers:
            if shard_id in await reader.shards():
                await _fold(reader, shard, await reader.snapshots(shard_id))
        found.append(shard)
    return found


async def _markets(
    readers: list[HotReader], accounts: list[AccountShard], shards: int
) -> list[MarketView]:
    views: list[MarketView] = []
    for reader in readers:
        for shard_id in await reader.shards():
            if not shard_id.startswith("market/"):
                continue
            market = MarketShard(shard_id, _Folding(), shards)
            snapshots = await reader.snapshots(shard_id)
            await _fold(reader, market, snapshots)
            if market.market.instrument is not None:
                on_their_way = await _unconsumed(reader, market, snapshots, accounts)
                views.append(_market_view(market, on_their_way))
    return views


async def _fold(reader: HotReader, shard: Shard, snapshots: list[Snapshot]) -> None:
    head = await reader.head(shard.shard_id)
    shard.recover(head, snapshots[0] if snapshots else None, 0)
    async for record in reader.read(shard.shard_id, shard.seq):
        shard.replay(record)


Messages = dict[str, list[tuple[int, MarketToAccount]]]


async def _unconsumed(
    reader: HotReader,
    market: MarketShard,
    snapshots: list[Snapshot],
    accounts: list[AccountShard],
) -> Messages:
    """Return the market's messages above the account shards' watermarks.

    They are near the end of its stream, so the newest snapshot is tried first; what is older is
    kept as long as a shard has not applied it.
    """
    starts = [snapshot.seq for snapshot in snapshots] or [0]
    for snapshot in snapshots:
        starts += [cursor[2] for cursor in decode_shard_state(snapshot.payload).lanes.values()]
    for after_seq in dict.fromkeys([*starts, 0]):
        messages: Messages = {shard.shard_id: [] for shard in accounts}
        try:
            async for record in reader.read(market.shard_id, after_seq):
                if record.last_seq > market.seq:
                    break  # came after the market was folded
                for shard in accounts:
                    applied = shard.watermarks.get(market.shard_id, 0)
                    messages[shard.shard_id] += [
                        (number, cast(MarketToAccount, decode_account_entry(raw)))
                        for number, raw in market.messages_to(shard.shard_id, record)
                        if number > applied
                    ]
        except CorruptError:
            continue  # trimmed there; a real fault shows at the other starts too
        if all(_is_complete(shard, market, messages[shard.shard_id]) for shard in accounts):
            return messages
    raise AuditUnreadableError(f"messages of {market.shard_id} to accounts are missing")


def _is_complete(
    shard: AccountShard, market: MarketShard, messages: list[tuple[int, MarketToAccount]]
) -> bool:
    """Return whether the first message that the shard has not applied is there."""
    applied = shard.watermarks.get(market.shard_id, 0)
    if messages:
        return messages[0][0] == applied + 1
    lane = market.lanes.get(shard.shard_id)
    return lane is None or lane.last <= applied


def _account_view(shard: AccountShard) -> AccountShardView:
    return AccountShardView(
        shard.shard_id,
        shard.accounts,
        shard.ledger,
        shard.watermarks,
        {target: lane.last for target, lane in shard.lanes.items()},
    )


def _market_view(shard: MarketShard, unconsumed: Messages) -> MarketView:
    market = shard.market
    assert market.instrument is not None
    return MarketView(
        shard.shard_id,
        market.symbol,
        market.instrument.base_asset,
        market.instrument.quote_asset,
        market.trades,
        market.sum_of_trade_ids,
        list(market.orders.values()),
        {target: lane.last for target, lane in shard.lanes.items()},
        unconsumed,
        {source: shard.applied(source) for source in shard.watermarks},
    )
