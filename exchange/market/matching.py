"""Who trades with whom at which price: price, then time, at the resting order's price.

Reads the book, changes nothing. `limit_key` is the worst level key the taker takes (orderbook.py).
`skipped` is a resting order that counts as gone: what a replacement cancels in the same message.
"""

from collections.abc import Iterator

from exchange.account.events import OrderSubmitted
from exchange.market.events import TradeExecuted
from exchange.market.order import Order
from exchange.market.state import Market
from exchange.money import UNIT
from exchange.orders import Side

_BUY = Side.BUY


def match_lots(
    market: Market,
    taker: OrderSubmitted,
    limit_key: int,
    wanted_lots: int,
    skipped: Order | None,
    at_ns: int,
) -> tuple[list[TradeExecuted], int]:
    """Return the trades of up to `wanted_lots`, and how many lots found no counterparty.

    This is the one place where taker meets maker: self-trade prevention belongs before the trade is
    built, where both orders are at hand (`taker.stp_mode` decides).
    """
    is_buy = taker.side is _BUY
    book = market.book
    keys = book.asks if is_buy else book.bids
    levels = book.levels
    symbol = market.symbol
    lot_size = market.lot_size
    per_tick_lot = market.minor_units_per_tick_lot
    trade_id = market.next_trade_id
    order_id = market.next_order_id
    side = taker.side
    account_id = taker.account_id
    order_ref = taker.order_ref
    taker_rate = taker.taker_rate_e8
    trades: list[TradeExecuted] = []
    for index in range(len(keys) - 1, -1, -1):
        key = keys[index]
        if key < limit_key:
            break
        price = -key if is_buy else key
        quote_per_lot = price * per_tick_lot
        for maker in levels[key].queue:
            leaves = maker.leaves_lots
            if leaves == 0 or maker is skipped:
                continue
            lots = leaves if leaves < wanted_lots else wanted_lots
            base = lots * lot_size
            quote = lots * quote_per_lot
            # exchange.money.commission, written out: two calls a trade are felt here.
            if is_buy:
                taker_fee = base * taker_rate // UNIT
                maker_fee = quote * maker.maker_rate_e8 // UNIT
            else:
                taker_fee = quote * taker_rate // UNIT
                maker_fee = base * maker.maker_rate_e8 // UNIT
            trades.append(
                TradeExecuted(
                    trade_id,
                    symbol,
                    price,
                    lots,
                    base,
                    quote,
                    side,
                    account_id,
                    order_id,
                    order_ref,
                    taker_fee,
                    maker.account_id,
                    maker.order_id,
                    maker.order_ref,
                    maker_fee,
                    at_ns,
                )
            )
            wanted_lots -= lots
            if wanted_lots == 0:
                return trades, 0
            trade_id += 1
    return trades, wanted_lots


def lots_within(
    market: Market, side: Side, limit_key: int, wanted_lots: int, skipped: Order | None
) -> int:
    """Return how many lots a taker of `side` would find, counting no further than `wanted_lots`."""
    found = 0
    for _, lots in _levels_within(market, side, limit_key, skipped):
        found += lots
        if found >= wanted_lots:
            return wanted_lots
    return found


def lots_for_amount(
    market: Market,
    side: Side,
    limit_key: int,
    quote_amount: int,
    lots_max: int,
    skipped: Order | None,
) -> tuple[int, bool]:
    """Return how many whole lots trade for `quote_amount` minor units, never for more.

    Also whether that uses the amount up: what is left of it is worth less than one lot at the price
    that trading stopped at.
    """
    found = 0
    per_lot = 0
    for price, lots in _levels_within(market, side, limit_key, skipped):
        per_lot = price * market.minor_units_per_tick_lot
        traded = min(lots, quote_amount // per_lot, lots_max - found)
        found += traded
        quote_amount -= traded * per_lot
        if traded < lots:
            break
    return found, quote_amount < per_lot


def _levels_within(
    market: Market, side: Side, limit_key: int, skipped: Order | None
) -> Iterator[tuple[int, int]]:
    """Yield (price ticks, lots) of the levels opposite to `side` within the limit, best first."""
    book = market.book
    keys = book.asks if side is _BUY else book.bids
    skipped_key = skipped.book_key if skipped is not None else 0
    for index in range(len(keys) - 1, -1, -1):
        key = keys[index]
        if key < limit_key:
            break
        lots = book.levels[key].lots
        if key == skipped_key and skipped is not None:
            lots -= skipped.leaves_lots
        if lots:
            yield abs(key), lots
