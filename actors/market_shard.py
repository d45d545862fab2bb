"""The shard of one market: its process, its answers, its market data."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar, get_args

from msgspec import Raw

from actors import wire
from actors.batch import encode
from actors.shard import ENTITY, Shard
from exchange.account.events import OrderSubmitted, ReplaceSubmitted
from exchange.answers import Refused
from exchange.faults import CommandQuarantined
from exchange.ids import account_shard
from exchange.market import snapshot
from exchange.market.answers import answer_of
from exchange.market.decider import decide, evolve
from exchange.market.events import MarketToAccount, OrderRejected, TradeExecuted
from exchange.market.state import Market
from exchange.marketdata.feed import discard_update, full, quote, take_update
from exchange.reject import RejectReason
from storage.codec import decode_account_entry, decode_directory_entry, decode_market_entry
from supervision.process import Behaviour

DEPTH_MAX = 5_000  # levels a side that a subscriber starts from
QUOTE_EVERY_NS = 20_000_000
SYNCS_WAITING_MAX = 10_000
SYNC_TIMEOUT_NS = 2_000_000_000
_ONLY_ENTITY = (ENTITY,)
_TO_ACCOUNT = frozenset(get_args(MarketToAccount))


class MarketProcess(Behaviour):
    """One market. It decides and evolves; its shard journals, answers and publishes."""

    def __init__(self, shard: "MarketShard", market: Market) -> None:
        self.shard = shard
        self.market = market

    def handle(self, message: Any) -> None:
        """Take (raw, decoded, source, number)."""
        _, item, source, number = message
        shard, market = self.shard, self.market
        shard.decided(item, decide(market, item, shard.host.clock_ns()), source, number)


class MarketShard(Shard):
    """One market."""

    message_decoders: ClassVar = {
        "account": decode_account_entry,
        "directory": decode_directory_entry,
    }

    def __init__(self, shard_id: str, host: Any, shards: int) -> None:
        super().__init__(shard_id, host)
        self.market = Market(shard_id.partition("/")[2])
        self._shards = shards
        self._data_followers: dict[str, bool] = {}  # gateway -> whether it has the full book
        self._data_lost: dict[str, None] = {}  # an update did not fit: nothing until the full book
        self._quote_followers: dict[str, None] = {}
        self._quote: tuple[int, int, int] = (0, 0, 0)
        self._quoted_at_ns = 0
        self._syncs: list[tuple[wire.Sync, int]] = []  # (sync, deadline)
        self._capture: Callable[[], bytes] | None = None

    # ---------------------------------------------------------------- recovery

    def restore(self, payload: bytes) -> None:
        self.market = snapshot.restore(payload)

    def replay_entry(self, entity: int, raw: Raw) -> tuple[str, ...]:
        event = decode_market_entry(raw)
        if isinstance(event, CommandQuarantined):
            return ()
        evolve(self.market, event)
        return self.targets_of(event)

    def targets_of_entry(self, raw: Raw) -> tuple[str, ...]:
        return self.targets_of(decode_market_entry(raw))

    def started(self) -> None:
        discard_update(self.market)  # followers start from a full book
        self.start_entity(ENTITY)

    def behaviour_of(self, entity: int) -> MarketProcess:
        return MarketProcess(self, self.market)

    def adopt(self, entity: int, twin: "MarketShard") -> None:
        self.market = twin.market
        discard_update(self.market)
        for gateway in self._data_followers:
            self._data_followers[gateway] = False

    # ---------------------------------------------------------------- intake

    def entities_of(self, message: Any) -> tuple[int, ...]:
        return _ONLY_ENTITY

    def deliver(self, entities: Iterable[int], item: Any) -> None:
        self.host.scheduler.send(self.entities[ENTITY], item)

    def on_item(self, item: Any, sender: str) -> None:
        if type(item) is wire.Sync:
            if len(self._syncs) < SYNCS_WAITING_MAX:  # else the read times out
                self._syncs.append((item, self.host.monotonic_ns() + SYNC_TIMEOUT_NS))
        elif type(item) is wire.Follow:
            if item.feed == "data" and (item.after == 0 or sender not in self._data_followers):
                self._data_followers[sender] = False  # it is sent the full book
            elif item.feed == "quotes" and sender not in self._quote_followers:
                self._quote_followers[sender] = None
                self._quote = (-1, -1, -1)  # so that the newcomer is told
        else:
            super().on_item(item, sender)

    def forget_peer(self, peer: str) -> None:
        """The host was restarted: it follows anew."""
        self._data_followers.pop(peer, None)
        self._data_lost.pop(peer, None)
        self._quote_followers.pop(peer, None)

    # ---------------------------------------------------------------- what the process does

    def targets_of(self, event: Any) -> tuple[str, ...]:
        """Return the account shards that `event` is a message to."""
        kind = type(event)
        if kind is TradeExecuted:
            taker = account_shard(event.taker_account_id, self._shards)
            maker = account_shard(event.maker_account_id, self._shards)
            return (taker,) if taker == maker else (taker, maker)
        return (account_shard(event.account_id, self._shards),) if kind in _TO_ACCOUNT else ()

    def decided(self, item: Any, events: list[Any], source: str, number: int) -> None:
        """The market decided `events` about `item`; they are not folded in yet."""
        market = self.market
        encoded = [(event, Raw(encode(event)), self.targets_of(event)) for event in events]
        reply_to = reply_to_of(item)
        answer = None
        if reply_to:
            home = account_shard(account_of(item), self._shards)
            lane = self.lanes.get(home)
            after = lane.last if lane is not None else 0
            for _, _, targets in encoded:
                after += targets.count(home)
            answer = answer_of(market, item, events, self.shard_id, after)
        for event, _, _ in encoded:
            evolve(market, event)
        for _, raw, targets in encoded:
            self.emit(ENTITY, raw)
            for target in targets:
                self.emit_to(target, raw)
        if self.holes:
            self.close_hole(source, number, ENTITY)
        if answer is not None:
            self.answer(reply_to, answer)

    # ---------------------------------------------------------------- market data and syncs

    def after_turn(self) -> None:
        if self._syncs:
            self._answer_syncs()
        if self.suspended:
            return  # its state may be half changed: nobody must see it
        self._publish()
        if self._quote_followers:
            self._publish_quote()

    def _publish(self) -> None:
        update = take_update(self.market)
        if not self._data_followers:
            return
        current = [gateway for gateway, has_book in self._data_followers.items() if has_book]
        if update is not None and current:
            raw = Raw(encode(update))
            self.batch.feeds.append(lambda: self._send_update(current, raw))
        newcomers = [gateway for gateway, has_book in self._data_followers.items() if not has_book]
        if newcomers and self.market.instrument is not None:
            book = Raw(encode(full(self.market, DEPTH_MAX)))
            for gateway in newcomers:
                self._data_followers[gateway] = True
            self.batch.feeds.append(lambda: self._send_full(newcomers, book))

    def _send_update(self, gateways: list[str], raw: Raw) -> None:
        lost = self._data_lost
        for gateway in gateways:
            if not (lost and gateway in lost) and not self._send_data(gateway, raw):
                lost[gateway] = None

    def _send_full(self, gateways: list[str], raw: Raw) -> None:
        for gateway in gateways:
            if self._send_data(gateway, raw):
                self._data_lost.pop(gateway, None)
            else:
                self._data_lost[gateway] = None

    def _send_data(self, gateway: str, raw: Raw) -> bool:
        is_taken: bool = self.host.link(gateway).put_market_data(self.shard_id, raw)
        if not is_taken and gateway in self._data_followers:
            self._data_followers[gateway] = False  # it starts again from a full book
        return is_taken

    def _publish_quote(self) -> None:
        now_ns = self.host.monotonic_ns()
        if now_ns - self._quoted_at_ns < QUOTE_EVERY_NS:
            return
        best = quote(self.market)
        if best != self._quote:
            self._quote, self._quoted_at_ns = best, now_ns
            item = wire.Quote(self.market.symbol, *best)
            followers = list(self._quote_followers)

            def send() -> None:
                for host in followers:
                    self.host.link(host).put(item)

            self.batch.feeds.append(send)

    def _answer_syncs(self) -> None:
        now_ns = self.host.monotonic_ns()
        waiting = []
        for sync, deadline_ns in self._syncs:
            if self.applied(sync.source) >= sync.number:
                lane = self.lanes.get(sync.source)
                number = lane.last if lane is not None else 0
                synced = wire.Synced(self.shard_id, sync.source, number, sync.sync_id)
                self.batch.feeds.append(partial(self.host.send_to_shard, sync.source, synced))
            elif now_ns < deadline_ns:
                waiting.append((sync, deadline_ns))
        self._syncs = waiting

    # ---------------------------------------------------------------- faults

    def quarantine(self, entity: int, message: Any, error: str) -> None:
        """Do not run `message`: an order is rejected, so that its hold is released."""
        raw, item, source, number = message
        now_ns = self.host.clock_ns()
        fault = CommandQuarantined(entity, source, number, bytes(raw), error, now_ns)
        self.emit(entity, Raw(encode(fault)))
        order = item.order if type(item) is ReplaceSubmitted else item
        events: list[Any] = []
        if type(order) is OrderSubmitted:
            events.append(
                OrderRejected(
                    order.account_id,
                    order.order_ref,
                    order.symbol,
                    RejectReason.QUARANTINED,
                    max(now_ns, self.market.at_ns),
                )
            )
        for event in events:
            evolve(self.market, event)
            event_raw = Raw(encode(event))
            self.emit(entity, event_raw)
            for target in self.targets_of(event):
                self.emit_to(target, event_raw)
        self.close_hole(source, number, ENTITY)
        reply_to = reply_to_of(item)
        if reply_to:
            self.answer(reply_to, Refused(order.request_id, RejectReason.QUARANTINED))

    # ---------------------------------------------------------------- snapshots

    def begin_snapshot(self) -> None:
        """Copy what changes now, between two batches; it is encoded a piece a turn."""
        self._capture = snapshot.capture(self.market)

    def copy_some(self, monotonic_ns: Callable[[], int], until_ns: int) -> list[bytes] | None:
        capture, self._capture = self._capture, None
        assert capture is not None
        return [capture()]


def account_of(item: Any) -> int:
    """Return the account that `item`, a message of an account, comes from."""
    account_id: int = item.order.account_id if type(item) is ReplaceSubmitted else item.account_id
    return account_id


def reply_to_of(item: Any) -> str:
    """Return the host that waits for the answer to `item`; "" for messages of the directory."""
    if type(item) is ReplaceSubmitted:
        item = item.order
    return getattr(item, "reply_to", "")
