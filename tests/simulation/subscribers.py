"""Those who follow feeds at the simulated gateway, and check every number as it arrives."""

from typing import Any

import msgspec

from actors import wire
from actors.host_core import HostCore
from exchange.answers import AccountPosition, MarketDataMessage, MarketFull, PublicTrade, UserEvent
from exchange.ids import account_shard, market_shard
from exchange.marketdata.depth import DepthBook

MILLISECOND = 1_000_000
ASK_AGAIN_NS = 1_000 * MILLISECOND
FOLLOW_EVERY_NS = 500 * MILLISECOND
FOLLOW_ANEW, FOLLOW_ON = 0, 1

decode_user_event = msgspec.msgpack.Decoder(UserEvent).decode
decode_market_data = msgspec.msgpack.Decoder(MarketDataMessage).decode


class UserFeed:
    """One account's user events, as a session would get them."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.first = -1  # events after this number are due; -1: never confirmed
        self.position = -1  # the number of the last report of the present subscription
        self.last = -1  # the highest ever
        self.reports: dict[int, Any] = {}
        self.gaps: list[tuple[int, int]] = []  # told: numbers above the one, up to the other
        self.is_confirmed = False
        self.asked_at_ns = 0

    def subscribed(self, user_seq: int, has_gap: bool) -> None:
        if self.first < 0:
            self.first = self.last = user_seq
        elif has_gap:
            assert user_seq >= self.last, ("user events go back", self.account_id, user_seq)
            self.gaps.append((self.last, user_seq))
            self.last = user_seq
        assert user_seq <= self.last, ("user events missing", self.account_id, self.last, user_seq)
        self.position = user_seq
        self.is_confirmed = True

    def take(self, event: Any) -> None:
        assert self.first >= 0, ("user event without a subscription", event)
        if type(event) is AccountPosition:
            assert event.user_seq == self.position, ("position out of place", self.position, event)
            return
        assert event.user_seq == self.position + 1, ("user event gap", self.position, event)
        self.position += 1
        self.last = max(self.last, self.position)
        known = self.reports.setdefault(self.position, event)
        assert known == event, ("user event told twice and differently", known, event)


class DepthCopy:
    """A copy of one market's book, and the trades that were published."""

    def __init__(self, symbol: str) -> None:
        self.book = DepthBook(symbol)
        self.trades: dict[int, PublicTrade] = {}
        self.is_started = False

    def take(self, message: Any) -> None:
        book = self.book
        if type(message) is MarketFull:
            assert message.update_id >= book.update_id, ("update ids go back", book.update_id)
            book.apply_full(message)
            self.is_started = True
        else:
            assert self.is_started, ("an update before any full book", message)
            assert message.first_update_id == book.update_id + 1, (book.update_id, message)
            assert book.apply(message)
        for trade in message.trades:
            known = self.trades.setdefault(trade.trade_id, trade)
            assert known == trade, ("a trade published twice and differently", known, trade)


class Subscribers:
    """All sessions of the gateway that follow accounts and markets."""

    def __init__(
        self, core: HostCore, accounts: tuple[int, ...], symbols: tuple[str, ...], shards: int
    ) -> None:
        self.users = {account: UserFeed(account) for account in accounts}
        self.depths = {symbol: DepthCopy(symbol) for symbol in symbols}
        self._core, self._shards = core, shards
        self._is_following = False
        self._followed_at_ns = 0
        core.handlers[wire.UserEvents] = self._on_user_events
        core.handlers[wire.UserSubscribed] = self._on_user_subscribed
        core.handlers[wire.MarketData] = self._on_market_data
        core.handlers[wire.ShardServing] = lambda item, _sender: self._on_serving(item.shard)
        core.on_peer_restarted.append(self._on_peer_restarted)

    def start(self) -> None:
        self._is_following = True
        for feed in self.users.values():
            self._subscribe(feed)
        for symbol in self.depths:
            self._follow(symbol, FOLLOW_ANEW)

    def tick(self) -> None:
        """Ask again for what was not confirmed."""
        if not self._is_following:
            return
        now_ns = self._core.monotonic_ns()
        for feed in self.users.values():
            if not feed.is_confirmed and now_ns - feed.asked_at_ns >= ASK_AGAIN_NS:
                self._subscribe(feed)
        if now_ns - self._followed_at_ns >= FOLLOW_EVERY_NS:
            self._followed_at_ns = now_ns
            for symbol in self.depths:
                self._follow(symbol, FOLLOW_ON)

    def _subscribe(self, feed: UserFeed) -> None:
        feed.is_confirmed = False
        feed.asked_at_ns = self._core.monotonic_ns()
        shard = account_shard(feed.account_id, self._shards)
        self._core.send_to_shard(shard, wire.SubscribeUser(shard, feed.account_id, feed.last))

    def _follow(self, symbol: str, after: int) -> None:
        shard = market_shard(symbol)
        self._core.send_to_shard(shard, wire.Follow(shard, "data", after))

    def _on_serving(self, shard: str) -> None:
        if not self._is_following:
            return
        for feed in self.users.values():
            if account_shard(feed.account_id, self._shards) == shard:
                self._subscribe(feed)
        for symbol in self.depths:
            if market_shard(symbol) == shard:
                self._follow(symbol, FOLLOW_ANEW)

    def _on_peer_restarted(self, peer: str) -> None:
        host_of = self._core.placement.host_of
        shards = [account_shard(account, self._shards) for account in self.users]
        shards += [market_shard(symbol) for symbol in self.depths]
        for shard in dict.fromkeys(shards):
            if host_of(shard) == peer:
                self._on_serving(shard)

    def _on_user_events(self, item: wire.UserEvents, _sender: str) -> None:
        for raw in item.events:
            event = decode_user_event(raw)
            self.users[event.account_id].take(event)

    def _on_user_subscribed(self, item: wire.UserSubscribed, _sender: str) -> None:
        self.users[item.account_id].subscribed(item.user_seq, item.has_gap)

    def _on_market_data(self, item: wire.MarketData, _sender: str) -> None:
        for raw in item.messages:
            message = decode_market_data(raw)
            self.depths[message.symbol].take(message)
