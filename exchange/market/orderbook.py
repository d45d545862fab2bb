"""Resting orders by price, then time. Pure structure: no rules, no ids, no money.

A level's *key* is the price of a bid and minus the price of an ask. So the best level of either
side is the greatest key, the last of its sorted list, and code that walks a side needs no branch:
a buyer limited to price p takes asks while key >= -p, a seller takes bids while key >= p.

Sorted lists beat a heap here: matching must walk several levels without changing anything, and
almost all insertions are near the end, where shifting costs nothing.
"""

from bisect import bisect_left, insort
from collections import deque

import msgspec

from exchange.errors import InvariantError
from exchange.market.order import Order


class Level(msgspec.Struct):
    """All orders at one price, oldest first."""

    lots: int  # sum of the leaves
    queue: deque[Order]  # some may be gone (leaves 0); the first never is
    gone: int  # how many in the queue are


class OrderBook:
    """Both sides. Its size is bounded by whoever accepts orders."""

    __slots__ = ("asks", "bids", "levels")

    def __init__(self) -> None:
        self.levels: dict[int, Level] = {}
        self.bids: list[int] = []  # keys, ascending: the best is the last
        self.asks: list[int] = []

    def add(self, order: Order) -> None:
        """Put the order behind all others at its price."""
        key = order.book_key
        level = self.levels.get(key)
        if level is None:
            self.levels[key] = Level(order.leaves_lots, deque((order,)), 0)
            keys = self.bids if key > 0 else self.asks
            if keys and key < keys[-1]:
                insort(keys, key)
            else:
                keys.append(key)
            return
        level.lots += order.leaves_lots
        level.queue.append(order)

    def reduce(self, order: Order, lots: int) -> None:
        """Take `lots` off the order's leaves; at 0 it leaves the book.

        Raises:
            InvariantError: it has not that many.
        """
        left = order.leaves_lots - lots
        if left < 0 or lots <= 0:
            raise InvariantError(order_id=order.order_id, leaves=order.leaves_lots, lots=lots)
        key = order.book_key
        level = self.levels[key]
        order.leaves_lots = left
        level.lots -= lots
        if left == 0:
            if level.lots == 0:
                self._drop_level(key)
            else:
                _leave_queue(level, order)

    def _drop_level(self, key: int) -> None:
        del self.levels[key]
        keys = self.bids if key > 0 else self.asks
        if keys[-1] == key:
            keys.pop()
        else:
            del keys[bisect_left(keys, key)]

    def best_bid(self) -> int:
        """Return the highest bid in ticks, 0 if there is none."""
        return self.bids[-1] if self.bids else 0

    def best_ask(self) -> int:
        """Return the lowest ask in ticks, 0 if there is none."""
        return -self.asks[-1] if self.asks else 0

    def depth_bids(self, levels_max: int) -> tuple[tuple[int, int], ...]:
        """Return (price ticks, lots) of at most `levels_max` levels, best first."""
        levels = self.levels
        return tuple([(key, levels[key].lots) for key in _best_first(self.bids, levels_max)])

    def depth_asks(self, levels_max: int) -> tuple[tuple[int, int], ...]:
        """Return (price ticks, lots) of at most `levels_max` levels, best first."""
        levels = self.levels
        return tuple([(-key, levels[key].lots) for key in _best_first(self.asks, levels_max)])

    def orders(self) -> list[Order]:
        """Return every order: bids, then asks, each by priority."""
        found: list[Order] = []
        for keys in (self.bids, self.asks):
            for key in reversed(keys):
                level = self.levels[key]
                if level.gone:
                    found += [order for order in level.queue if order.leaves_lots]
                else:
                    found += level.queue
        return found


def _leave_queue(level: Level, order: Order) -> None:
    """Sweep the order out now if it is first, else later: canceling must not search the queue."""
    queue = level.queue
    if queue[0] is order:
        queue.popleft()
        while queue[0].leaves_lots == 0:
            queue.popleft()
            level.gone -= 1
        return
    level.gone += 1
    if level.gone * 2 > len(queue):  # bounds the queue at twice its orders; amortised O(1)
        level.queue = deque([waiting for waiting in queue if waiting.leaves_lots])
        level.gone = 0


def _best_first(keys: list[int], levels_max: int) -> list[int]:
    return keys[: -levels_max - 1 : -1] if levels_max > 0 else []
