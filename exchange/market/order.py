"""An open order as its market sees it.

The market forgets an order when it ends, so here its status is NEW or PARTIALLY_FILLED; the
statuses after that are given to the account by the event that ended the order.
"""

from exchange.market.events import OrderAccepted
from exchange.orders import ExpiryReason, OrderState, OrderStatus, OrderType, Side, TimeInForce

_NEW = OrderStatus.NEW
_NO_EXPIRY = ExpiryReason.NONE
_BUY = Side.BUY
_GTC = TimeInForce.GTC
_LIMIT = OrderType.LIMIT
_LIMIT_MAKER = OrderType.LIMIT_MAKER


class Order(OrderState, gc=False):
    """What matching needs beside the order's public state. Written by `evolve` only."""

    leaves_lots: int  # still to trade; 0 in the book means: gone, not yet swept out of its queue
    hold_per_lot: int  # minor units the account holds for each of the leaves
    maker_rate_e8: int
    taker_rate_e8: int
    book_key: int  # its level: the price of a bid, minus the price of an ask; see orderbook.py
    may_rest: bool  # it stands in the book until it trades or is canceled


def accepted_order(event: OrderAccepted) -> Order:
    """Return the order as it stands when it was accepted."""
    price = event.price_ticks
    quantity = event.quantity_lots
    side = event.side
    at_ns = event.at_ns
    order_type = event.order_type
    return Order(
        event.account_id,
        event.symbol,
        event.order_id,
        event.order_ref,
        event.client_order_id,
        side,
        order_type,
        event.time_in_force,
        price,
        quantity,
        event.quote_amount,
        0,
        0,
        _NEW,
        event.stp_mode,
        at_ns,
        at_ns,
        _NO_EXPIRY,
        event.stop_ticks,
        event.iceberg_lots,
        event.list_id,
        0,
        quantity,
        event.hold_per_lot,
        event.maker_rate_e8,
        event.taker_rate_e8,
        price if side is _BUY else -price,
        order_type is _LIMIT_MAKER or (order_type is _LIMIT and event.time_in_force is _GTC),
    )


def state_of(order: Order, status: OrderStatus, at_ns: int) -> OrderState:
    """Return a copy of the order's public state with another status, as of `at_ns`."""
    return OrderState(
        order.account_id,
        order.symbol,
        order.order_id,
        order.order_ref,
        order.client_order_id,
        order.side,
        order.order_type,
        order.time_in_force,
        order.price_ticks,
        order.quantity_lots,
        order.quote_amount,
        order.executed_lots,
        order.executed_quote,
        status,
        order.stp_mode,
        order.created_at_ns,
        at_ns,
        order.expiry_reason,
        order.stop_ticks,
        order.iceberg_lots,
        order.list_id,
        order.prevented_lots,
    )
