"""Streams of one market: who listens, and encoding once for all of them.

A channel encodes an event at most four times (raw or combined, milliseconds or microseconds) and
sends the same bytes to everybody. A client that reads slowly gets depth and best prices conflated:
what it missed is merged into its next event, so that U is always the last u + 1.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from actors.gateway.connection import CLOSE_POLICY, Connection, text_frame
from exchange.answers import Candle, PublicTrade
from exchange.orders import Side
from exchange.protocol import market_events
from exchange.protocol.texts import MILLISECOND, MarketTexts

BACKLOG_LEVELS_MAX = 10_000  # of one slow client; beyond: close 1008
_BUY = int(Side.BUY)

LevelChanges = dict[tuple[int, int], int]  # (side, price ticks) -> lots, 0 removes


class Subscriber(Protocol):
    connection: Connection
    unit: int
    is_combined: bool


class Channel:
    """One stream, by its name."""

    def __init__(self, name: str, texts: MarketTexts) -> None:
        self.name = name
        self.texts = texts
        self.subscribers: dict[Subscriber, None] = {}

    def join(self, subscriber: Subscriber) -> None:
        self.subscribers[subscriber] = None

    def leave(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber, None)

    def broadcast(
        self, encode: Callable[[int], str], subscribers: Iterable[Subscriber] | None = None
    ) -> None:
        """Send the event that `encode` gives for a unit of time."""
        frames: dict[tuple[bool, int], bytes] = {}
        for subscriber in self.subscribers if subscribers is None else subscribers:
            variant = (subscriber.is_combined, subscriber.unit)
            frame = frames.get(variant)
            if frame is None:
                payload = encode(subscriber.unit)
                if subscriber.is_combined:
                    payload = market_events.combined(self.name, payload)
                frame = frames[variant] = text_frame(payload.encode())
            subscriber.connection.send(frame)


class TradeChannel(Channel):
    """Every trade; never conflated: a client that cannot keep up is closed."""

    def publish(self, trades: Iterable[PublicTrade], at_ns: int) -> None:
        if not self.subscribers:
            return
        for trade in trades:
            self.broadcast(
                lambda unit, trade=trade: market_events.trade_event(  # type: ignore[misc]
                    trade, self.texts, at_ns, unit
                )
            )


class BookTickerChannel(Channel):
    """Best bid and ask whenever one of them changed; a slow client gets the newest later."""

    def __init__(self, name: str, texts: MarketTexts) -> None:
        super().__init__(name, texts)
        self._last: tuple[int, tuple[int, int], tuple[int, int]] = (0, (0, 0), (0, 0))
        self._behind: dict[Subscriber, None] = {}

    def leave(self, subscriber: Subscriber) -> None:
        super().leave(subscriber)
        self._behind.pop(subscriber, None)

    def publish(self, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> None:
        if (bid, ask) == self._last[1:]:
            return
        self._last = (update_id, bid, ask)
        if not self.subscribers:
            return
        ready = []
        for subscriber in self.subscribers:
            if subscriber.connection.is_lagging:
                self._behind[subscriber] = None
            else:
                self._behind.pop(subscriber, None)
                ready.append(subscriber)
        self._send(ready)

    def on_tick(self) -> None:
        if self._behind:
            ready = [late for late in self._behind if not late.connection.is_lagging]
            for subscriber in ready:
                del self._behind[subscriber]
            self._send(ready)

    def _send(self, subscribers: list[Subscriber]) -> None:
        if subscribers:
            text = market_events.book_ticker(*self._last, self.texts)
            self.broadcast(lambda _unit: text, subscribers)


class DepthChannel(Channel):
    """Changed levels since the last event, every `interval_ns`."""

    def __init__(self, name: str, texts: MarketTexts, interval_ns: int) -> None:
        super().__init__(name, texts)
        self._interval_ns = interval_ns
        self._due_ns = 0
        self._sent_id = 0  # u of the last event, of the whole stream
        self._last_id = 0
        self._changes: LevelChanges = {}
        # Of slow clients: first id that they miss, and what they miss.
        self._backlogs: dict[Subscriber, tuple[int, LevelChanges]] = {}

    def start(self, update_id: int) -> None:
        """Begin behind the book as it stands; before that nobody listened."""
        self._sent_id = self._last_id = update_id
        self._changes = {}

    def leave(self, subscriber: Subscriber) -> None:
        super().leave(subscriber)
        self._backlogs.pop(subscriber, None)

    def note(self, levels: Iterable[tuple[int, int, int]], last_update_id: int) -> None:
        """Remember changed levels for the next event."""
        changes = self._changes
        for side, ticks, lots in levels:
            changes[side, ticks] = lots
        self._last_id = last_update_id

    def on_tick(self, now_ns: int) -> None:
        if now_ns < self._due_ns:
            return
        is_first, self._due_ns = not self._due_ns, now_ns - now_ns % self._interval_ns
        self._due_ns += self._interval_ns
        if is_first:
            return
        if self._last_id == self._sent_id and not self._backlogs:
            return
        first, self._sent_id = self._sent_id + 1, self._last_id
        changes, self._changes = self._changes, {}
        ready = []
        for subscriber in list(self.subscribers):
            is_lagging = subscriber.connection.is_lagging
            backlog = self._backlogs.get(subscriber)
            if backlog is None and not is_lagging:
                ready.append(subscriber)
                continue
            if backlog is None:
                backlog = self._backlogs[subscriber] = (first, {})
            backlog[1].update(changes)
            if not is_lagging:
                del self._backlogs[subscriber]
                self._send(backlog[0], backlog[1], now_ns, [subscriber])
            elif len(backlog[1]) > BACKLOG_LEVELS_MAX:
                subscriber.connection.close(CLOSE_POLICY, "too slow")
        if first <= self._last_id:
            self._send(first, changes, now_ns, ready)

    def _send(
        self, first: int, changes: LevelChanges, now_ns: int, subscribers: list[Subscriber]
    ) -> None:
        if not subscribers or first > self._last_id:
            return
        bids = sorted([(ticks, lots) for (side, ticks), lots in changes.items() if side == _BUY])
        asks = sorted([(ticks, lots) for (side, ticks), lots in changes.items() if side != _BUY])
        bids.reverse()
        last = self._last_id
        self.broadcast(
            lambda unit: market_events.depth_event(
                first, last, bids, asks, self.texts, now_ns, unit
            ),
            subscribers,
        )


class KlineChannel(Channel):
    """The running minute, every two seconds while it changes, and once when it is closed."""

    def publish(self, candle: Candle, now_ns: int, *, is_closed: bool) -> None:
        if self.subscribers:
            self.broadcast(
                lambda unit: market_events.kline_event(
                    candle, self.texts, now_ns, unit, is_closed=is_closed
                )
            )


def unit_of(name: str | None) -> int | None:
    """Return ns per unit of time for a `timeUnit` parameter; None if it is not one."""
    if name is None:
        return MILLISECOND
    return {"MILLISECOND": MILLISECOND, "MICROSECOND": 1_000}.get(name.upper())
