"""One market: a message in, events out. Reads state only; fold.py changes it.

Messages come from accounts (orders, cancels, amends, replacements) and from the directory.
"""

from collections.abc import Callable
from typing import Any

from exchange.account.events import (
    AccountToMarket,
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.account.state import is_amount_used
from exchange.directory.events import (
    DirectoryToMarket,
    InstrumentUpdated,
    MarketAdded,
    MarketStatusSet,
)
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
from exchange.market.fold import evolve
from exchange.market.matching import lots_for_amount, lots_within, match_lots
from exchange.market.order import Order
from exchange.market.rules import (
    find_amendable,
    find_cancelable,
    refuse_among_orders,
    refuse_cancel_all,
    refuse_submission,
)
from exchange.market.state import Market
from exchange.money import AMOUNT_MAX
from exchange.orders import ExpiryReason, OrderStatus, OrderType, ReplaceMode, Side, TimeInForce
from exchange.reject import RejectReason

__all__ = ["MarketMessage", "decide", "evolve"]

MarketMessage = AccountToMarket | DirectoryToMarket

_NONE = RejectReason.NONE
_WOULD_TAKE = RejectReason.WOULD_TAKE
_NO_EXPIRY = ExpiryReason.NONE
_UNFILLED_IOC = ExpiryReason.UNFILLED_IOC_QUANTITY_EXPIRED
_UNFILLED_FOK = ExpiryReason.UNFILLED_FOK_ORDER_EXPIRED
_ILLIQUID = ExpiryReason.INSUFFICIENT_LIQUIDITY
_BUY = Side.BUY
_SELL = Side.SELL
_GTC = TimeInForce.GTC
_FOK = TimeInForce.FOK
_MARKET = OrderType.MARKET
_LIMIT_MAKER = OrderType.LIMIT_MAKER
_FILLED = OrderStatus.FILLED
_CANCELED = OrderStatus.CANCELED
_EXPIRED = OrderStatus.EXPIRED


def decide(market: Market, message: MarketMessage, now_ns: int) -> list[MarketEvent]:
    """Return what happens if `message` is obeyed at `now_ns`, Unix time.

    A refused order gives OrderRejected, a refused cancel or amend gives nothing. Never raises for
    what a client can send.
    """
    return _DECIDERS[type(message)](market, message, now_ns)


# ------------------------------------------------------------------ orders


def _place(market: Market, order: OrderSubmitted, now_ns: int) -> list[MarketEvent]:
    at_ns = now_ns if now_ns > market.at_ns else market.at_ns
    reason = refuse_submission(market, order, now_ns)
    if reason is _NONE:
        reason = refuse_among_orders(market, order, None)
        if reason is _NONE:
            return _enter(market, order, order.hold_amount, None, at_ns)
    return [_rejected(order, reason, at_ns)]


def _enter(
    market: Market, order: OrderSubmitted, hold_amount: int, skipped: Order | None, at_ns: int
) -> list[MarketEvent]:
    """Match an order that the rules allow. `hold_amount` is all that is held for it."""
    order_type = order.order_type
    if order_type is _MARKET:
        return _enter_market(market, order, hold_amount, skipped, at_ns)
    side = order.side
    book = market.book
    if side is _BUY:
        limit_key = -order.price_ticks
        keys = book.asks
    else:
        limit_key = order.price_ticks
        keys = book.bids
    tif = _GTC if order_type is _LIMIT_MAKER else order.time_in_force
    would_take = bool(keys) and keys[-1] >= limit_key
    if would_take and skipped is not None:
        would_take = lots_within(market, side, limit_key, 1, skipped) == 1
    if not would_take:
        accepted = _accepted(market, order, at_ns)
        if tif is _GTC:
            return [accepted]
        return [accepted, _expired(accepted, _UNFILLED_FOK if tif is _FOK else _UNFILLED_IOC)]
    wanted = order.quantity_lots
    if order_type is _LIMIT_MAKER:
        return [_rejected(order, _WOULD_TAKE, at_ns)]
    if tif is _FOK and lots_within(market, side, limit_key, wanted, skipped) < wanted:
        accepted = _accepted(market, order, at_ns)
        return [accepted, _expired(accepted, _UNFILLED_FOK)]
    trades, left = match_lots(market, order, limit_key, wanted, skipped, at_ns)
    if side is _SELL and _overflows(trades):
        return [_rejected(order, RejectReason.AMOUNT_OVERFLOW, at_ns)]
    accepted = _accepted(market, order, at_ns)
    events: list[MarketEvent] = [accepted, *trades]
    if left and tif is not _GTC:
        events.append(_expired(accepted, _UNFILLED_IOC))
    return events


def _enter_market(
    market: Market, order: OrderSubmitted, hold_amount: int, skipped: Order | None, at_ns: int
) -> list[MarketEvent]:
    protect = order.protect_ticks
    limit_key = -protect if order.side is _BUY else protect
    if order.quote_amount:
        return _enter_amount(market, order, limit_key, hold_amount, skipped, at_ns)
    accepted = _accepted(market, order, at_ns)
    if protect == 0:  # the account knew no price to hold at
        return [accepted, _expired(accepted, _ILLIQUID)]
    trades, left = match_lots(market, order, limit_key, order.quantity_lots, skipped, at_ns)
    if order.side is _SELL and _overflows(trades):
        return [_rejected(order, RejectReason.AMOUNT_OVERFLOW, at_ns)]
    if left:
        return [accepted, *trades, _expired(accepted, _ILLIQUID)]
    return [accepted, *trades]


def _enter_amount(
    market: Market,
    order: OrderSubmitted,
    limit_key: int,
    hold_amount: int,
    skipped: Order | None,
    at_ns: int,
) -> list[MarketEvent]:
    """Trade whole lots for an amount. The order ends by its last fill only where the account can
    tell that from the fill alone (is_amount_used), else by an OrderClosed, FILLED or EXPIRED."""
    instrument = market.instrument
    assert instrument is not None  # the rules were asked before
    if order.protect_ticks == 0 or not lots_within(market, order.side, limit_key, 1, skipped):
        return [_rejected(order, RejectReason.NO_LIQUIDITY, at_ns)]
    lots_max = instrument.market_quantity_lots_max
    if order.side is _SELL:
        lots_max = min(lots_max, hold_amount // instrument.lot_size)
    amount = order.quote_amount
    lots, is_used_up = lots_for_amount(market, order.side, limit_key, amount, lots_max, skipped)
    if lots < instrument.quantity_lots_min or lots == 0:
        return [_rejected(order, RejectReason.LOT_SIZE, at_ns)]
    if lots * instrument.lot_size > AMOUNT_MAX:
        return [_rejected(order, RejectReason.AMOUNT_OVERFLOW, at_ns)]
    accepted = _accepted(market, order, at_ns)
    trades, _ = match_lots(market, order, limit_key, lots, skipped, at_ns)
    rest = amount - sum([trade.quote_amount for trade in trades])
    last = trades[-1]
    if is_amount_used(order.side, rest, last.quantity_lots, last.quote_amount):
        return [accepted, *trades]
    if is_used_up:
        return [accepted, *trades, _closed(accepted, _FILLED, _NO_EXPIRY)]
    return [accepted, *trades, _expired(accepted, _ILLIQUID)]


def _overflows(trades: list[TradeExecuted]) -> bool:
    """A seller's proceeds are not bounded by a hold. One trade is, by its maker's."""
    return len(trades) > 1 and sum([trade.quote_amount for trade in trades]) > AMOUNT_MAX


# ------------------------------------------------------------------ cancels


def _cancel(market: Market, request: CancelRequested, now_ns: int) -> list[MarketEvent]:
    order, _ = find_cancelable(market, request)
    if order is None:
        return []
    at_ns = now_ns if now_ns > market.at_ns else market.at_ns
    return [_canceled(order, request.cancel_client_order_id, 0, request.identity, at_ns)]


def _cancel_all(market: Market, request: CancelAllRequested, now_ns: int) -> list[MarketEvent]:
    own = market.accounts.get(request.account_id)
    if own is None or refuse_cancel_all(market, request) is not _NONE:
        return []
    at_ns = now_ns if now_ns > market.at_ns else market.at_ns
    orders = sorted(own.values(), key=lambda order: order.order_id)
    return [_canceled(order, "", 0, request.identity, at_ns) for order in orders]


def _amend(market: Market, request: AmendRequested, now_ns: int) -> list[MarketEvent]:
    order, _ = find_amendable(market, request)
    if order is None:
        return []
    return [
        OrderAmended(
            order.order_id,
            order.account_id,
            order.order_ref,
            order.symbol,
            order.quantity_lots,
            request.new_quantity_lots,
            order.client_order_id,
            request.new_client_order_id or order.client_order_id,
            request.identity,
            now_ns if now_ns > market.at_ns else market.at_ns,
        )
    ]


def _replace(market: Market, request: ReplaceSubmitted, now_ns: int) -> list[MarketEvent]:
    """Cancel, then place. Whatever is not accepted is rejected: its top-up must be released."""
    new = request.order
    at_ns = now_ns if now_ns > market.at_ns else market.at_ns
    must_stop = request.mode is ReplaceMode.STOP_ON_FAILURE
    reason = refuse_submission(market, new, now_ns)
    if reason is not _NONE and must_stop:
        return [_rejected(new, reason, at_ns)]
    old, _ = find_cancelable(market, request)
    if old is None and must_stop:
        return [_rejected(new, RejectReason.REPLACE_NOT_ATTEMPTED, at_ns)]
    # A hold of the other side is of another asset: it is released, not carried.
    is_carried = old is not None and old.side is new.side
    carried = old.leaves_lots * old.hold_per_lot if old is not None and is_carried else 0
    if reason is _NONE:
        reason = refuse_among_orders(market, new, old)
    if reason is _NONE and carried + new.hold_amount < request.hold_needed:
        reason = RejectReason.REPLACE_INSUFFICIENT_FUNDS
    if reason is _NONE:
        events = _enter(market, new, request.hold_needed, old, at_ns)
    else:
        events = [_rejected(new, reason, at_ns)]
    if old is None:
        return events
    is_accepted = type(events[0]) is OrderAccepted
    carried_to_ref = new.order_ref if is_carried and is_accepted else 0
    closed = _canceled(old, request.cancel_client_order_id, carried_to_ref, new.identity, at_ns)
    return [closed, *events]


# ------------------------------------------------------------------ the directory


def _open(market: Market, message: MarketAdded, now_ns: int) -> list[MarketEvent]:
    if market.instrument is not None:
        return []
    return [MarketOpened(message.instrument, max(now_ns, market.at_ns))]


def _change(market: Market, message: InstrumentUpdated, now_ns: int) -> list[MarketEvent]:
    if market.instrument is None:
        return []
    return [InstrumentChanged(message.instrument, max(now_ns, market.at_ns))]


def _set_status(market: Market, message: MarketStatusSet, now_ns: int) -> list[MarketEvent]:
    if market.status is message.status:
        return []
    return [MarketStatusChanged(market.symbol, message.status, max(now_ns, market.at_ns))]


# ------------------------------------------------------------------ events


def _accepted(market: Market, order: OrderSubmitted, at_ns: int) -> OrderAccepted:
    return OrderAccepted(
        market.next_order_id,
        order.account_id,
        order.order_ref,
        order.symbol,
        order.side,
        order.order_type,
        order.time_in_force,
        order.price_ticks,
        order.quantity_lots,
        order.quote_amount,
        order.client_order_id,
        order.stp_mode,
        order.hold_per_lot,
        order.maker_rate_e8,
        order.taker_rate_e8,
        at_ns,
    )


def _rejected(order: OrderSubmitted, reason: RejectReason, at_ns: int) -> OrderRejected:
    return OrderRejected(order.account_id, order.order_ref, order.symbol, reason, at_ns)


def _expired(accepted: OrderAccepted, reason: ExpiryReason) -> OrderClosed:
    return _closed(accepted, _EXPIRED, reason)


def _closed(accepted: OrderAccepted, status: OrderStatus, reason: ExpiryReason) -> OrderClosed:
    """The end of an order by its first matching pass."""
    return OrderClosed(
        accepted.order_id,
        accepted.account_id,
        accepted.order_ref,
        accepted.symbol,
        status,
        reason,
        "",
        0,
        b"",
        accepted.at_ns,
    )


def _canceled(
    order: Order, cancel_client_order_id: str, carried_to_ref: int, identity: bytes, at_ns: int
) -> OrderClosed:
    return OrderClosed(
        order.order_id,
        order.account_id,
        order.order_ref,
        order.symbol,
        _CANCELED,
        _NO_EXPIRY,
        cancel_client_order_id,
        carried_to_ref,
        identity,
        at_ns,
    )


_DECIDERS: dict[type, Callable[[Market, Any, int], list[MarketEvent]]] = {
    OrderSubmitted: _place,
    CancelRequested: _cancel,
    CancelAllRequested: _cancel_all,
    AmendRequested: _amend,
    ReplaceSubmitted: _replace,
    MarketAdded: _open,
    InstrumentUpdated: _change,
    MarketStatusSet: _set_status,
}
