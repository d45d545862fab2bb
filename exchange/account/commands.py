"""What an account can be asked. A command may be refused; an event (events.py) is a fact.

`identity` tells which request this is: sent again, it gets the first answer again. `reply_to` names
the host that waits for the answer under `request_id` (0: nobody waits).
"""

import enum

from exchange.message import Command
from exchange.orders import (
    CancelRestriction,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)


class PlaceOrder(Command, frozen=True, tag=401):
    account_id: int
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int  # 0 for MARKET
    quantity_lots: int  # 0 when by quote amount
    quote_amount: int  # minor units; 0 when by quantity
    client_order_id: str
    stp_mode: SelfTradePrevention
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int
    stop_ticks: int = 0
    iceberg_lots: int = 0
    list_id: int = -1


class CancelOrder(Command, frozen=True, tag=402):
    """Cancel by `order_id`, or by `orig_client_order_id` when `order_id` is 0."""

    account_id: int
    symbol: str
    order_id: int
    orig_client_order_id: str
    cancel_client_order_id: str  # the id of this cancel
    restriction: CancelRestriction
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class CancelAllOrders(Command, frozen=True, tag=403):
    account_id: int
    symbol: str
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class ReplaceOrder(Command, frozen=True, tag=404):
    """Cancel one order and place another, in one step of the market. `place` has the identity."""

    cancel_order_id: int
    cancel_orig_client_order_id: str
    cancel_client_order_id: str
    restriction: CancelRestriction
    mode: ReplaceMode
    place: PlaceOrder


class AmendOrder(Command, frozen=True, tag=405):
    """Reduce an order's quantity and keep its place in the queue."""

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


class Deposit(Command, frozen=True, tag=406):
    account_id: int
    asset: str
    amount: int  # minor units
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class Withdraw(Command, frozen=True, tag=407):
    account_id: int
    asset: str
    amount: int  # minor units
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class ReadKind(enum.IntEnum):
    BALANCES = 1
    ORDER = 2  # one order by order_id, or by client_order_id when order_id is 0
    OPEN_ORDERS = 3  # of `symbol`, or of all markets when it is ""
    OUTCOME = 4  # what became of the request `identity`: its first answer again
    POSITION = 5  # only how far this shard is, to wait for the cold store


class ReadAccount(Command, frozen=True, tag=408):
    """Ask, changing nothing. The answer reflects at least the positions in `after`."""

    account_id: int
    kind: ReadKind
    symbol: str
    order_id: int
    client_order_id: str
    identity: bytes
    after: tuple[tuple[str, int], ...]  # (market shard, number of its message to this shard)
    reply_to: str
    request_id: int


AccountCommand = (
    PlaceOrder
    | CancelOrder
    | CancelAllOrders
    | ReplaceOrder
    | AmendOrder
    | Deposit
    | Withdraw
    | ReadAccount
)
