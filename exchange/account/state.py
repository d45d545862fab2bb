"""What one account is: balances, orders, and the requests it remembers. Only fold.py writes it.

Bounds: identities_max requests within RETENTION_NS (decider.py refuses beyond), open orders as many
as the markets allow, closed orders at most those that closed within RETENTION_NS and a second. They
are the many: so a closed order is kept as its bytes, which cost neither the garbage collector nor a
snapshot anything, and only open orders are indexed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from exchange.answers import Fill
from exchange.orders import OrderState, Side
from exchange.reject import RejectReason

# The longest recvWindow (60 s) and 60 s more: a request that old is refused by its timestamp.
RETENTION_NS: Final = 120 * 10**9
# What comes within this time is forgotten at one time: so an expiry is one for many, not one each.
EXPIRY_GRAIN_NS: Final = 10**9
IDENTITIES_MAX: Final = 200_000
CANCEL_IDENTITIES_MAX: Final = 250_000  # who is overloaded must still be able to cancel

_BUY: Final = Side.BUY


@dataclass(slots=True)
class AssetBalance:
    """Minor units of one asset: free, and held by orders."""

    available: int = 0
    held: int = 0


class AccountOrder(OrderState, gc=False):
    """The account's view of one order: what clients see, and what it holds."""

    hold_asset: str
    receive_asset: str
    hold_left: int  # minor units of hold_asset still held for it
    hold_needed: int  # what it must hold when it is accepted
    hold_per_lot: int  # minor units of hold_asset each lot needs; 0 when held by quote amount
    placed_client_order_id: str  # the id it came with, once an amend changed it; before ""
    reject_reason: RejectReason
    fills: list[Fill] | None  # its fills as taker; bounded by the orders resting in one market

    def is_amount_used(self) -> bool:
        """Return whether its last fill as taker used up its quote amount."""
        if not self.fills:
            return False
        last = self.fills[-1]
        rest = self.quote_amount - self.executed_quote
        return is_amount_used(self.side, rest, last.quantity_lots, last.quote_amount)

    def as_state(self) -> OrderState:
        """Return a copy without what only the account needs, for answers and reports."""
        return OrderState(
            self.account_id,
            self.symbol,
            self.order_id,
            self.order_ref,
            self.client_order_id,
            self.side,
            self.order_type,
            self.time_in_force,
            self.price_ticks,
            self.quantity_lots,
            self.quote_amount,
            self.executed_lots,
            self.executed_quote,
            self.status,
            self.stp_mode,
            self.created_at_ns,
            self.updated_at_ns,
            self.expiry_reason,
            self.stop_ticks,
            self.iceberg_lots,
            self.list_id,
            self.prevented_lots,
        )


def is_amount_used(side: Side, rest: int, fill_lots: int, fill_quote: int) -> bool:
    """Return whether `rest` minor units of quote trade no further lot after a fill.

    A buyer's next price is not better than the fill's. A seller's may be lower, so that one
    more lot fits: unless nothing is left, only the market knows, and says so by OrderClosed.
    """
    if side == _BUY:
        return rest * fill_lots < fill_quote
    return rest == 0


decode_order = msgspec.msgpack.Decoder(AccountOrder).decode

_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_scratch: Final = bytearray(1024)


def encode_order(order: AccountOrder) -> bytes:
    """Return the order as bytes, to be kept in number."""
    # By way of a buffer: what an encoder returns takes half as much room again as it is long.
    _encode_into(order, _scratch)
    return bytes(_scratch)


