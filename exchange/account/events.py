"""What happened to an account. Those that name a market are the messages to that market.

Besides these, an account's stream holds the market events that concern it, as they came.
"""

from exchange.message import Event
from exchange.orders import (
    CancelRestriction,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from exchange.reject import RejectReason


class OrderSubmitted(Event, frozen=True, tag=101):
    """Funds are held, the order is on its way to the market."""

    account_id: int
    order_ref: int
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int  # 0 for MARKET
    quantity_lots: int  # 0 when by quote amount
    quote_amount: int  # minor units; 0 when by quantity
    protect_ticks: int  # MARKET: the worst price it may trade at; 0: none known, it cannot trade
    client_order_id: str
    stp_mode: SelfTradePrevention
    hold_asset: str
    hold_amount: int  # minor units held now, for a replacement the top-up
    hold_per_lot: int  # minor units of hold_asset each lot needs; 0 when held by quote amount
    maker_rate_e8: int
    taker_rate_e8: int
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int
    stop_ticks: int = 0
    iceberg_lots: int = 0
    list_id: int = -1


class ReplaceSubmitted(Event, frozen=True, tag=102):
    """The account held top_up = min(available, new hold) as `order.hold_amount`.

    The market cancels, carries what the old order still held when it is of the same asset, and
    accepts the new one if carried + top-up covers `hold_needed`.
    """

    cancel_order_id: int
    cancel_orig_client_order_id: str
    cancel_client_order_id: str
    restriction: CancelRestriction
    mode: ReplaceMode
    hold_needed: int
    order: OrderSubmitted


class CancelRequested(Event, frozen=True, tag=103):
    account_id: int
    symbol: str
    order_id: int
    orig_client_order_id: str
    cancel_client_order_id: str
    restriction: CancelRestriction
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class CancelAllRequested(Event, frozen=True, tag=104):
    account_id: int
    symbol: str
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class AmendRequested(Event, frozen=True, tag=105):
    account_id: int
    symbol: str
    order_id: int
    orig_client_order_id: str
    new_client_order_id: str
    new_quantity_lots: int
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class RequestRefused(Event, frozen=True, tag=106):
    """The account itself refused; kept so that the same request gets the same answer."""

    account_id: int
    reason: RejectReason
    received_at_ns: int
    identity: bytes


class Deposited(Event, frozen=True, tag=107):
    account_id: int
    asset: str
    amount: int
    at_ns: int
    identity: bytes


class Withdrawn(Event, frozen=True, tag=108):
    account_id: int
    asset: str
    amount: int
    at_ns: int
    identity: bytes


class AccountFrozen(Event, frozen=True, tag=109):
    """A settlement could not be applied: only cancels and settlements until an operator acts."""

    account_id: int
    at_ns: int


# What a market consumes from an account's stream.
AccountToMarket = (
    OrderSubmitted | ReplaceSubmitted | CancelRequested | CancelAllRequested | AmendRequested
)
AccountEvent = AccountToMarket | RequestRefused | Deposited | Withdrawn | AccountFrozen
