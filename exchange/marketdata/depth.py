"""A copy of a market's depth at a distance, kept up to date by its updates.

Keys are those of the market's book: the price of a bid, minus the price of an ask.
"""

from bisect import bisect_left, insort

from exchange.answers import MarketFull, MarketUpdate
from exchange.orders import Side

_BUY = int(Side.BUY)
_SELL = int(Side.SELL)


class DepthBook:
    """Aggregated lots by price. Bounded by the market's own book."""

    __slots__ = ("_asks", "_bids", "_lots", "last_trade_id", "symbol", "update_id")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.update_id = 0
        self.last_trade_id = 0
        self._lots: dict[int, int] = {}  # by key
        self._bids: list[int] = []  # keys, ascending: the best is the last
        self._asks: list[int] = []

    def apply(self, update: MarketUpdate) -> bool:
        """Apply an update; False if updates between are missing: a full book is needed.

        What an update repeats of what is known already is harmless: its levels are absolute.
        """
        if update.first_update_id > self.update_id + 1:
            return False
        if update.last_update_id <= self.update_id:
            return True
        for side, price, lots in update.levels:
            self._set(price if side == _BUY else -price, lots)
        self.update_id = update.last_update_id
        if update.trades:
            self.last_trade_id = max(self.last_trade_id, update.trades[-1].trade_id)
        return True

    def apply_full(self, full: MarketFull) -> MarketUpdate | None:
        """Become equal to `full` and return what that changed as an update, None if there was
        nothing new.

        Its first update id is the last known one plus 1, so that those who follow this copy see no
        gap, whoever owns the market now; with changes that cancelled out it has no levels, but the
        ids go on. Levels that `full` does not reach are removed.
        """
        first_update_id = self.update_id + 1
        lots_now = dict(full.bids)
        lots_now.update([(-price, lots) for price, lots in full.asks])
        changes = [(key, 0) for key in self._lots if key not in lots_now]
        changes += [(key, lots) for key, lots in lots_now.items() if self._lots.get(key) != lots]
        for key, lots in changes:
            self._set(key, lots)
        trades = tuple([trade for trade in full.trades if trade.trade_id > self.last_trade_id])
        if trades:
            self.last_trade_id = trades[-1].trade_id
        self.update_id = full.update_id
        if not changes and not trades and full.update_id < first_update_id:
            return None
        return MarketUpdate(
            self.symbol,
            first_update_id,
            max(first_update_id, full.update_id),
            tuple([(_BUY, key, n) if key > 0 else (_SELL, -key, n) for key, n in changes]),
            trades,
            full.at_ns,
        )

    def top(
        self, levels_max: int
    ) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
        """Return (bids, asks): (price ticks, lots) of at most `levels_max` each, best first."""
        if levels_max <= 0:
            return (), ()
        lots = self._lots
        bids, asks = self._bids[: -levels_max - 1 : -1], self._asks[: -levels_max - 1 : -1]
        return tuple([(key, lots[key]) for key in bids]), tuple([(-key, lots[key]) for key in asks])

    def best_bid(self) -> tuple[int, int]:
        """Return (price ticks, lots), (0, 0) if there is no bid."""
        return (self._bids[-1], self._lots[self._bids[-1]]) if self._bids else (0, 0)

    def best_ask(self) -> tuple[int, int]:
        """Return (price ticks, lots), (0, 0) if there is no ask."""
        return (-self._asks[-1], self._lots[self._asks[-1]]) if self._asks else (0, 0)

    def _set(self, key: int, lots: int) -> None:
        keys = self._bids if key > 0 else self._asks
        if lots:
            if key not in self._lots:
                insort(keys, key)
            self._lots[key] = lots
        elif self._lots.pop(key, 0):
            del keys[bisect_left(keys, key)]
