"""What happened in a market. Those that name an account are the messages to its shard."""

from exchange.instrument import Instrument, MarketStatus
from exchange.message import Event
from exchange.orders import (
    ExpiryReason,
    OrderStatus,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from exchange.reject import RejectReason


class OrderAccepted(Event, frozen=True, tag=202):
    """The order passed the instrument's rules; it rests, trades or ends by the events after it."""

    order_id: int
    account_id: int
    order_ref: int
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    client_order_id: str
    stp_mode: SelfTradePrevention
    hold_per_lot: int
    maker_rate_e8: int
    taker_rate_e8: int
    at_ns: int
    stop_ticks: int = 0
    iceberg_lots: int = 0
    list_id: int = -1


class OrderRejected(Event, frozen=True, tag=203):
    """Refused after the hold: the account releases it."""

    account_id: int
    order_ref: int
    symbol: str
    reason: RejectReason
    at_ns: int


class TradeExecuted(Event, frozen=True, tag=204):
    """One fill. The price is the resting order's. Commissions are in what each side receives:
    the buyer's in base, the seller's in quote minor units, rounded down."""

    trade_id: int
    symbol: str
    price_ticks: int
    quantity_lots: int
    base_amount: int
    quote_amount: int
    taker_side: Side
    taker_account_id: int
    taker_order_id: int
    taker_order_ref: int
    taker_commission: int
    maker_account_id: int
    maker_order_id: int
    maker_order_ref: int
    maker_commission: int
    at_ns: int


class OrderClosed(Event, frozen=True, tag=205):
    """The order ended other than by its last fill; what it still holds is released or carried.

    A market order by quote amount whose rest is worth less than one lot may end so as FILLED.
    """

    order_id: int
    account_id: int
    order_ref: int
    symbol: str
    status: OrderStatus  # CANCELED, EXPIRED or EXPIRED_IN_MATCH; or FILLED
    expiry_reason: ExpiryReason
    cancel_client_order_id: str
    carried_to_ref: (
        int  # a replacement by this order_ref of the same account takes the hold; 0: none
    )
    identity: bytes  # of the request that canceled it; empty when none did
    at_ns: int


class OrderAmended(Event, frozen=True, tag=206):
    order_id: int
    account_id: int
    order_ref: int
    symbol: str
    old_quantity_lots: int
    new_quantity_lots: int
    orig_client_order_id: str
    new_client_order_id: str
    identity: bytes
    at_ns: int


class MarketOpened(Event, frozen=True, tag=207):
    instrument: Instrument
    at_ns: int


class InstrumentChanged(Event, frozen=True, tag=208):
    instrument: Instrument
    at_ns: int


class MarketStatusChanged(Event, frozen=True, tag=209):
    symbol: str
    status: MarketStatus
    at_ns: int


# What an account's shard consumes from a market's stream.
MarketToAccount = OrderAccepted | OrderRejected | TradeExecuted | OrderClosed | OrderAmended
MarketEvent = MarketToAccount | MarketOpened | InstrumentChanged | MarketStatusChanged
