"""Fold the streams of a whole exchange, without a host, and audit the money.

Nothing is asked of anybody: accounts and markets are folded from snapshots and journals. While a
node runs the positions differ from stream to stream, which exchange/audit.py allows for.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from actors.account_shard import AccountShard
from actors.audit_snapshots import check_snapshot
from actors.directory_shard import DirectoryShard
from actors.market_shard import MarketShard
from actors.shard import Shard
from actors.shard_snapshot import decode_shard_state
from exchange.account.decider import TradingContext
from exchange.audit import AccountShardView, AuditReport, Finding, MarketView, audit
from exchange.ids import account_shard
from exchange.market.events import MarketToAccount
from storage.codec import decode_account_entry
from storage.ports import CorruptError, HotReader, Snapshot

NO_RESUME: Final = 2**62  # user events are not wanted: none are built

Messages = dict[str, list[tuple[int, MarketToAccount]]]


class AuditUnreadableError(Exception):
    """The streams cannot be read to the end; the text says which and why."""


class EntityDownError(AuditUnreadableError):
    """Messages wait for an entity that is being rebuilt: read again in a moment."""


class _Folding:
    """As much of a host as folding a stream asks for."""

    lane_cache_max = 0


# Only deciding asks for it, and an audit decides nothing.
_NO_CONTEXT = cast(TradingContext, None)


def empty_shard(shard_id: str, account_shards: int) -> Shard:
    """Return a shard without a host, at the beginning of its stream: it can fold, and only that."""
    kind, host = shard_id.partition("/")[0], cast(Any, _Folding())
    if kind == "directory":
        return DirectoryShard(shard_id, host)
    if kind == "market":
        return MarketShard(shard_id, host, account_shards)
    shard = AccountShard(shard_id, host, _NO_CONTEXT, account_shards)
    shard.resume_window(NO_RESUME)
    return shard


async def audit_streams(stores: Sequence[HotReader], account_shards: int) -> AuditReport:
    """Fold all streams of `stores`, which together are one exchange, and check them.

    Raises:
        EntityDownError: try again; it lasts as long as it takes to rebuild one entity.
        AuditUnreadableError: messages of a market are neither in its stream nor applied.
        StoreError: a store cannot be read.
    """
    accounts = await _accounts(stores, account_shards)
    # After the accounts: what they have applied is then certainly in the markets' streams.
    markets = await _markets(stores, accounts, account_shards)
    report = audit([account_view(shard) for shard in accounts], markets)
    findings, checked = await _check_snapshots(stores, account_shards)
    return replace(report, findings=(*report.findings, *findings), snapshots=checked)


async def _check_snapshots(
    stores: Sequence[HotReader], account_shards: int
) -> tuple[list[Finding], int]:
    """Return where live state was not what the journal says, and how many shards were compared."""
    findings, checked = [], 0
    for store in stores:
        for shard_id in await store.shards():
            was_checked, finding = await check_snapshot(
                store, empty_shard(shard_id, account_shards)
            )
            checked += was_checked
            if finding is not None:
                findings.append(finding)
    return findings, checked


async def _accounts(stores: Sequence[HotReader], shards: int) -> list[AccountShard]:
    found: list[AccountShard] = []
    for number in range(shards):
        shard_id = account_shard(number, shards)
        shard = cast(AccountShard, empty_shard(shard_id, shards))
        for store in stores:
            if shard_id in await store.shards():
                await fold(store, shard, await store.snapshots(shard_id))
        _check_whole(shard)
        found.append(shard)
    return found


async def _markets(
    stores: Sequence[HotReader], accounts: list[AccountShard], shards: int
) -> list[MarketView]:
    views: list[MarketView] = []
    for store in stores:
        for shard_id in await store.shards():
            if not shard_id.startswith("market/"):
                continue
            market = cast(MarketShard, empty_shard(shard_id, shards))
            snapshots = await store.snapshots(shard_id)
            await fold(store, market, snapshots)
            _check_whole(market)
            if market.market.instrument is not None:
                on_their_way = await _unconsumed(store, market, snapshots, accounts)
                views.append(market_view(market, on_their_way))
    return views


def _check_whole(shard: Shard) -> None:
    if any(shard.holes.values()):
        raise EntityDownError(f"{shard.shard_id}: a process is down")


async def fold(store: HotReader, shard: Shard, snapshots: Sequence[Snapshot]) -> None:
    """Bring `shard` from the newest of `snapshots`, or from nothing, to the end of its stream."""
    head = await store.head(shard.shard_id)
    shard.recover(head, snapshots[0] if snapshots else None, 0)
    async for record in store.read(shard.shard_id, shard.seq):
        shard.replay(record)


async def _unconsumed(
    store: HotReader,
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
            async for record in store.read(market.shard_id, after_seq):
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


def account_view(shard: AccountShard) -> AccountShardView:
    """Return what the audit is told of an account shard as it stands."""
    return AccountShardView(
        shard.shard_id,
        shard.accounts,
        shard.ledger,
        shard.watermarks,
        {target: lane.last for target, lane in shard.lanes.items()},
    )


def market_view(shard: MarketShard, unconsumed: Messages) -> MarketView:
    """Return what the audit is told of a market as it stands, with its messages on their way."""
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
        dict(shard.watermarks),
    )
