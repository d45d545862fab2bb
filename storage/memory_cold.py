"""A cold store that lives in memory: for tests and the simulation."""

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

from exchange.answers import Candle, PublicTrade
from exchange.history import AccountTrade, MarketAssets, Transfer
from exchange.orders import OrderState
from storage.ports import ColdBatch, CorruptError, SequenceConflictError

T = TypeVar("T")


class MemoryColdStore:
    """ColdStore whose queries filter and sort everything: slow, and plainly right."""

    def __init__(self) -> None:
        self.all_orders: dict[tuple[int, str, int], OrderState] = {}
        self.all_sides: dict[tuple[int, str, int, bool], AccountTrade] = {}
        self.all_transfers: list[Transfer] = []
        self.all_trades: dict[tuple[str, int], PublicTrade] = {}
        self.all_candles: dict[tuple[str, int], Candle] = {}
        self.all_markets: dict[str, MarketAssets] = {}
        self.positions: dict[str, int] = {}

    async def write(self, batch: ColdBatch) -> None:
        await self.write_all((batch,))

    async def write_all(self, batches: Sequence[ColdBatch]) -> None:
        for batch in batches:
            self._check(batch)
        for batch in batches:
            self._write(batch)

    def _check(self, batch: ColdBatch) -> None:
        found = self.positions.get(batch.shard, 0)
        if found != batch.after_seq:
            raise SequenceConflictError(
                f"{batch.shard} is written up to {found}, the batch continues {batch.after_seq}"
            )
        for side in batch.account_trades:
            if (side.account_id, side.symbol, side.trade_id, side.is_maker) in self.all_sides:
                raise CorruptError(f"{side.symbol} trade {side.trade_id} is there already")
        for symbol, trades in batch.trades.items():
            for trade in trades:
                if (symbol, trade.trade_id) in self.all_trades:
                    raise CorruptError(f"{symbol} trade {trade.trade_id} is there already")

    def _write(self, batch: ColdBatch) -> None:
        # Copies of what can be changed: the writer goes on folding into its own.
        for market in batch.markets:
            self.all_markets.setdefault(market.symbol, market)
        for order in batch.orders:
            key = order.account_id, order.symbol, order.order_id
            self.all_orders[key] = copy.copy(order)
        for side in batch.account_trades:
            self.all_sides[side.account_id, side.symbol, side.trade_id, side.is_maker] = side
        self.all_transfers += batch.transfers
        for symbol, trades in batch.trades.items():
            for trade in trades:
                self.all_trades[symbol, trade.trade_id] = trade
        for symbol, candles in batch.candles.items():
            for candle in candles:
                self.all_candles[symbol, candle.open_at_ms] = copy.copy(candle)
        self.positions[batch.shard] = batch.last_seq

    async def watermark(self, shard: str) -> int:
        return self.positions.get(shard, 0)

    async def watermarks(self) -> dict[str, int]:
        return dict(sorted(self.positions.items()))

    async def markets(self) -> list[MarketAssets]:
        return [self.all_markets[symbol] for symbol in sorted(self.all_markets)]

    async def order(
        self, account_id: int, symbol: str, order_id: int, client_order_id: str
    ) -> OrderState | None:
        if order_id:
            order = self.all_orders.get((account_id, symbol, order_id))
            return copy.copy(order)
        found = [
            order
            for order in self._orders_of(account_id, symbol)
            if order.client_order_id == client_order_id
        ]
        return found[-1] if found else None

    async def orders_by_id(self, keys: Sequence[tuple[int, str, int]]) -> list[OrderState]:
        return [copy.copy(self.all_orders[key]) for key in keys if key in self.all_orders]

    async def orders(
        self,
        account_id: int,
        symbol: str,
        from_order_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[OrderState]:
        found = [
            order
            for order in self._orders_of(account_id, symbol)
            if order.order_id >= from_order_id
            and start_ns <= order.created_at_ns <= (end_ns or order.created_at_ns)
        ]
        return _limited(found, limit, is_newest=from_order_id <= 0 and not start_ns)

    async def account_trades(
        self,
        account_id: int,
        symbol: str,
        order_id: int,
        from_trade_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[AccountTrade]:
        found = [
            side
            for side in self.all_sides.values()
            if side.account_id == account_id
            and side.symbol == symbol
            and order_id in {0, side.order_id}
            and side.trade_id >= from_trade_id
            and start_ns <= side.at_ns <= (end_ns or side.at_ns)
        ]
        found.sort(key=lambda side: (side.trade_id, side.is_maker))
        return _limited(found, limit, is_newest=from_trade_id < 0 and not start_ns)

    async def trades(self, symbol: str, from_trade_id: int, limit: int) -> list[PublicTrade]:
        found = _of_symbol(self.all_trades, symbol, lambda trade_id: trade_id >= from_trade_id)
        return _limited(found, limit, is_newest=from_trade_id < 0)

    async def candles(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
        found = _of_symbol(
            self.all_candles, symbol, lambda at_ms: start_ms <= at_ms <= (end_ms or at_ms)
        )
        candles = [copy.copy(candle) for candle in found]
        return _limited(candles, limit, is_newest=not start_ms)

    async def close(self) -> None:
        """Nothing to give back; what was written stays for whoever holds the store."""

    def _orders_of(self, account_id: int, symbol: str) -> list[OrderState]:
        found = [
            copy.copy(order)
            for order in self.all_orders.values()
            if order.account_id == account_id and order.symbol == symbol
        ]
        return sorted(found, key=lambda order: order.order_id)


def _of_symbol(
    rows: dict[tuple[str, int], T], symbol: str, is_wanted: Callable[[int], bool]
) -> list[T]:
    keys = [key for key in rows if key[0] == symbol and is_wanted(key[1])]
    return [rows[key] for key in sorted(keys)]


def _limited(rows: list[T], limit: int, *, is_newest: bool) -> list[T]:
    return rows[max(0, len(rows) - limit) :] if is_newest else rows[:limit]
