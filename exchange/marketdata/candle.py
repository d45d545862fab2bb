"""Candles and the rolling 24-hour ticker: folds over trades, by the trades' own time."""

from collections import deque

import msgspec

from exchange.answers import Candle, PublicTrade
from exchange.money import AMOUNT_MAX

MINUTE_MS = 60_000
MINUTE_NS = 60_000_000_000
DAY_MINUTES = 1_440


def fold_candle(candle: Candle | None, trade: PublicTrade) -> Candle:
    """Return the candle of the trade's minute, the trade included.

    `candle` is the running one, changed in place while its minute lasts; a trade that begins a new
    minute gets a new candle. A trade from before the running minute counts in it: an exchange's
    trades come in the order of their ids. Volumes stop at AMOUNT_MAX, the most that stores hold.
    """
    at_ns = trade.at_ns
    price = trade.price_ticks
    lots = trade.quantity_lots
    quote = trade.quote_amount
    trade_id = trade.trade_id
    if candle is None or at_ns >= candle.open_at_ms * 1_000_000 + MINUTE_NS:
        buy_lots, buy_quote = (0, 0) if trade.is_buyer_maker else (lots, quote)
        open_at_ms = at_ns // MINUTE_NS * MINUTE_MS
        return Candle(
            open_at_ms,
            price,
            price,
            price,
            price,
            lots,
            quote,
            buy_lots,
            buy_quote,
            1,
            trade_id,
            trade_id,
        )
    if price > candle.high_ticks:
        candle.high_ticks = price
    elif price < candle.low_ticks:
        candle.low_ticks = price
    candle.close_ticks = price
    candle.volume_lots += lots
    candle.volume_quote += quote
    if not trade.is_buyer_maker:
        candle.taker_buy_lots += lots
        candle.taker_buy_quote += quote
    candle.trades += 1
    candle.last_trade_id = trade_id
    if candle.volume_quote > AMOUNT_MAX or candle.volume_lots > AMOUNT_MAX:
        _stop_at_max(candle)
    return candle


def _stop_at_max(candle: Candle) -> None:
    candle.volume_lots = min(candle.volume_lots, AMOUNT_MAX)
    candle.volume_quote = min(candle.volume_quote, AMOUNT_MAX)
    candle.taker_buy_lots = min(candle.taker_buy_lots, AMOUNT_MAX)
    candle.taker_buy_quote = min(candle.taker_buy_quote, AMOUNT_MAX)


class Ticker(msgspec.Struct, frozen=True):
    """The last 24 hours. Prices in ticks, volumes in lots and minor units of quote."""

    open_at_ms: int
    close_at_ms: int
    open_ticks: int  # 0 in all prices: no trade
    high_ticks: int
    low_ticks: int
    last_ticks: int
    last_lots: int
    previous_close_ticks: int  # of the last trade before the window, 0: none known
    volume_lots: int
    volume_quote: int
    first_trade_id: int  # -1: none
    last_trade_id: int
    trades: int


class RollingTicker:
    """Folds trades or whole candles into a window of 24 hours, minute by minute.

    Holds at most DAY_MINUTES + 1 candles. The window moves in whole minutes: the oldest minute
    counts until it is entirely outside.
    """

    __slots__ = ("_last_lots", "_minutes", "_previous_close", "_volume_lots", "_volume_quote")

    def __init__(self) -> None:
        self._minutes: deque[Candle] = deque()
        self._volume_lots = 0
        self._volume_quote = 0
        self._previous_close = 0
        self._last_lots = 0

    def add_candle(self, candle: Candle) -> None:
        """Add a minute from the store; ascending, before the first `add`."""
        self._minutes.append(msgspec.structs.replace(candle))
        self._volume_lots += candle.volume_lots
        self._volume_quote += candle.volume_quote
        self._expire(candle.open_at_ms)

    def add(self, trade: PublicTrade) -> None:
        """Add the next trade; one that a candle already has (by its id) changes nothing."""
        last = self._minutes[-1] if self._minutes else None
        if last is not None and trade.trade_id <= last.last_trade_id:
            return
        candle = fold_candle(last, trade)
        if candle is not last:
            self._minutes.append(candle)
        self._volume_lots += trade.quantity_lots
        self._volume_quote += trade.quote_amount
        self._last_lots = trade.quantity_lots
        self._expire(candle.open_at_ms)

    def at(self, now_ms: int) -> Ticker:
        """Return the ticker of the 24 hours up to `now_ms`."""
        self._expire(now_ms)
        minutes = self._minutes
        open_at_ms = now_ms - DAY_MINUTES * MINUTE_MS
        if not minutes:
            last = self._previous_close
            return Ticker(open_at_ms, now_ms, 0, 0, 0, 0, 0, last, 0, 0, -1, -1, 0)
        return Ticker(
            open_at_ms,
            now_ms,
            minutes[0].open_ticks,
            max([candle.high_ticks for candle in minutes]),
            min([candle.low_ticks for candle in minutes]),
            minutes[-1].close_ticks,
            self._last_lots,
            self._previous_close,
            self._volume_lots,
            self._volume_quote,
            minutes[0].first_trade_id,
            minutes[-1].last_trade_id,
            sum([candle.trades for candle in minutes]),
        )

    def _expire(self, now_ms: int) -> None:
        minutes = self._minutes
        oldest_ms = now_ms - now_ms % MINUTE_MS - DAY_MINUTES * MINUTE_MS
        while minutes and minutes[0].open_at_ms < oldest_ms:
            gone = minutes.popleft()
            self._previous_close = gone.close_ticks
            self._volume_lots -= gone.volume_lots
            self._volume_quote -= gone.volume_quote
