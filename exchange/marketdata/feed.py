"""What a market publishes: updates, and everything for those who start from nothing.

Update ids are state of the market and go on after a takeover. What waits to be published is not:
the new owner publishes a full book, and everybody continues from its id.
"""

from copy import copy

from exchange.answers import MarketFull, MarketUpdate
from exchange.market.state import Market
from exchange.orders import Side

DEPTH_MAX = 50_000  # levels a side of a full book that replaces an update
_BUY = int(Side.BUY)
_SELL = int(Side.SELL)


def take_update(market: Market) -> MarketUpdate | MarketFull | None:
    """Return what changed since the last call, None if nothing did.

    Call it after each batch, when the batch's events are folded. Levels carry absolute lots; the
    first update id is one more than the last update's. When more has changed than the market keeps
    (state.py: CHANGED_LEVELS_MAX, UNPUBLISHED_TRADES_MAX), it is a full book instead.
    """
    if market.has_overflowed:
        discard_update(market)
        return full(market, DEPTH_MAX)
    if market.update_id == market.published_update_id:
        return None
    levels = market.book.levels
    changes: list[tuple[int, int, int]] = []
    for key in market.changed_levels:
        level = levels.get(key)
        lots = 0 if level is None else level.lots
        changes.append((_BUY, key, lots) if key > 0 else (_SELL, -key, lots))
    update = MarketUpdate(
        market.symbol,
        market.published_update_id + 1,
        market.update_id,
        tuple(changes),
        tuple(market.unpublished_trades),
        market.at_ns,
    )
    discard_update(market)
    return update


def discard_update(market: Market) -> None:
    """Count everything so far as published: after recovery, before publishing `full`."""
    market.published_update_id = market.update_id
    market.changed_levels.clear()
    market.unpublished_trades.clear()
    market.has_overflowed = False


def full(market: Market, depth_max: int) -> MarketFull:
    """Return at most `depth_max` levels a side, recent trades and the running minute.

    Changes that still wait for `take_update` are in it too; DepthBook takes the overlap.
    """
    book = market.book
    candle = market.candle
    return MarketFull(
        market.symbol,
        market.update_id,
        book.depth_bids(depth_max),
        book.depth_asks(depth_max),
        tuple(market.recent_trades),
        copy(candle),
        market.at_ns,
    )


def quote(market: Market) -> tuple[int, int, int]:
    """Return (best bid, best ask, last trade's price) in ticks, 0 where there is none."""
    return market.book.best_bid(), market.book.best_ask(), market.last_ticks
