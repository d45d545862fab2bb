"""What hosts tell gateways: answers to requests, user events, market data."""

import enum

import msgspec

from exchange.message import Message
from exchange.orders import OrderState, OrderStatus
from exchange.reject import RejectReason

# ------------------------------------------------------------------ answers


class Fill(Message, frozen=True):
    trade_id: int
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    commission: int  # minor units of what this side received


class Refused(Message, frozen=True, tag=601):
    request_id: int
    reason: RejectReason
    after: int = 0  # as in OrderPlaced


class OrderPlaced(Message, frozen=True, tag=602):
    """The market's answer after the first matching pass."""

    request_id: int
    shard: str  # the market's
    after: int  # the last number of this market's messages to the account's shard so far
    symbol: str
    order_id: int
    client_order_id: str
    status: OrderStatus
    expiry_reason: int
    executed_lots: int
    executed_quote: int
    at_ns: int
    fills: tuple[Fill, ...]


class OrderCanceled(Message, frozen=True, tag=603):
    request_id: int
    shard: str
    after: int
    cancel_client_order_id: str
    order: OrderState
    at_ns: int


class OrdersCanceled(Message, frozen=True, tag=604):
    request_id: int
    shard: str
    after: int
    orders: tuple[OrderState, ...]
    at_ns: int


class OrderReplaced(Message, frozen=True, tag=605):
    """Both halves; a refused half is its reason, and `placed` is None if not accepted."""

    request_id: int
    shard: str
    after: int
    cancel_reason: RejectReason  # NONE: canceled
    canceled: OrderState | None
    cancel_client_order_id: str
    place_reason: RejectReason  # NONE: accepted; REPLACE_NOT_ATTEMPTED
    placed: OrderPlaced | None
    at_ns: int


class OrderAmendedAnswer(Message, frozen=True, tag=606):
    request_id: int
    shard: str
    after: int
    orig_client_order_id: str
    order: OrderState
    at_ns: int


class Transferred(Message, frozen=True, tag=607):
    """A deposit or withdrawal is done."""

    request_id: int
    asset: str
    available: int
    held: int
    at_ns: int


class Balance(Message, frozen=True):
    asset: str
    available: int
    held: int


class AccountState(Message, frozen=True, tag=608):
    request_id: int
    account_id: int
    balances: tuple[Balance, ...]
    updated_at_ns: int


class Orders(Message, frozen=True, tag=609):
    """Answer to reads of orders; empty when there is none."""

    request_id: int
    orders: tuple[OrderState, ...]
    shard: str  # the account's, with `seq` the position that this answer reflects
    seq: int


class OutcomePending(Message, frozen=True, tag=610):
    """The request is known and its outcome is not, or (`is_known` False) it never arrived."""

    request_id: int
    is_known: bool
    shard: str
    seq: int


class DirectoryDone(Message, frozen=True, tag=611):
    """A directory command was obeyed; `created_id` is the new user's account id, else 0."""

    request_id: int
    created_id: int


Answer = (
    Refused
    | OrderPlaced
    | OrderCanceled
    | OrdersCanceled
    | OrderReplaced
    | OrderAmendedAnswer
    | Transferred
    | AccountState
    | Orders
    | OutcomePending
    | DirectoryDone
)

# ------------------------------------------------------------------ user events


class ExecutionType(enum.IntEnum):
    NEW = 1
    CANCELED = 2
    REPLACED = 3
    REJECTED = 4
    TRADE = 5
    EXPIRED = 6
    TRADE_PREVENTION = 7


class ExecutionReport(Message, frozen=True, tag=701):
    account_id: int
    user_seq: int  # dense per account, so that a client can resume without loss
    execution_type: ExecutionType
    order: OrderState
    client_order_id: str  # on a cancel the cancel's id
    orig_client_order_id: str  # on a cancel or amend the order's id, else ""
    trade_id: int  # -1: none
    last_ticks: int
    last_lots: int
    last_quote: int
    commission: int
    commission_asset: str  # "": none
    is_maker: bool
    reason: RejectReason
    at_ns: int


class AccountPosition(Message, frozen=True, tag=702):
    account_id: int
    user_seq: int
    balances: tuple[Balance, ...]
    at_ns: int


class BalanceChanged(Message, frozen=True, tag=703):
    """A deposit or withdrawal."""

    account_id: int
    user_seq: int
    asset: str
    delta: int
    at_ns: int


UserEvent = ExecutionReport | AccountPosition | BalanceChanged

# ------------------------------------------------------------------ market data


class PublicTrade(Message, frozen=True):
    trade_id: int
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    at_ns: int
    is_buyer_maker: bool


class Candle(msgspec.Struct, array_like=True):
    """One minute of trading. Prices in ticks, volumes in lots and quote minor units."""

    open_at_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int
    volume_quote: int
    taker_buy_lots: int
    taker_buy_quote: int
    trades: int
    first_trade_id: int  # -1: none
    last_trade_id: int


class MarketUpdate(Message, frozen=True, tag=801):
    """What one batch changed: absolute quantities of levels, and the trades."""

    symbol: str
    first_update_id: int  # one more than the last update's last_update_id
    last_update_id: int
    levels: tuple[tuple[int, int, int], ...]  # (side, price ticks, lots; 0 removes the level)
    trades: tuple[PublicTrade, ...]
    at_ns: int


class MarketFull(Message, frozen=True, tag=802):
    """Everything a subscriber needs to start from, or to start again after a takeover."""

    symbol: str
    update_id: int
    bids: tuple[tuple[int, int], ...]  # (price ticks, lots), best first
    asks: tuple[tuple[int, int], ...]
    trades: tuple[PublicTrade, ...]  # the most recent, oldest first
    candle: Candle | None  # the running minute
    at_ns: int


MarketDataMessage = MarketUpdate | MarketFull
