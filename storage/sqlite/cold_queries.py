"""Reading history from a SQLite file: the blocking half of cold.py for queries.

Of one market, ids and times are sorted alike: its decider never lets time go back. So a time is
turned into an id by bisection of the primary key, and no table needs an index by time.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from exchange.answers import Candle, PublicTrade
from exchange.history import AccountTrade, MarketAssets
from exchange.orders import OrderState
from storage.sqlite.cold_schema import APPLICATION_ID, SCHEMA_VERSION
from storage.sqlite.files import open_file_read_only, read_error

T = TypeVar("T")

ORDER_COLUMNS: Final = ", ".join(OrderState.__struct_fields__)
_ORDER: Final = f"SELECT {ORDER_COLUMNS} FROM orders WHERE account_id = ?"
_ACCOUNT_TRADE: Final = (
    f"SELECT {', '.join(AccountTrade.__struct_fields__)} FROM account_trades WHERE account_id = ?"
)
_TRADE: Final = f"SELECT {', '.join(PublicTrade.__struct_fields__)} FROM trades WHERE symbol = ?"
_CANDLE: Final = f"SELECT {', '.join(Candle.__struct_fields__)} FROM candles_1m WHERE symbol = ?"
_ID_MAX: Final = 2**63 - 1


class ColdQueries:
    """Queries through one connection that cannot write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_file_read_only(
            path, application_id=APPLICATION_ID, schema_version=SCHEMA_VERSION
        )

    def watermarks(self) -> dict[str, int]:
        return dict(self._rows("SELECT shard, seq FROM watermarks ORDER BY shard", ()))

    def watermark(self, shard: str) -> int:
        rows = self._rows("SELECT seq FROM watermarks WHERE shard = ?", (shard,))
        return int(rows[0][0]) if rows else 0

    def markets(self) -> list[MarketAssets]:
        rows = self._rows("SELECT symbol, base_asset, quote_asset FROM markets ORDER BY symbol", ())
        return [MarketAssets(*row) for row in rows]

    def order(
        self, account_id: int, symbol: str, order_id: int, client_order_id: str
    ) -> OrderState | None:
        if order_id:
            where, value = " AND symbol = ? AND order_id = ?", order_id
            rows = self._rows(_ORDER + where, (account_id, symbol, value))
        else:
            rows = self._rows(
                _ORDER + " AND client_order_id = ? AND symbol = ? ORDER BY order_id DESC LIMIT 1",
                (account_id, client_order_id, symbol),
            )
        return _convert(rows, OrderState)[0] if rows else None

    def orders_by_id(self, keys: Sequence[tuple[int, str, int]]) -> list[OrderState]:
        rows = []
        for key in keys:
            rows += self._rows(_ORDER + " AND symbol = ? AND order_id = ?", key)
        return _convert(rows, OrderState)

    def orders(
        self,
        account_id: int,
        symbol: str,
        from_order_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[OrderState]:
        times = f"SELECT order_id, created_at_ns FROM {_OF_ACCOUNT.format('orders', 'order_id')}"
        first, last = self._id_range(times, (account_id, symbol), start_ns, end_ns)
        is_newest = from_order_id <= 0 and not start_ns
        rows = self._rows(
            _ORDER
            + " AND symbol = ? AND order_id BETWEEN ? AND ?"
            + _sorted("order_id", is_newest),
            (account_id, symbol, max(first, from_order_id), last, limit),
        )
        return _convert(rows[::-1] if is_newest else rows, OrderState)

    def account_trades(
        self,
        account_id: int,
        symbol: str,
        order_id: int,
        from_trade_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[AccountTrade]:
        times = f"SELECT trade_id, at_ns FROM {_OF_ACCOUNT.format('account_trades', 'trade_id')}"
        first, last = self._id_range(times, (account_id, symbol), start_ns, end_ns)
        is_newest = from_trade_id < 0 and not start_ns
        where = " AND symbol = ? AND trade_id BETWEEN ? AND ?"
        values = [account_id, symbol, max(first, from_trade_id), last]
        if order_id:
            # The plus keeps the planner from walking all trades of the account in order of id.
            where = where.replace("trade_id", "+trade_id") + " AND order_id = ?"
            values.append(order_id)
        rows = self._rows(
            _ACCOUNT_TRADE + where + _sorted("trade_id", is_newest, "is_maker"), (*values, limit)
        )
        return _convert(rows[::-1] if is_newest else rows, AccountTrade)

    def trades(self, symbol: str, from_trade_id: int, limit: int) -> list[PublicTrade]:
        is_newest = from_trade_id < 0
        rows = self._rows(
            _TRADE + " AND trade_id >= ?" + _sorted("trade_id", is_newest),
            (symbol, from_trade_id, limit),
        )
        return _convert(rows[::-1] if is_newest else rows, PublicTrade)

    def candles(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
        is_newest = not start_ms
        rows = self._rows(
            _CANDLE + " AND open_at_ms BETWEEN ? AND ?" + _sorted("open_at_ms", is_newest),
            (symbol, start_ms, end_ms or _ID_MAX, limit),
        )
        return _convert(rows[::-1] if is_newest else rows, Candle)

    def close(self) -> None:
        self._connection.close()

    # ---------------------------------------------------------------- helpers

    def _id_range(
        self, times: str, values: tuple[object, ...], start_ns: int, end_ns: int
    ) -> tuple[int, int]:
        """Return the first and last id whose time may be in [start_ns, end_ns] (0: unbounded)."""
        first = self._first_id(times, values, start_ns) if start_ns else 0
        last = self._first_id(times, values, end_ns + 1) - 1 if end_ns else _ID_MAX
        return first, last

    def _first_id(self, times: str, values: tuple[object, ...], at_ns: int) -> int:
        """Return the first id at or after the time; one beyond the last id if there is none."""
        newest = self._rows(times + " DESC LIMIT 1", (*values, 0))
        if not newest:
            return 0
        low, high = 0, int(newest[0][0]) + 1
        while low < high:
            middle = (low + high) // 2
            row = self._rows(times + " LIMIT 1", (*values, middle))[0]
            if row[1] >= at_ns:
                high = middle
            else:
                low = int(row[0]) + 1
        return low

    def _rows(self, sql: str, values: Sequence[object]) -> list[Any]:
        try:
            return self._connection.execute(sql, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise read_error(self._path, error) from error


_OF_ACCOUNT: Final = "{0} WHERE account_id = ? AND symbol = ? AND {1} >= ? ORDER BY {1}"


def _sorted(column: str, is_newest: bool, then: str = "") -> str:
    direction = " DESC" if is_newest else ""
    second = f", {then}{direction}" if then else ""
    return f" ORDER BY {column}{direction}{second} LIMIT ?"


def _convert(rows: list[Any], kind: type[T]) -> list[T]:
    # Not strict: SQLite has no booleans.
    return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]
