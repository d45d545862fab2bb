"""From the streams of a node to the cold store, exactly once and resumable by watermark.

What is in memory follows from the cold store and the streams: after any error it is thrown away and
read again. A shard whose stream cannot be projected is set aside and reported; the others go on.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from config.logging import get_logger
from exchange.errors import ExchangeError
from exchange.ids import DIRECTORY_SHARD
from exchange.orders import OrderState
from exchange.projection import (
    ACCOUNT_ENTRY,
    DIRECTORY_ENTRY,
    MARKET_ENTRY,
    AccountProjection,
    Assets,
    MarketProjection,
    UnknownMarketError,
    markets_added,
)
from storage.codec import EntryCodec
from storage.ports import (
    BatchRecord,
    ColdBatch,
    ColdStore,
    CorruptError,
    HotReader,
    MarketAssets,
    OutcomeUnknownError,
    StoreUnusableError,
)

log = get_logger(__name__)

EVENTS_MAX: Final = 20_000  # of one shard in one transaction: bounds memory and the lock
ORDERS_MAX: Final = 200_000  # open orders of one shard in memory, about 80 MB

_account_entries: Final[EntryCodec[Any]] = EntryCodec(ACCOUNT_ENTRY)
_market_entries: Final[EntryCodec[Any]] = EntryCodec(MARKET_ENTRY)
_directory_entries: Final[EntryCodec[Any]] = EntryCodec(DIRECTORY_ENTRY)


# The directory's and the markets' streams say what accounts trade.
_RANKS: Final = {"directory": 0, "market": 1, "account": 2}


def _rank(shard: str) -> tuple[int, str]:
    return _RANKS.get(shard.partition("/")[0], len(_RANKS)), shard


class Projector:
    """Reads what is new, folds it, writes it, says how far it is. One instance writes the store."""

    def __init__(
        self,
        hot_stores: Sequence[HotReader],
        cold: ColdStore,
        on_progress: Callable[[str, int], None],
        *,
        events_max: int = EVENTS_MAX,
        orders_max: int = ORDERS_MAX,
    ) -> None:
        """`on_progress` is told (shard, seq) when that much of a shard is durable in `cold`."""
        self.positions: dict[str, int] = {}
        self.set_aside: dict[str, str] = {}  # shard -> why it cannot be projected
        self.waiting: dict[str, str] = {}  # shard -> the market it trades that is not known yet
        self.is_behind = False  # the last step did not reach the end of some stream
        self._hot_stores = list(hot_stores)
        self._cold = cold
        self._on_progress = on_progress
        self._events_max = events_max
        self._orders_max = orders_max
        self._is_loaded = False
        self._assets: Assets = {}
        self._accounts: dict[str, AccountProjection] = {}
        self._markets: dict[str, MarketProjection] = {}

    @property
    def orphans(self) -> int:
        """Events of orders that history does not know: of accounts that were frozen."""
        return sum(projection.orphans for projection in self._accounts.values())

    def add_store(self, store: HotReader) -> None:
        self._hot_stores.append(store)

    def announce(self) -> None:
        """Tell all positions again: whoever was told may have been restarted."""
        for shard, seq in self.positions.items():
            self._on_progress(shard, seq)

    def reset(self) -> None:
        """Forget everything in memory, after a write whose outcome is not known."""
        self._is_loaded = False
        self._accounts.clear()
        self._markets.clear()

    async def step(self) -> int:
        """Project what is new; return how many events that were.

        Raises:
            StoreError: the cold store failed; call `reset` before the next step.
        """
        if not self._is_loaded:
            await self._load()
        self.is_behind = False
        batches = [
            batch
            for shard, store in await self._news()
            if (batch := await self._project(store, shard)) is not None
        ]
        if not batches:
            return 0
        await self._cold.write_all(batches)
        events = 0
        for batch in batches:
            events += batch.last_seq - batch.after_seq
            self.positions[batch.shard] = batch.last_seq
            self._on_progress(batch.shard, batch.last_seq)
        return events

    async def _load(self) -> None:
        self.positions = await self._cold.watermarks()
        self._assets.clear()
        self._learn(await self._cold.markets())
        self._is_loaded = True
        self.announce()

    async def _news(self) -> list[tuple[str, HotReader]]:
        """Return the shards with something new: the directory, then markets, then accounts."""
        found: list[tuple[str, HotReader]] = []
        for store in self._hot_stores:
            try:
                heads = await store.heads()
            except (OutcomeUnknownError, CorruptError) as error:
                log.warning("projection_cannot_read", error=str(error))
                continue
            for shard, head in heads.items():
                position = self.positions.get(shard, 0)
                if head.seq < position:
                    self._set_aside(shard, f"history is at {position}, the stream at {head.seq}")
                elif head.seq > position and shard not in self.set_aside:
                    found.append((shard, store))
        return sorted(found, key=lambda pair: _rank(pair[0]))

    async def _project(self, store: HotReader, shard: str) -> ColdBatch | None:
        """Fold what `shard` has after its position; None if that cannot be done, now or ever."""
        after_seq = self.positions.get(shard, 0)
        kind, _, name = shard.partition("/")
        try:
            records = await self._read(store, shard, after_seq)
            if not records:
                return None
            batch = ColdBatch(shard, after_seq, records[-1].last_seq, [], [], [], {}, {}, [])
            if kind == "account":
                projection = await self._fold_account(shard, records)
                batch.orders, batch.account_trades, batch.transfers = projection.take()
            elif kind == "market":
                market = await self._market(name)
                for record in records:
                    market.fold(_market_entries.body(record.payload).entries)
                trades, candles, batch.markets = market.take()
                batch.trades, batch.candles = {name: trades}, {name: candles}
            elif shard == DIRECTORY_SHARD:
                for record in records:
                    batch.markets += markets_added(_directory_entries.body(record.payload).entries)
        except UnknownMarketError as error:
            # The directory may be in a store that is not open yet, or be read a moment too early.
            if shard not in self.waiting:
                log.warning("projection_waits_for_market", shard=shard, error=str(error))
                self.waiting[shard] = str(error)
            self._accounts.pop(shard, None)
            return None
        except (CorruptError, StoreUnusableError, ExchangeError) as error:
            self._set_aside(shard, str(error))
            return None
        self.waiting.pop(shard, None)
        self._learn(batch.markets)
        return batch

    async def _read(self, store: HotReader, shard: str, after_seq: int) -> list[BatchRecord]:
        records: list[BatchRecord] = []
        seq = after_seq
        try:
            async for record in store.read(shard, after_seq):
                if seq - after_seq >= self._events_max:
                    self.is_behind = True
                    break
                records.append(record)
                seq = record.last_seq
        except OutcomeUnknownError as error:
            log.warning("projection_cannot_read", shard=shard, error=str(error))
        return records

    async def _fold_account(self, shard: str, records: Sequence[BatchRecord]) -> AccountProjection:
        projection = self._accounts.get(shard)
        if projection is None:
            projection = AccountProjection(self._assets, self._orders_max)
            self._accounts[shard] = projection
        for record in records:
            body = _account_entries.body(record.payload)
            entities, entries = body.entities, body.entries
            if len(entities) != len(entries):
                raise CorruptError(f"{len(entries)} entries, {len(entities)} accounts in a record")
            start = projection.fold(entities, entries)
            while start < len(entries):
                missing = projection.missing(entities, entries, start)
                projection.know(missing, await self._orders(missing))
                start = projection.fold(entities, entries, start)
        return projection

    async def _orders(self, keys: Sequence[tuple[int, str, int]]) -> Sequence[OrderState]:
        try:
            return await self._cold.orders_by_id(keys)
        except CorruptError as error:  # the stream is not to blame
            raise OutcomeUnknownError(str(error)) from error

    async def _market(self, symbol: str) -> MarketProjection:
        projection = self._markets.get(symbol)
        if projection is None:
            try:
                newest = await self._cold.candles(symbol, 0, 0, 1)
            except CorruptError as error:
                raise OutcomeUnknownError(str(error)) from error
            projection = MarketProjection(symbol, newest[0] if newest else None)
            self._markets[symbol] = projection
        return projection

    def _learn(self, markets: Sequence[MarketAssets]) -> None:
        for market in markets:
            self._assets.setdefault(market.symbol, (market.base_asset, market.quote_asset))

    def _set_aside(self, shard: str, reason: str) -> None:
        if shard not in self.set_aside:
            log.error("projection_set_aside", shard=shard, reason=reason)
            self.set_aside[shard] = reason
        self._accounts.pop(shard, None)
        self._markets.pop(shard.partition("/")[2], None)
