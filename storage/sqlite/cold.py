"""ColdStore on SQLite: history in tables, written by the projection, read by anybody."""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from exchange.answers import Candle, PublicTrade
from exchange.history import AccountTrade, MarketAssets
from exchange.orders import OrderState
from storage.ports import (
    ColdBatch,
    CorruptError,
    OutcomeUnknownError,
    SequenceConflictError,
    StoreError,
)
from storage.sqlite.cold_queries import ORDER_COLUMNS, ColdQueries
from storage.sqlite.cold_schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION
from storage.sqlite.files import open_error, open_file
from storage.sqlite.worker import Worker

_CHECKPOINT_PAGES: Final = 4_000

_MOVE_WATERMARK: Final = """
INSERT INTO watermarks (shard, seq) VALUES (?, ?)
ON CONFLICT (shard) DO UPDATE SET seq = excluded.seq
"""
_PUT_MARKET: Final = "INSERT OR IGNORE INTO markets VALUES (?, ?, ?)"
_PUT_ORDER: Final = f"""
INSERT INTO orders ({ORDER_COLUMNS}) VALUES ({", ".join("?" * 22)})
ON CONFLICT (account_id, symbol, order_id) DO UPDATE SET
    client_order_id = excluded.client_order_id,
    quantity_lots = excluded.quantity_lots, executed_lots = excluded.executed_lots,
    executed_quote = excluded.executed_quote, status = excluded.status,
    updated_at_ns = excluded.updated_at_ns, expiry_reason = excluded.expiry_reason,
    prevented_lots = excluded.prevented_lots
"""
_ADD_ACCOUNT_TRADE: Final = f"INSERT INTO account_trades VALUES ({', '.join('?' * 13)})"
_ADD_TRANSFER: Final = """
INSERT INTO transfers (account_id, asset, amount, at_ns, identity) VALUES (?, ?, ?, ?, ?)
"""
_ADD_TRADE: Final = f"INSERT INTO trades VALUES ({', '.join('?' * 7)})"
_PUT_CANDLE: Final = f"INSERT OR REPLACE INTO candles_1m VALUES ({', '.join('?' * 13)})"

_transfer_row = attrgetter("account_id", "asset", "amount", "at_ns", "identity")
_candle_row = attrgetter(*Candle.__struct_fields__)


