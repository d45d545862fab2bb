"""Every movement of money as double entry: what an event debits and credits, zero in sum per asset.

Written from the rules of DESIGN section 6, not from fold.py: tests compare the two.
"""

import enum
from collections.abc import Callable
from typing import Any, Final

import msgspec

from exchange.account.events import (
    AccountEvent,
    Deposited,
    OrderSubmitted,
    ReplaceSubmitted,
    Withdrawn,
)
from exchange.account.state import Account, AccountOrder, is_amount_used
from exchange.market.events import (
    MarketToAccount,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.orders import Side


class LedgerAccount(enum.IntEnum):
    AVAILABLE = 1  # a client's free money
    HELD = 2  # a client's money, held by orders
    COMMISSION = 3  # the exchange's income
    CLEARING = 4  # between the two sides of a trade
    EXTERNAL = 5  # the outside world; what it gave stands here negative


class Posting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line. `amount` is in minor units: positive credits, negative debits."""

    ledger_account: LedgerAccount
    account_id: int  # of the client; 0 for the exchange's own
    asset: str
    amount: int


_AVAILABLE: Final = LedgerAccount.AVAILABLE
_HELD: Final = LedgerAccount.HELD
_COMMISSION: Final = LedgerAccount.COMMISSION
_CLEARING: Final = LedgerAccount.CLEARING
_EXTERNAL: Final = LedgerAccount.EXTERNAL


def postings(account: Account, event: AccountEvent | MarketToAccount) -> tuple[Posting, ...]:
    """Return what `event` moves for `account`, which has not folded it in yet.

    How much of a hold becomes free is the account's knowledge; all else is in the event.
    """
    post = _POSTS.get(type(event))
    return tuple(line for line in post(account, event) if line.amount) if post is not None else ()


def _move(account: Account, asset: str, hold: int) -> list[Posting]:
    """Return the lines that hold `hold` minor units, or free them when it is negative."""
    account_id = account.account_id
    return [
        Posting(_AVAILABLE, account_id, asset, -hold),
        Posting(_HELD, account_id, asset, hold),
    ]


def _submitted(account: Account, event: OrderSubmitted) -> list[Posting]:
    return _move(account, event.hold_asset, event.hold_amount)


def _replace_submitted(account: Account, event: ReplaceSubmitted) -> list[Posting]:
    return _submitted(account, event.order)


def _deposited(account: Account, event: Deposited) -> list[Posting]:
    return _transfer(account, event.asset, event.amount)


def _withdrawn(account: Account, event: Withdrawn) -> list[Posting]:
    return _transfer(account, event.asset, -event.amount)


def _transfer(account: Account, asset: str, delta: int) -> list[Posting]:
    return [
        Posting(_EXTERNAL, 0, asset, -delta),
        Posting(_AVAILABLE, account.account_id, asset, delta),
    ]


def _accepted(account: Account, event: OrderAccepted) -> list[Posting]:
    order = account.orders[event.order_ref]
    return _move(account, order.hold_asset, order.hold_needed - order.hold_left)


def _rejected(account: Account, event: OrderRejected) -> list[Posting]:
    order = account.orders[event.order_ref]
    return _move(account, order.hold_asset, -order.hold_left)


def _closed(account: Account, event: OrderClosed) -> list[Posting]:
    order = account.orders.get(event.order_ref)
    if order is None:
        return []
    heir = account.orders.get(event.carried_to_ref)
    if heir is not None and heir.hold_asset == order.hold_asset:
        return []
    return _move(account, order.hold_asset, -order.hold_left)


def _amended(account: Account, event: OrderAmended) -> list[Posting]:
    order = account.orders[event.order_ref]
    fewer_lots = event.old_quantity_lots - event.new_quantity_lots
    return _move(account, order.hold_asset, -order.hold_per_lot * fewer_lots)


def _traded(account: Account, event: TradeExecuted) -> list[Posting]:
    lines: list[Posting] = []
    if event.taker_account_id == account.account_id:
        order = account.orders[event.taker_order_ref]
        lines += _side(account, order, event, event.taker_commission)
    if event.maker_account_id == account.account_id:
        order = account.orders[event.maker_order_ref]
        lines += _side(account, order, event, event.maker_commission)
    return lines


def _side(
    account: Account, order: AccountOrder, event: TradeExecuted, commission: int
) -> list[Posting]:
    is_buyer = order.side == Side.BUY
    base, quote = event.base_amount, event.quote_amount
    paid, received = (quote, base) if is_buyer else (base, quote)
    account_id = account.account_id
    return [
        Posting(_HELD, account_id, order.hold_asset, -paid),
        Posting(_CLEARING, 0, order.hold_asset, paid),
        Posting(_CLEARING, 0, order.receive_asset, -received),
        Posting(_AVAILABLE, account_id, order.receive_asset, received - commission),
        Posting(_COMMISSION, 0, order.receive_asset, commission),
        *_move(account, order.hold_asset, -_freed(order, event, paid)),
    ]


def _freed(order: AccountOrder, event: TradeExecuted, paid: int) -> int:
    """Return how much more of the hold a fill frees than it pays."""
    if order.quantity_lots:
        freed = order.hold_per_lot * event.quantity_lots - paid
        is_last = order.executed_lots + event.quantity_lots == order.quantity_lots
        return order.hold_left - paid if is_last else freed
    rest = order.quote_amount - order.executed_quote - event.quote_amount
    is_last = is_amount_used(order.side, rest, event.quantity_lots, event.quote_amount)
    return order.hold_left - paid if is_last else 0


_POSTS: Final[dict[type, Callable[[Account, Any], list[Posting]]]] = {
    OrderSubmitted: _submitted,
    ReplaceSubmitted: _replace_submitted,
    Deposited: _deposited,
    Withdrawn: _withdrawn,
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    OrderClosed: _closed,
    OrderAmended: _amended,
    TradeExecuted: _traded,
}
