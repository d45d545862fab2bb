"""What the system needs from storage. tests/contract runs one suite against every adapter."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from exchange.answers import Candle, PublicTrade
from exchange.history import AccountTrade, MarketAssets, Transfer
from exchange.orders import OrderState

__all__ = [
    "AccountTrade",
    "BatchRecord",
    "ColdBatch",
    "ColdReader",
    "ColdStore",
    "CorruptError",
    "FencedError",
    "Head",
    "HotReader",
    "HotStore",
    "MarketAssets",
    "OutcomeUnknownError",
    "SequenceConflictError",
    "Snapshot",
    "StoreError",
    "StoreUnusableError",
    "Transfer",
]

# ------------------------------------------------------------------ hot: streams


class StoreError(Exception):
    """Root of what adapters raise; foreign exceptions never pass an adapter."""


class FencedError(StoreError):
    """The record's epoch is not the shard's: another host owns it, or it was never taken. Stop."""


class SequenceConflictError(StoreError):
    """The stream does not end at first_seq - 1: a bug or a twin. Stop."""


class OutcomeUnknownError(StoreError):
    """Time-out, lost connection, disk error: only reading the head tells. Stop and recover."""


class CorruptError(StoreError):
    """A record or snapshot does not match its checksum."""


class StoreUnusableError(StoreError):
    """Foreign or newer schema, no permission, not a store: refuse to start, in one sentence."""


class BatchRecord(msgspec.Struct, frozen=True):
    """The events of one batch of one shard: the unit of appending."""

    shard: str
    epoch: int
    first_seq: int  # of the first event; the record before ends at first_seq - 1
    last_seq: int  # a batch that only moves watermarks counts as one event
    batch_id: bytes  # tells whose record it is when the outcome of an append was unknown
    payload: bytes  # storage/codec; no adapter looks inside


class Head(msgspec.Struct, frozen=True):
    """Where a stream stands; a new shard's is Head(0, 0, b"")."""

    seq: int
    epoch: int
    batch_id: bytes


class Snapshot(msgspec.Struct, frozen=True):
    shard: str
    seq: int  # the state after this event
    epoch: int
    payload: bytes


class HotReader(Protocol):
    """Streams and snapshots, to read: what projections and the audit need.

    Used from one event loop. Every payload is stored with a checksum that reading verifies.
    """

    def read(self, shard: str, after_seq: int = 0) -> AsyncIterator[BatchRecord]:
        """Yield the records that end after `after_seq`, oldest first; none if the shard is new.

        A gap to a trimmed part raises CorruptError unless after_seq is at or above the trim.
        Raises CorruptError at the first record whose checksum is wrong or that leaves a gap, and
        when the stream ends before its head. Records appended meanwhile may be yielded too.
        """

    async def head(self, shard: str) -> Head: ...

    async def heads(self) -> dict[str, Head]:
        """Return the heads of all shards that have a stream here, sorted by shard."""

    async def shards(self) -> list[str]:
        """Return the shards that have a stream here (an epoch was taken), sorted."""

    async def snapshots(self, shard: str) -> list[Snapshot]:
        """Return the intact snapshots, newest first (at most two); damaged ones are left out and
        logged."""

    async def close(self) -> None:
        """Finish what is under way and let go; idempotent."""


class HotStore(HotReader, Protocol):
    """Append-only streams with compare-and-set and fencing epochs, and snapshots (two are kept).

    Any method may raise OutcomeUnknownError when the store cannot be reached or its disk fails.
    """

    async def take_epoch(self, shard: str, owner: str) -> Head:
        """Raise the shard's epoch and return the new head; a former owner's appends are refused."""

    async def append(self, records: Sequence[BatchRecord]) -> list[StoreError | None]:
        """Append a group of records, at most one a shard; return when all outcomes are known.

        A record is appended whole or not at all; None says it is durable. FencedError and
        SequenceConflictError concern one record; OutcomeUnknownError concerns all of the group.
        """

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Store it, durable; the two newest of a shard are kept. Raises SequenceConflictError if
        it is of a state that the stream has not reached: such a state was never durable."""

    async def trim(self, shard: str, upto_seq: int) -> None:
        """Forget records that end at or below `upto_seq`, never above the older of two intact
        snapshots: without two, nothing is forgotten."""


# ------------------------------------------------------------------ cold: history


class ColdBatch(msgspec.Struct):
    """What a projection read from one stream since its watermark; written in one transaction."""

    shard: str
    after_seq: int  # the watermark that this batch continues; else the write is refused
    last_seq: int  # the watermark afterwards
    orders: list[OrderState]  # the newest state of each order touched
    account_trades: list[AccountTrade]
    transfers: list[Transfer]
    trades: dict[str, list[PublicTrade]]  # by symbol; from market streams only
    candles: dict[str, list[Candle]]  # by symbol: whole minutes as they now stand
    markets: list[MarketAssets] = []  # new markets, from the directory's and the markets' streams


class ColdReader(Protocol):
    """History: orders, trades, transfers, candles. Any method may raise OutcomeUnknownError."""

    async def watermark(self, shard: str) -> int:
        """Return the last event of `shard` that is in the store; 0 if none."""

    async def watermarks(self) -> dict[str, int]:
        """Return the watermarks of all shards, sorted by shard."""

    async def markets(self) -> list[MarketAssets]:
        """Return the assets of all markets known, sorted by symbol."""

    async def order(
        self, account_id: int, symbol: str, order_id: int, client_order_id: str
    ) -> OrderState | None:
        """Find by order_id, or when it is 0 the newest order with that client order id."""

    async def orders_by_id(self, keys: Sequence[tuple[int, str, int]]) -> list[OrderState]:
        """Return the orders of (account_id, symbol, order_id) keys; unknown ones are left out."""

    async def orders(
        self,
        account_id: int,
        symbol: str,
        from_order_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[OrderState]:
        """Return orders ascending by id, created in [start_ns, end_ns] (0: unbounded).

        From `from_order_id` up if it is positive; else the newest `limit`, unless start_ns is
        given.
        """

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
        """Return trade sides ascending by id; order_id 0: of all orders; from_trade_id -1: none
        given, then the newest `limit`, unless start_ns is given. Times as in `orders`."""

    async def trades(self, symbol: str, from_trade_id: int, limit: int) -> list[PublicTrade]:
        """Return public trades ascending by id from from_trade_id; -1: the newest."""

    async def candles(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
        """Return the one-minute candles that had trades and open in [start_ms, end_ms], ascending;
        0: unbounded; the newest `limit` if no start."""

    async def close(self) -> None:
        """Finish what is under way and let go; idempotent."""


class ColdStore(ColdReader, Protocol):
    """ColdReader for the one projection that writes it. The ledger follows from what is written."""

    async def write(self, batch: ColdBatch) -> None:
        """Write the batch and move the watermark in one transaction. Raises
        SequenceConflictError if the watermark is not batch.after_seq (nothing is written), and
        CorruptError if a trade is in the store already or an amount is beyond 63 bits."""

    async def write_all(self, batches: Sequence[ColdBatch]) -> None:
        """Write batches of different shards in one transaction: all of them or none."""
