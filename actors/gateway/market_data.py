"""Every market as this gateway sees it: book, recent trades, running minute, and its streams."""

from collections import deque
from typing import Final

from actors.gateway.backend import Backend
from actors.gateway.channels import (
    BookTickerChannel,
    Channel,
    DepthChannel,
    KlineChannel,
    Subscriber,
    TradeChannel,
)
from exchange.answers import (
    Candle,
    MarketDataMessage,
    MarketFull,
    MarketUpdate,
    PublicTrade,
)
from exchange.instrument import Instrument
from exchange.marketdata.candle import MINUTE_MS, fold_candle
from exchange.marketdata.depth import DepthBook
from exchange.protocol.streams import StreamName
from exchange.protocol.texts import MarketTexts

RECENT_TRADES_MAX: Final = 1_000
KLINE_EVERY_NS: Final = 2_000_000_000
KLINE_GRACE_MS: Final = 250  # trades of the old minute may still be on their way
FOLLOW_AGAIN_NS: Final = 1_000_000_000
_DEPTH_INTERVALS: Final = {"depth": 1_000_000_000, "depth@100ms": 100_000_000}


class MarketView:
    """One market; not live until its first full state has come."""

    def __init__(self, instrument: Instrument) -> None:
        self.texts = MarketTexts(instrument)
        self.book = DepthBook(instrument.symbol)
        self.recent: deque[PublicTrade] = deque(maxlen=RECENT_TRADES_MAX)
        self.candle: Candle | None = None
        self.is_live = False
        self.last_ticks = 0  # price of the last trade, 0: none known
        self.asked_at_ns = 0  # when the full state was last asked for
        self._channels: dict[str, Channel] = {}
        self._depths: list[DepthChannel] = []
        self._trades: TradeChannel | None = None
        self._ticker: BookTickerChannel | None = None
        self._klines: KlineChannel | None = None
        self._kline_due_ns = 0
        self._is_candle_changed = False

    def channel(self, kind: str) -> Channel | None:
        """Return the stream `kind` of this market, made when first asked for; None: no such one."""
        channel = self._channels.get(kind)
        if channel is not None:
            return channel
        name = f"{self.texts.symbol.lower()}@{kind}"
        if kind == "trade":
            channel = self._trades = TradeChannel(name, self.texts)
        elif kind == "bookTicker":
            channel = self._ticker = BookTickerChannel(name, self.texts)
        elif kind == "kline_1m":
            channel = self._klines = KlineChannel(name, self.texts)
        elif kind in _DEPTH_INTERVALS:
            depth = DepthChannel(name, self.texts, _DEPTH_INTERVALS[kind])
            depth.start(self.book.update_id)
            self._depths.append(depth)
            channel = depth
        else:
            return None
        self._channels[kind] = channel
        return channel

    def join(self, channel: Channel, subscriber: Subscriber) -> None:
        if isinstance(channel, DepthChannel) and not channel.subscribers:
            channel.start(self.book.update_id)
        channel.join(subscriber)

    def apply(self, message: MarketDataMessage) -> bool:
        """Apply what the market published; False: something is missing, a full state is needed."""
        if type(message) is MarketFull:
            self._apply_full(message)
            return True
        assert type(message) is MarketUpdate
        if not self.is_live:
            return False
        known_id = self.book.update_id
        if not self.book.apply(message):
            return False
        if message.last_update_id > known_id:
            self._publish(message)
        return True

    def on_tick(self, now_ns: int) -> None:
        for depth in self._depths:
            if depth.subscribers:
                depth.on_tick(now_ns)
        if self._ticker is not None:
            self._ticker.on_tick()
        self._tick_candle(now_ns)

    def _apply_full(self, full: MarketFull) -> None:
        was_live, self.is_live = self.is_live, True
        change = self.book.apply_full(full)
        if was_live:
            if change is not None:
                self._publish(change)
            return
        self.recent.extend(full.trades)
        if full.trades:
            self.last_ticks = full.trades[-1].price_ticks
        self.candle = full.candle
        for depth in self._depths:
            depth.start(self.book.update_id)

    def _publish(self, update: MarketUpdate) -> None:
        for depth in self._depths:
            if depth.subscribers:
                depth.note(update.levels, update.last_update_id)
        trades = update.trades
        if trades:
            self.recent.extend(trades)
            self.last_ticks = trades[-1].price_ticks
            if self._trades is not None:
                self._trades.publish(trades, update.at_ns)
            for trade in trades:
                self._fold(trade, update.at_ns)
        if self._ticker is not None:
            book = self.book
            self._ticker.publish(book.update_id, book.best_bid(), book.best_ask())

    def _fold(self, trade: PublicTrade, now_ns: int) -> None:
        candle = self.candle
        if candle is not None:
            trade_ms = trade.at_ns // 1_000_000
            if trade_ms < candle.open_at_ms:
                return  # its minute was closed and told so: the cold store has it right
            if trade_ms >= candle.open_at_ms + MINUTE_MS:
                self._close_candle(candle, now_ns)
                candle = None
            elif not candle.trades:
                candle = None  # opened without trades: its first trade opens it
        self.candle = fold_candle(candle, trade)
        self._is_candle_changed = True

    def _close_candle(self, candle: Candle, now_ns: int) -> None:
        if self._klines is not None:
            self._klines.publish(candle, now_ns, is_closed=True)

    def _tick_candle(self, now_ns: int) -> None:
        candle = self.candle
        if candle is None:
            return
        now_ms = now_ns // 1_000_000
        if now_ms >= candle.open_at_ms + MINUTE_MS + KLINE_GRACE_MS:
            self._close_candle(candle, now_ns)
            price = candle.close_ticks
            open_at_ms = now_ms - now_ms % MINUTE_MS
            candle = Candle(open_at_ms, price, price, price, price, 0, 0, 0, 0, 0, -1, -1)
            self.candle = candle
            self._is_candle_changed = True
            self._kline_due_ns = 0
        if self._is_candle_changed and now_ns >= self._kline_due_ns:
            self._is_candle_changed = False
            self._kline_due_ns = now_ns + KLINE_EVERY_NS
            if self._klines is not None:
                self._klines.publish(candle, now_ns, is_closed=False)