class SqliteColdReader:
    """History of one file, to query while another process writes it."""

    def __init__(self, path: Path | str) -> None:
        """Open an existing file; raise StoreUnusableError or CorruptError. Blocks shortly."""
        path = Path(path)
        self._queries = ColdQueries(path)
        self._reading = Worker(f"read-{path.stem}")

    async def watermark(self, shard: str) -> int:
        return await self._reading.run(self._queries.watermark, shard)

    async def watermarks(self) -> dict[str, int]:
        return await self._reading.run(self._queries.watermarks)

    async def markets(self) -> list[MarketAssets]:
        return await self._reading.run(self._queries.markets)

    async def order(
        self, account_id: int, symbol: str, order_id: int, client_order_id: str
    ) -> OrderState | None:
        return await self._reading.run(
            self._queries.order, account_id, symbol, order_id, client_order_id
        )

    async def orders_by_id(self, keys: Sequence[tuple[int, str, int]]) -> list[OrderState]:
        return await self._reading.run(self._queries.orders_by_id, keys)

    async def orders(
        self,
        account_id: int,
        symbol: str,
        from_order_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[OrderState]:
        return await self._reading.run(
            self._queries.orders, account_id, symbol, from_order_id, start_ns, end_ns, limit
        )

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
        return await self._reading.run(
            self._queries.account_trades,
            account_id,
            symbol,
            order_id,
            from_trade_id,
            start_ns,
            end_ns,
            limit,
        )

    async def trades(self, symbol: str, from_trade_id: int, limit: int) -> list[PublicTrade]:
        return await self._reading.run(self._queries.trades, symbol, from_trade_id, limit)

    async def candles(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
        return await self._reading.run(self._queries.candles, symbol, start_ms, end_ms, limit)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.close()
        self._queries.close()


class SqliteColdStore(SqliteColdReader):
    """History of one file, which this process alone writes."""

    def __init__(self, path: Path | str) -> None:
        """Open the file, or make it; raise StoreUnusableError or CorruptError. Blocks shortly."""
        path = Path(path)
        self._writer = ColdWriter(path)
        try:
            super().__init__(path)
        except StoreError:
            self._writer.close()
            raise
        self._writing = Worker(f"write-{path.stem}")

    async def write(self, batch: ColdBatch) -> None:
        await self._writing.run(self._writer.write, (batch,))

    async def write_all(self, batches: Sequence[ColdBatch]) -> None:
        await self._writing.run(self._writer.write, batches)

    def _close(self) -> None:
        self._writing.close()
        super()._close()
        self._writer.close()


class ColdWriter:
    """Writes batches through one connection, one transaction each call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_file(
            path, application_id=APPLICATION_ID, schema_version=SCHEMA_VERSION, schema=SCHEMA
        )
        try:
            self._connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            self._connection.execute("PRAGMA cache_size=-32768")
        except sqlite3.Error as error:
            self._connection.close()
            raise open_error(path, error) from error

    def write(self, batches: Sequence[ColdBatch]) -> None:
        """Write all batches or none; errors as ColdStore.write."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for batch in batches:
                self._write(batch)
            self._connection.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            self._roll_back()
            raise CorruptError(f"{self._path}: history and streams disagree: {error}") from error
        except OverflowError as error:
            self._roll_back()
            raise CorruptError(f"{self._path}: an amount does not fit 63 bits") from error
        except sqlite3.Error as error:
            self._roll_back()
            raise OutcomeUnknownError(f"{self._path} cannot be written: {error}") from error
        except StoreError:
            self._roll_back()
            raise

    def close(self) -> None:
        self._connection.close()

    def _write(self, batch: ColdBatch) -> None:
        connection = self._connection
        row = connection.execute(
            "SELECT seq FROM watermarks WHERE shard = ?", (batch.shard,)
        ).fetchone()
        found = row[0] if row else 0
        if found != batch.after_seq:
            raise SequenceConflictError(
                f"{batch.shard} is written up to {found}, the batch continues {batch.after_seq}"
            )
        many = connection.executemany
        if batch.markets:
            rows = [(one.symbol, one.base_asset, one.quote_asset) for one in batch.markets]
            many(_PUT_MARKET, rows)
        if batch.orders:
            many(_PUT_ORDER, [_order_row(order) for order in batch.orders])
        if batch.account_trades:
            many(_ADD_ACCOUNT_TRADE, [_account_trade_row(side) for side in batch.account_trades])
        if batch.transfers:
            many(_ADD_TRANSFER, map(_transfer_row, batch.transfers))
        for symbol, trades in batch.trades.items():
            many(_ADD_TRADE, _trade_rows(symbol, trades))
        for symbol, candles in batch.candles.items():
            many(_PUT_CANDLE, [(symbol, *_candle_row(candle)) for candle in candles])
        connection.execute(_MOVE_WATERMARK, (batch.shard, batch.last_seq))

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise OutcomeUnknownError(f"{self._path} cannot be written: {error}") from error


# Enums and booleans are made plain integers here: the binding of anything else takes ten times as
# long.


def _order_row(order: OrderState) -> tuple[Any, ...]:
    return (
        order.account_id,
        order.symbol,
        order.order_id,
        order.order_ref,
        order.client_order_id,
        int(order.side),
        int(order.order_type),
        int(order.time_in_force),
        order.price_ticks,
        order.quantity_lots,
        order.quote_amount,
        order.executed_lots,
        order.executed_quote,
        int(order.status),
        int(order.stp_mode),
        order.created_at_ns,
        order.updated_at_ns,
        int(order.expiry_reason),
        order.stop_ticks,
        order.iceberg_lots,
        order.list_id,
        order.prevented_lots,
    )


def _account_trade_row(side: AccountTrade) -> tuple[Any, ...]:
    return (
        side.account_id,
        side.symbol,
        side.trade_id,
        side.order_id,
        side.price_ticks,
        side.quantity_lots,
        side.base_amount,
        side.quote_amount,
        side.commission,
        side.commission_asset,
        side.at_ns,
        int(side.is_buyer),
        int(side.is_maker),
    )


def _trade_rows(symbol: str, trades: Iterable[PublicTrade]) -> list[tuple[Any, ...]]:
    return [
        (
            symbol,
            trade.trade_id,
            trade.price_ticks,
            trade.quantity_lots,
            trade.quote_amount,
            trade.at_ns,
            int(trade.is_buyer_maker),
        )
        for trade in trades
    ]
