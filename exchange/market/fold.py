"""What events do to a market: the same fold when trading and when recovering.

`evolve` refuses nothing. An event that contradicts the state is a bug or a damaged stream.

An order that trades on arrival is `market.taker` and not in the book, until it rests or ends. So
the book is never crossed, and an order that fills at once costs the book nothing.
"""

from collections.abc import Callable
from typing import Any

from exchange.account.state import is_amount_used
from exchange.answers import PublicTrade
from exchange.errors import InvariantError
from exchange.instrument import Instrument
from exchange.market.events import (
    InstrumentChanged,
    MarketEvent,
    MarketOpened,
    MarketStatusChanged,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.market.order import Order, accepted_order
from exchange.market.state import CHANGED_LEVELS_MAX, UNPUBLISHED_TRADES_MAX, Market
from exchange.marketdata.candle import fold_candle
from exchange.orders import OrderStatus, Side

_BUY = Side.BUY
_SELL = Side.SELL
_PARTIALLY_FILLED = OrderStatus.PARTIALLY_FILLED
_CHECK_EVERY_ORDERS = 1_024


def evolve(market: Market, event: MarketEvent) -> None:
    """Apply one event in place: a copy per event would make replay quadratic.

    Raises:
        InvariantError: the event contradicts the state.
    """
    _FOLDS[type(event)](market, event)


def _on_accepted(market: Market, event: OrderAccepted) -> None:
    if event.order_id != market.next_order_id or market.taker is not None:
        raise InvariantError(order_id=event.order_id, next_order_id=market.next_order_id)
    # Only open orders can end, and only orders trade: to check here bounds what waits.
    if market.next_order_id % _CHECK_EVERY_ORDERS == 0:
        _bound_unpublished(market)
    market.next_order_id += 1
    market.at_ns = event.at_ns
    order = accepted_order(event)
    if order.may_rest and not _crosses(market, order):
        _rest(market, order)
    else:
        market.taker = order


def _on_trade(market: Market, event: TradeExecuted) -> None:
    maker = market.orders.get(event.maker_order_id)
    taker = market.taker
    trade_id = event.trade_id
    price = event.price_ticks
    if (
        maker is None
        or taker is None
        or taker.order_id != event.taker_order_id
        or trade_id != market.next_trade_id
        or maker.price_ticks != price
        or maker.side is taker.side
    ):
        raise InvariantError(
            trade_id=trade_id,
            next_trade_id=market.next_trade_id,
            maker_order_id=event.maker_order_id,
            taker_order_id=event.taker_order_id,
            price_ticks=price,
        )
    lots = event.quantity_lots
    quote = event.quote_amount
    at_ns = event.at_ns
    market.next_trade_id = trade_id + 1
    market.at_ns = at_ns
    market.last_ticks = price
    market.traded_base += event.base_amount
    market.traded_quote += quote

    maker.executed_lots += lots
    maker.executed_quote += quote
    market.book.reduce(maker, lots)
    market.update_id += 1
    market.changed_levels[maker.book_key] = None
    if maker.leaves_lots:
        maker.status = _PARTIALLY_FILLED
        maker.updated_at_ns = at_ns
    else:
        _forget(market, maker)

    trade = PublicTrade(trade_id, price, lots, quote, at_ns, event.taker_side is _SELL)
    market.recent_trades.append(trade)
    market.unpublished_trades.append(trade)
    market.candle = fold_candle(market.candle, trade)
    _on_taker_filled(market, taker, lots, quote, at_ns)


def _on_taker_filled(market: Market, taker: Order, lots: int, quote: int, at_ns: int) -> None:
    taker.executed_lots += lots
    taker.executed_quote += quote
    if taker.quote_amount:
        rest = taker.quote_amount - taker.executed_quote
        if rest < 0:
            raise InvariantError(order_id=taker.order_id, executed_quote=taker.executed_quote)
        if is_amount_used(taker.side, rest, lots, quote):
            market.taker = None
        return
    left = taker.leaves_lots - lots
    if left < 0:
        raise InvariantError(order_id=taker.order_id, leaves=taker.leaves_lots, lots=lots)
    if left == 0:
        market.taker = None
        return
    taker.leaves_lots = left
    taker.status = _PARTIALLY_FILLED
    taker.updated_at_ns = at_ns
    if taker.may_rest and not _crosses(market, taker):
        market.taker = None
        _rest(market, taker)


def _on_closed(market: Market, event: OrderClosed) -> None:
    market.at_ns = event.at_ns
    taker = market.taker
    if taker is not None and taker.order_id == event.order_id:
        market.taker = None
        return
    order = market.orders.get(event.order_id)
    if order is None:
        raise InvariantError(order_id=event.order_id, status=event.status)
    market.book.reduce(order, order.leaves_lots)
    market.update_id += 1
    market.changed_levels[order.book_key] = None
    _forget(market, order)


def _on_amended(market: Market, event: OrderAmended) -> None:
    market.at_ns = event.at_ns
    order = market.orders.get(event.order_id)
    if (
        order is None
        or order.quantity_lots != event.old_quantity_lots
        or not order.executed_lots < event.new_quantity_lots < order.quantity_lots
    ):
        raise InvariantError(order_id=event.order_id, new_quantity_lots=event.new_quantity_lots)
    market.book.reduce(order, order.quantity_lots - event.new_quantity_lots)
    order.quantity_lots = event.new_quantity_lots
    order.updated_at_ns = event.at_ns
    market.update_id += 1
    market.changed_levels[order.book_key] = None
    own = market.accounts[order.account_id]
    del own[order.client_order_id]
    order.client_order_id = event.new_client_order_id
    own[order.client_order_id] = order


def _on_rejected(market: Market, event: OrderRejected) -> None:
    """Kept in the stream: it is the message that releases the hold."""
    market.at_ns = event.at_ns


def _on_opened(market: Market, event: MarketOpened) -> None:
    if market.instrument is not None or event.instrument.symbol != market.symbol:
        raise InvariantError(symbol=event.instrument.symbol, market=market.symbol)
    market.at_ns = event.at_ns
    use_instrument(market, event.instrument)


def _on_changed(market: Market, event: InstrumentChanged) -> None:
    old, new = market.instrument, event.instrument
    if (
        old is None
        or (old.symbol, old.base_asset, old.quote_asset)
        != (new.symbol, new.base_asset, new.quote_asset)
        or (old.tick_size, old.lot_size) != (new.tick_size, new.lot_size)
    ):
        # Open orders and holds are counted in these ticks and lots.
        raise InvariantError(symbol=market.symbol, tick=new.tick_size, lot=new.lot_size)
    market.at_ns = event.at_ns
    use_instrument(market, new)


def _on_status(market: Market, event: MarketStatusChanged) -> None:
    market.at_ns = event.at_ns
    market.status = event.status


def use_instrument(market: Market, instrument: Instrument) -> None:
    """Set the instrument and what is kept of it for speed; for the folds and snapshots only."""
    market.instrument = instrument
    market.minor_units_per_tick_lot = instrument.minor_units_per_tick_lot
    market.lot_size = instrument.lot_size


def _crosses(market: Market, order: Order) -> bool:
    """Return whether the order would trade with the best level of the other side."""
    book = market.book
    keys = book.asks if order.side is _BUY else book.bids
    return bool(keys) and keys[-1] >= -order.book_key


def _rest(market: Market, order: Order) -> None:
    own = market.accounts.get(order.account_id)
    if own is None:
        market.accounts[order.account_id] = {order.client_order_id: order}
    elif order.client_order_id in own:
        raise InvariantError(order_id=order.order_id, client_order_id=order.client_order_id)
    else:
        own[order.client_order_id] = order
    market.orders[order.order_id] = order
    market.book.add(order)
    market.update_id += 1
    market.changed_levels[order.book_key] = None


def _bound_unpublished(market: Market) -> None:
    """Nobody takes updates while a stream is replayed; what waits for them must not grow."""
    changed, trades = market.changed_levels, market.unpublished_trades
    if len(changed) > CHANGED_LEVELS_MAX or len(trades) > UNPUBLISHED_TRADES_MAX:
        market.has_overflowed = True
        changed.clear()
        trades.clear()


def _forget(market: Market, order: Order) -> None:
    del market.orders[order.order_id]
    own = market.accounts[order.account_id]
    del own[order.client_order_id]
    if not own:
        del market.accounts[order.account_id]


_FOLDS: dict[type, Callable[[Market, Any], None]] = {
    OrderAccepted: _on_accepted,
    OrderRejected: _on_rejected,
    TradeExecuted: _on_trade,
    OrderClosed: _on_closed,
    OrderAmended: _on_amended,
    MarketOpened: _on_opened,
    InstrumentChanged: _on_changed,
    MarketStatusChanged: _on_status,
}