class MarketData:
    """All markets of the directory. Streams of markets that are not there yet wait for them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.markets: dict[str, MarketView] = {}
        self._waiting: dict[str, dict[tuple[Subscriber, str], None]] = {}

    def add(self, instrument: Instrument, now_ns: int) -> None:
        """A market was added, or its instrument changed (tick and lot size never do)."""
        view = self.markets.get(instrument.symbol)
        if view is not None:
            view.texts.instrument = instrument
            return
        view = self.markets[instrument.symbol] = MarketView(instrument)
        self._follow(view, now_ns)
        for subscriber, kind in self._waiting.pop(instrument.symbol, {}):
            channel = view.channel(kind)
            if channel is not None:
                view.join(channel, subscriber)

    def on_message(self, symbol: str, message: MarketDataMessage, now_ns: int) -> None:
        view = self.markets.get(symbol)
        if view is not None and not view.apply(message) and self._may_ask(view, now_ns):
            self._follow(view, now_ns)

    def on_tick(self, now_ns: int) -> None:
        for view in self.markets.values():
            view.on_tick(now_ns)
            if not view.is_live and self._may_ask(view, now_ns):
                self._follow(view, now_ns)

    def subscribe(self, name: StreamName, subscriber: Subscriber) -> None:
        view = self.markets.get(name.symbol)
        if view is None:
            self._waiting.setdefault(name.symbol, {})[subscriber, name.kind] = None
            return
        channel = view.channel(name.kind)
        if channel is not None:
            view.join(channel, subscriber)

    def unsubscribe(self, name: StreamName, subscriber: Subscriber) -> None:
        view = self.markets.get(name.symbol)
        if view is not None:
            channel = view.channel(name.kind)
            if channel is not None:
                channel.leave(subscriber)
            return
        waiting = self._waiting.get(name.symbol)
        if waiting is not None:
            waiting.pop((subscriber, name.kind), None)
            if not waiting:
                del self._waiting[name.symbol]

    def _may_ask(self, view: MarketView, now_ns: int) -> bool:
        """Once a second: until the full state comes, every update would ask again."""
        return now_ns - view.asked_at_ns >= FOLLOW_AGAIN_NS

    def _follow(self, view: MarketView, now_ns: int) -> None:
        view.asked_at_ns = now_ns
        self._backend.follow_market(view.texts.symbol)
