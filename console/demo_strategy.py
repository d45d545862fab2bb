"""How the demo's traders think: pure functions of a random source, so that tests can watch them."""

import random

import msgspec

LEVELS = 8  # orders of a maker on each side
SPREAD_TICKS = 200  # from the middle to a maker's best price
LEVEL_TICKS = 150  # between two of its levels
QUANTITY_LOTS_MAX = 5_000
_PULL = 0.002  # how strongly the price is drawn to its anchor, a step


class Walk:
    """A middle price that wanders: a random walk drawn gently back to where it began."""

    def __init__(self, anchor_ticks: int) -> None:
        self._anchor_ticks = anchor_ticks
        self.mid_ticks = anchor_ticks

    def step(self, rng: random.Random) -> int:
        """Take one step and return the new middle, never below a hundredth of the anchor."""
        pull = (self._anchor_ticks - self.mid_ticks) * _PULL
        step = rng.gauss(pull, self._anchor_ticks / 20_000)
        self.mid_ticks = max(self._anchor_ticks // 100 + 1, round(self.mid_ticks + step))
        return self.mid_ticks


class Wish(msgspec.Struct, frozen=True):
    """A limit order that a trader would like."""

    side: str
    price_ticks: int
    quantity_lots: int


def quote(slot: int, mid_ticks: int, rng: random.Random) -> Wish:
    """Return what a maker wants in one of its 2 * LEVELS places: even ones buy, odd ones sell."""
    level = slot // 2
    distance = SPREAD_TICKS + level * LEVEL_TICKS + rng.randrange(LEVEL_TICKS)
    quantity = rng.randrange(1, QUANTITY_LOTS_MAX) * (level + 1)
    if slot % 2 == 0:
        return Wish("BUY", max(1, mid_ticks - distance), quantity)
    return Wish("SELL", mid_ticks + distance, quantity)


def take(mid_ticks: int, rng: random.Random) -> Wish:
    """Return an order that crosses the spread, for now and then more than one level deep."""
    reach = SPREAD_TICKS + LEVEL_TICKS * rng.choice((1, 1, 1, 2, 4))
    quantity = rng.randrange(1, QUANTITY_LOTS_MAX)
    if rng.random() < 0.5:
        return Wish("BUY", mid_ticks + reach, quantity)
    return Wish("SELL", max(1, mid_ticks - reach), quantity)