class Refusal(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The account refused the request."""

    reason: RejectReason


class Transfer(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The balance right after a deposit or withdrawal."""

    asset: str
    available: int
    held: int
    at_ns: int


class Cancel(msgspec.Struct, array_like=True, tag=3):
    """A cancel, or a cancel-all, on its way to the market or done. The orders are in `closed`."""

    is_all: bool
    symbol: str
    cancel_client_order_id: str
    order_refs: list[int]  # which it closed so far


class Amend(msgspec.Struct, array_like=True, tag=4):
    symbol: str
    orig_client_order_id: str  # the order's id before; "" until the market has amended it
    order: OrderState | None  # as the amend left it


class Replace(msgspec.Struct, array_like=True, tag=5):
    order_ref: int  # the new order
    canceled_ref: int  # the old order; 0 until the market says that it canceled it
    must_stop: bool  # ReplaceMode.STOP_ON_FAILURE
    cancel_client_order_id: str


# What became of a request: the order_ref of a plain order, or one of the above.
Known = int | Refusal | Transfer | Cancel | Amend | Replace


class OrderIndex:
    """Finds the open orders of one market that it has accepted. Derived, not state."""

    __slots__ = ("by_client_id", "by_id")

    def __init__(self) -> None:
        self.by_id: dict[int, AccountOrder] = {}
        self.by_client_id: dict[str, AccountOrder] = {}  # a market has each open id once

    def add(self, order: AccountOrder) -> None:
        self.by_id[order.order_id] = order
        self.by_client_id[order.client_order_id] = order

    def remove(self, order: AccountOrder) -> None:
        del self.by_id[order.order_id]
        self.rename(order)

    def rename(self, order: AccountOrder) -> None:
        """Drop the order's present client id, before it gets another."""
        if self.by_client_id.get(order.client_order_id) is order:
            del self.by_client_id[order.client_order_id]


@dataclass(slots=True)
class Trace:
    """What the large parts of an account lost since it was captured (snapshot.Capture)."""

    closed: list[tuple[int, bytes]] = field(default_factory=list)  # forgotten, oldest first
    identities: list[tuple[bytes, Known]] = field(default_factory=list)  # the same
    changed: dict[bytes, Known] = field(default_factory=dict)  # requests as they were before


@dataclass(slots=True)
class Account:
    """One account. An order is in `orders` until it closes, then in `closed` until forgotten."""

    account_id: int
    balances: dict[str, AssetBalance] = field(default_factory=dict)
    orders: dict[int, AccountOrder] = field(default_factory=dict)  # by order_ref, pending and open
    # By order_ref, in the order of closing: what encode_order made of it.
    closed: dict[int, bytes] = field(default_factory=dict)
    identities: dict[bytes, Known] = field(default_factory=dict)  # oldest first
    # [when, identities, closed orders]: so many of the oldest of each are forgotten then.
    expiries: deque[list[int]] = field(default_factory=deque)
    next_order_ref: int = 1
    user_seq: int = 0  # of the last numbered user event
    is_frozen: bool = False
    updated_at_ns: int = 0  # the latest time of any event: the account's clock
    # Derived, not state. The queues hold the keys of their dicts: the front of a dict that is
    # emptied from there is found only by passing over all that is gone.
    index: dict[str, OrderIndex] = field(default_factory=dict, compare=False, repr=False)
    identity_queue: deque[bytes] = field(default_factory=deque, compare=False, repr=False)
    closed_queue: deque[int] = field(default_factory=deque, compare=False, repr=False)
    just_closed: AccountOrder | None = field(default=None, compare=False, repr=False)
    trace: Trace | None = field(default=None, compare=False, repr=False)  # while it is captured

    def __post_init__(self) -> None:
        self.identity_queue.extend(self.identities)
        self.closed_queue.extend(self.closed)
        for order in self.orders.values():
            if order.order_id:
                self.index_of(order.symbol).add(order)

    def index_of(self, symbol: str) -> OrderIndex:
        """Return the index of one market's open orders; a new one, kept, if there is none."""
        index = self.index.get(symbol)
        if index is None:
            index = self.index[symbol] = OrderIndex()
        return index

    def order(self, order_ref: int) -> AccountOrder | None:
        """Return the order, open or closed; None when unknown or forgotten."""
        return self.orders.get(order_ref) or self.closed_order(order_ref)

    def closed_order(self, order_ref: int) -> AccountOrder | None:
        """Return the closed order, to be read only; None when open, unknown or forgotten."""
        data = self.closed.get(order_ref)
        if data is None:
            return None
        just_closed = self.just_closed
        if just_closed is not None and just_closed.order_ref == order_ref:
            return just_closed
        return decode_order(data)

    def closed_orders(self) -> Iterator[AccountOrder]:
        """Yield copies of the closed orders that are still kept, in the order of closing."""
        return map(decode_order, self.closed.values())

    def available(self, asset: str) -> int:
        """Return the free minor units of `asset`."""
        balance = self.balances.get(asset)
        return balance.available if balance is not None else 0
