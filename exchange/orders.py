"""Orders as every part of the system sees them. State names follow FIX OrdStatus (tag 39)."""

import enum

import msgspec


class Side(enum.IntEnum):
    BUY = 1
    SELL = 2


class OrderType(enum.IntEnum):
    """Values above MARKET are known on the wire; the market refuses them until it has them."""

    LIMIT = 1
    LIMIT_MAKER = 2
    MARKET = 3
    STOP_LOSS = 4
    STOP_LOSS_LIMIT = 5
    TAKE_PROFIT = 6
    TAKE_PROFIT_LIMIT = 7


class TimeInForce(enum.IntEnum):
    GTC = 1
    IOC = 2
    FOK = 3


class OrderStatus(enum.IntEnum):
    PENDING = 0  # held by the account, the market has not answered yet; never shown to a client
    NEW = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELED = 4
    REJECTED = 5
    EXPIRED = 6
    EXPIRED_IN_MATCH = 7


CLOSED = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.EXPIRED_IN_MATCH,
    }
)


class ExpiryReason(enum.IntEnum):
    """Why an order ended without its owner asking; 0 when it did not."""

    NONE = 0
    UNFILLED_IOC_QUANTITY_EXPIRED = 1
    UNFILLED_FOK_ORDER_EXPIRED = 2
    INSUFFICIENT_LIQUIDITY = 3
    EXECUTION_RULE_PRICE_RANGE_EXCEEDED = 4
    EXCHANGE_CANCELED = 5


class SelfTradePrevention(enum.IntEnum):
    NONE = 0
    EXPIRE_TAKER = 1
    EXPIRE_MAKER = 2
    EXPIRE_BOTH = 3


STP_MODES_DONE = frozenset({SelfTradePrevention.NONE})  # what matching carries out so far


class CancelRestriction(enum.IntEnum):
    NONE = 0
    ONLY_NEW = 1
    ONLY_PARTIALLY_FILLED = 2


class ReplaceMode(enum.IntEnum):
    STOP_ON_FAILURE = 1
    ALLOW_FAILURE = 2


class OrderState(msgspec.Struct, array_like=True):
    """One order. The account's and the market's own orders extend it."""

    account_id: int
    symbol: str
    order_id: int  # 0 until the market has accepted it
    order_ref: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int  # 0 for MARKET
    quantity_lots: int  # 0 for MARKET by quote amount
    quote_amount: int  # minor units asked for by MARKET by quote amount, else 0
    executed_lots: int
    executed_quote: int  # minor units
    status: OrderStatus
    stp_mode: SelfTradePrevention
    created_at_ns: int
    updated_at_ns: int
    expiry_reason: ExpiryReason
    # What stops, icebergs, lists and self-trade prevention will use.
    stop_ticks: int
    iceberg_lots: int
    list_id: int  # -1: not in a list
    prevented_lots: int

    @property
    def is_open(self) -> bool:
        return self.status not in CLOSED
