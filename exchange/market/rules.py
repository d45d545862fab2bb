"""Why a market refuses. One place, so that deciding and answering cannot disagree."""

from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.filters import check_order
from exchange.instrument import MarketStatus
from exchange.market.order import Order
from exchange.market.state import OPEN_ORDERS_MAX, Market
from exchange.money import UNIT
from exchange.orders import CancelRestriction, OrderStatus, OrderType
from exchange.reject import RejectReason

SUBMISSION_AGE_NS_MAX = 10_000_000_000  # when the gateway has told the client: outcome unknown

_NONE = RejectReason.NONE
_MARKET = OrderType.MARKET
_TRADING = MarketStatus.TRADING
_STATUS_REQUIRED = {
    CancelRestriction.ONLY_NEW: OrderStatus.NEW,
    CancelRestriction.ONLY_PARTIALLY_FILLED: OrderStatus.PARTIALLY_FILLED,
}


def refuse_submission(market: Market, order: OrderSubmitted, now_ns: int) -> RejectReason:
    """Check what does not depend on other orders: instrument, state of the market, age, band."""
    instrument = market.instrument
    if instrument is None:
        return RejectReason.UNKNOWN_SYMBOL
    if market.status is not _TRADING:
        return RejectReason.MARKET_CLOSED
    if now_ns - order.received_at_ns > SUBMISSION_AGE_NS_MAX:
        return RejectReason.SUBMISSION_TOO_OLD
    if order.stop_ticks or order.iceberg_lots or order.list_id != -1:
        return RejectReason.UNSUPPORTED_ORDER_TYPE
    last = market.last_ticks
    price = order.price_ticks
    reason = check_order(
        instrument, order.order_type, price, order.quantity_lots, order.quote_amount, last
    )
    if reason is not _NONE:
        return reason
    if last and order.order_type is not _MARKET:
        scaled = price * UNIT
        if scaled > last * instrument.band_up_e8 or scaled < last * instrument.band_down_e8:
            return RejectReason.PERCENT_PRICE
    if order.stp_mode not in instrument.stp_allowed:
        return RejectReason.STP_MODE_NOT_ALLOWED
    return _NONE


def refuse_among_orders(
    market: Market, order: OrderSubmitted, skipped: Order | None
) -> RejectReason:
    """Check the account's other open orders; `skipped` is canceled before and does not count."""
    own = market.accounts.get(order.account_id)
    if own is not None:
        namesake = own.get(order.client_order_id)
        if namesake is not None and namesake is not skipped:
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        assert market.instrument is not None  # refuse_submission comes first
        open_orders = len(own) if skipped is None else len(own) - 1
        if open_orders >= market.instrument.open_orders_max:
            return RejectReason.MAX_NUM_ORDERS
    if len(market.orders) >= OPEN_ORDERS_MAX:
        return RejectReason.MAX_NUM_ORDERS
    return _NONE


def find_cancelable(
    market: Market, message: CancelRequested | ReplaceSubmitted
) -> tuple[Order | None, RejectReason]:
    """Return the order that the message cancels, or None and why it cancels none."""
    if isinstance(message, CancelRequested):
        account_id, order_id = message.account_id, message.order_id
        client_order_id = message.orig_client_order_id
    else:
        account_id, order_id = message.order.account_id, message.cancel_order_id
        client_order_id = message.cancel_orig_client_order_id
    order, reason = _find_own(market, account_id, order_id, client_order_id)
    if order is not None:
        required = _STATUS_REQUIRED.get(message.restriction)
        if required is not None and order.status is not required:
            return None, RejectReason.CANCEL_RESTRICTED
    return order, reason


def refuse_cancel_all(market: Market, message: CancelAllRequested) -> RejectReason:
    reason = _refuse_closed(market)
    if reason is _NONE and message.account_id not in market.accounts:
        return RejectReason.UNKNOWN_ORDER
    return reason


def find_amendable(market: Market, message: AmendRequested) -> tuple[Order | None, RejectReason]:
    """Return the order that the message amends, or None and why it amends none."""
    order, reason = _find_own(
        market, message.account_id, message.order_id, message.orig_client_order_id
    )
    if order is None:
        return None, reason
    reason = _refuse_amend(market, order, message)
    return (order, reason) if reason is _NONE else (None, reason)


def _refuse_amend(market: Market, order: Order, message: AmendRequested) -> RejectReason:
    quantity = message.new_quantity_lots
    if quantity > order.quantity_lots:
        return RejectReason.AMEND_INCREASES
    if quantity == order.quantity_lots:
        return RejectReason.AMEND_CHANGES_NOTHING
    if quantity <= order.executed_lots:
        return RejectReason.AMEND_BELOW_EXECUTED
    namesake = market.accounts[order.account_id].get(message.new_client_order_id)
    if namesake is not None and namesake is not order:
        return RejectReason.DUPLICATE_CLIENT_ORDER_ID
    assert market.instrument is not None  # else there was no order to find
    return check_order(market.instrument, order.order_type, order.price_ticks, quantity, 0)


def _find_own(
    market: Market, account_id: int, order_id: int, client_order_id: str
) -> tuple[Order | None, RejectReason]:
    reason = _refuse_closed(market)
    if reason is not _NONE:
        return None, reason
    if order_id:
        order = market.orders.get(order_id)
        # Another's order is unknown: who asks must not learn that it exists.
        if order is None or order.account_id != account_id:
            return None, RejectReason.UNKNOWN_ORDER
        if client_order_id and order.client_order_id != client_order_id:
            return None, RejectReason.ORDER_ID_MISMATCH
        return order, _NONE
    own = market.accounts.get(account_id)
    order = own.get(client_order_id) if own is not None else None
    return order, _NONE if order is not None else RejectReason.UNKNOWN_ORDER


def _refuse_closed(market: Market) -> RejectReason:
    """Cancels and amends are obeyed in every state but HALT."""
    if market.instrument is None:
        return RejectReason.UNKNOWN_SYMBOL
    return RejectReason.MARKET_CLOSED if market.status is MarketStatus.HALT else _NONE
