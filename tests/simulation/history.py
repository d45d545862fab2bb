"""All that is in the streams, from their first records on, indexed for the checker."""

from collections import Counter
from typing import Any

from actors.audit import empty_shard
from actors.shard import Shard
from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    Deposited,
    OrderSubmitted,
    ReplaceSubmitted,
    RequestRefused,
    Withdrawn,
)
from exchange.ids import account_shard
from exchange.market.events import (
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from storage.codec import decode_account_entry, decode_body, decode_market_entry
from storage.ports import BatchRecord
from tests.simulation.world import ACCOUNT_SHARDS, World

# What a request does to an account: each happens at most once per identity.
EFFECTS = (
    OrderSubmitted,
    ReplaceSubmitted,
    CancelRequested,
    CancelAllRequested,
    AmendRequested,
    RequestRefused,
    Deposited,
    Withdrawn,
)
MARKET_EVENTS = (OrderAccepted, OrderRejected, TradeExecuted, OrderClosed, OrderAmended)


def order_of(effect: Any) -> Any:
    """Return the submission inside a replacement, else the event itself."""
    return effect.order if type(effect) is ReplaceSubmitted else effect


class History:
    """The streams of a simulated node."""

    def __init__(self, world: World) -> None:
        self.records: dict[str, list[BatchRecord]] = {}
        for disk in world.disks.values():
            for shard in disk.streams:
                self.records[shard] = disk.all_records(shard)
        self.effects: dict[bytes, list[Any]] = {}  # identity -> events of accounts
        self.accepted: dict[tuple[str, int], OrderAccepted] = {}
        self.outcomes: Counter[tuple[int, int]] = Counter()  # (account, ref) -> markets' verdicts
        self.accepted_refs: dict[tuple[int, int], OrderAccepted] = {}
        self.rejected: dict[tuple[int, int], OrderRejected] = {}
        self.trades: dict[tuple[str, int], TradeExecuted] = {}
        self.taken: dict[tuple[str, int], list[TradeExecuted]] = {}  # by the taker's order
        self.closed: dict[tuple[str, int], OrderClosed] = {}
        self.closed_by: dict[bytes, list[OrderClosed]] = {}
        self.amended_by: dict[bytes, list[OrderAmended]] = {}
        # (account, market) -> what the market said to it, and what it took in, in order
        self.said: dict[tuple[int, str], list[Any]] = {}
        self.heard: dict[tuple[int, str], list[Any]] = {}
        for shard, records in sorted(self.records.items()):
            for record in records:
                self._index(shard, record)

    def _index(self, shard: str, record: BatchRecord) -> None:
        body = decode_body(record.payload)
        kind = shard.partition("/")[0]
        if kind == "account":
            for entity, raw in zip(body.entities, body.entries, strict=True):
                self._index_account(entity, decode_account_entry(raw))
        elif kind == "market":
            for raw in body.entries:
                self._index_market(decode_market_entry(raw))

    def _index_account(self, account_id: int, event: Any) -> None:
        if isinstance(event, EFFECTS):
            assert account_id % ACCOUNT_SHARDS == int(
                account_shard(account_id, ACCOUNT_SHARDS).partition("/")[2]
            )
            self.effects.setdefault(order_of(event).identity, []).append(event)
        elif isinstance(event, MARKET_EVENTS):
            self.heard.setdefault((account_id, event.symbol), []).append(event)

    def _index_market(self, event: Any) -> None:
        if not isinstance(event, MARKET_EVENTS):
            return
        if isinstance(event, TradeExecuted):
            key = event.symbol, event.trade_id
            assert key not in self.trades, ("a trade id twice", event)
            self.trades[key] = event
            self.taken.setdefault((event.symbol, event.taker_order_id), []).append(event)
            parties = (event.taker_account_id, event.maker_account_id)
            for party in dict.fromkeys(parties):
                self.said.setdefault((party, event.symbol), []).append(event)
            return
        self.said.setdefault((event.account_id, event.symbol), []).append(event)
        if isinstance(event, OrderAccepted):
            assert (event.symbol, event.order_id) not in self.accepted, ("an order id twice", event)
            self.accepted[event.symbol, event.order_id] = event
            self.accepted_refs[event.account_id, event.order_ref] = event
            self.outcomes[event.account_id, event.order_ref] += 1
        elif isinstance(event, OrderRejected):
            self.rejected[event.account_id, event.order_ref] = event
            self.outcomes[event.account_id, event.order_ref] += 1
        elif isinstance(event, OrderClosed):
            assert (event.symbol, event.order_id) not in self.closed, ("an order ends twice", event)
            self.closed[event.symbol, event.order_id] = event
            self.closed_by.setdefault(event.identity, []).append(event)
        else:
            self.amended_by.setdefault(event.identity, []).append(event)

    def fold(self, shard_id: str, upto_seq: int) -> Shard:
        """Return the shard folded from its first record up to `upto_seq`."""
        shard = empty_shard(shard_id, ACCOUNT_SHARDS)
        for record in self.records[shard_id]:
            if record.last_seq > upto_seq:
                break
            shard.replay(record)
        return shard
