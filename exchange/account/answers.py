"""What an account answers: refusals, transfers, reads, and the first answer again.

What is on its way to a market is answered by the market. Called after the events were folded in.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from exchange.account.closed import find_by_client_id, find_by_id
from exchange.account.commands import AccountCommand, ReadAccount, ReadKind, ReplaceOrder
from exchange.account.events import AccountEvent, Deposited, RequestRefused, Withdrawn
from exchange.account.state import (
    Account,
    AccountOrder,
    Amend,
    Cancel,
    Known,
    OrderIndex,
    Refusal,
    Replace,
    Transfer,
)
from exchange.answers import (
    AccountState,
    Answer,
    Balance,
    OrderAmendedAnswer,
    OrderCanceled,
    OrderPlaced,
    OrderReplaced,
    Orders,
    OrdersCanceled,
    OutcomePending,
    Refused,
    Transferred,
)
from exchange.ids import market_shard
from exchange.orders import ExpiryReason, OrderState, OrderStatus
from exchange.reject import RejectReason

_PENDING: Final = OrderStatus.PENDING
_NO_ORDERS: Final = OrderIndex()


def answer(
    account: Account,
    command: AccountCommand,
    events: Sequence[AccountEvent],
    shard: str,
    seq: int,
) -> Answer | None:
    """Return the answer to `command` that decided `events`; None when the market answers.

    `shard` is the account's, `seq` the position of its stream that the answer reflects. A repeated
    command gets the first answer if that is certain here, else OutcomePending: its sender asks for
    the outcome (ReadKind.OUTCOME), which waits for the market.
    """
    if events:
        return _of_event(account, command, events[0])
    if type(command) is ReadAccount:
        return _READERS[command.kind](account, command, shard, seq)
    request = command.place if isinstance(command, ReplaceOrder) else command
    known = account.identities.get(request.identity)
    if known is None:
        return None
    outcome = _outcome(account, known, request.request_id, is_synced=False)
    return outcome or OutcomePending(request.request_id, True, shard, seq)


def _of_event(account: Account, command: AccountCommand, event: AccountEvent) -> Answer | None:
    request = command.place if isinstance(command, ReplaceOrder) else command
    if type(event) is RequestRefused:
        return Refused(request.request_id, event.reason)
    if type(event) is Deposited or type(event) is Withdrawn:
        balance = account.balances[event.asset]
        return Transferred(
            request.request_id, event.asset, balance.available, balance.held, event.at_ns
        )
    return None


# ------------------------------------------------------------------ reads


def _balances(account: Account, command: ReadAccount, _shard: str, _seq: int) -> Answer:
    balances = tuple(
        Balance(asset, balance.available, balance.held)
        for asset, balance in sorted(account.balances.items())
    )
    return AccountState(command.request_id, account.account_id, balances, account.updated_at_ns)


def _order(account: Account, command: ReadAccount, shard: str, seq: int) -> Answer:
    index = account.index.get(command.symbol)
    if index is None:  # of this market no order was ever accepted, or none is kept
        index = _NO_ORDERS
    if command.order_id:
        order = index.by_id.get(command.order_id)
        if order is None:
            order = find_by_id(account, command.symbol, command.order_id)
        expected = command.client_order_id
        if order is not None and expected and order.client_order_id != expected:
            return Refused(command.request_id, RejectReason.ORDER_ID_MISMATCH)
    else:
        order = index.by_client_id.get(command.client_order_id)
        if order is None:
            order = find_by_client_id(account, command.symbol, command.client_order_id)
    found = (order.as_state(),) if order is not None else ()
    return Orders(command.request_id, found, shard, seq)


def _open_orders(account: Account, command: ReadAccount, shard: str, seq: int) -> Answer:
    orders = tuple(
        order.as_state()
        for order in account.orders.values()
        if order.status is not _PENDING and command.symbol in ("", order.symbol)
    )
    return Orders(command.request_id, orders, shard, seq)


def _outcome_read(account: Account, command: ReadAccount, shard: str, seq: int) -> Answer:
    known = account.identities.get(command.identity)
    if known is None:
        return OutcomePending(command.request_id, False, shard, seq)
    # A read that names a market, and any read of an account's open orders, is served only after
    # what that market did with all earlier requests was folded in.
    is_synced = not isinstance(known, Cancel | Amend) or command.symbol == known.symbol
    first = _outcome(account, known, command.request_id, is_synced=is_synced)
    if first is None:
        return OutcomePending(command.request_id, True, shard, seq)
    return first


def _position(_account: Account, command: ReadAccount, shard: str, seq: int) -> Answer:
    return Orders(command.request_id, (), shard, seq)


# ------------------------------------------------------------------ the first answer again


def _outcome(account: Account, known: Known, request_id: int, *, is_synced: bool) -> Answer | None:
    """Return the first answer; None when it is not known yet, or may not be complete."""
    if isinstance(known, int):
        return _placed_or_refused(account, known, request_id, is_synced)
    if isinstance(known, Refusal):
        return Refused(request_id, known.reason)
    if isinstance(known, Transfer):
        return Transferred(request_id, known.asset, known.available, known.held, known.at_ns)
    if isinstance(known, Cancel):
        return _canceled(account, known, request_id, is_synced)
    if isinstance(known, Amend):
        return _amended(known, request_id, is_synced)
    return _replaced(account, known, request_id, is_synced)


def _placed_or_refused(
    account: Account, order_ref: int, request_id: int, is_synced: bool
) -> Answer | None:
    order = account.order(order_ref)
    if order is None or not _is_complete(order, is_synced):
        return None
    if order.status == OrderStatus.REJECTED:
        return Refused(request_id, order.reject_reason)
    return _placed(order, request_id)


def _is_complete(order: AccountOrder, is_synced: bool) -> bool:
    """Return whether all of the first matching pass is known.

    The pass of an order still open may be on its way in part, unless the reader waited for it.
    """
    return not order.is_open or (is_synced and order.status is not _PENDING)


def _placed(order: AccountOrder, request_id: int) -> OrderPlaced:
    fills = tuple(order.fills or ())
    lots = sum(fill.quantity_lots for fill in fills)
    status, expiry_reason = _after_first_pass(order, lots)
    return OrderPlaced(
        request_id,
        market_shard(order.symbol),
        0,  # all that the market said of it until then is folded in
        order.symbol,
        order.order_id,
        order.placed_client_order_id or order.client_order_id,
        status,
        expiry_reason,
        lots,
        sum(fill.quote_amount for fill in fills),
        order.created_at_ns,
        fills,
    )


def _after_first_pass(order: AccountOrder, taken_lots: int) -> tuple[OrderStatus, ExpiryReason]:
    """Return what the order was when its first pass ended; it may have rested and gone on since."""
    is_expired = order.status in (OrderStatus.EXPIRED, OrderStatus.EXPIRED_IN_MATCH)
    if is_expired and order.updated_at_ns == order.created_at_ns:  # one pass, one time
        return order.status, order.expiry_reason
    if order.quantity_lots in (0, taken_lots):
        return order.status, ExpiryReason.NONE
    if taken_lots:
        return OrderStatus.PARTIALLY_FILLED, ExpiryReason.NONE
    return OrderStatus.NEW, ExpiryReason.NONE


def _canceled(account: Account, cancel: Cancel, request_id: int, is_synced: bool) -> Answer | None:
    orders: list[OrderState] = []
    for order_ref in cancel.order_refs:
        order = account.closed_order(order_ref)
        if order is not None:
            orders.append(order.as_state())
    if not orders:
        # A market says nothing to the account of what it refused; it did say all it had to say.
        return Refused(request_id, RejectReason.UNKNOWN_ORDER) if is_synced else None
    shard, at_ns = market_shard(cancel.symbol), orders[0].updated_at_ns
    if not cancel.is_all:
        client_order_id = cancel.cancel_client_order_id
        return OrderCanceled(request_id, shard, 0, client_order_id, orders[0], at_ns)
    if not is_synced:
        return None
    return OrdersCanceled(request_id, shard, 0, tuple(orders), at_ns)


def _amended(amend: Amend, request_id: int, is_synced: bool) -> Answer | None:
    order = amend.order
    if order is None:
        return Refused(request_id, RejectReason.UNKNOWN_ORDER) if is_synced else None
    shard = market_shard(amend.symbol)
    orig_client_order_id = amend.orig_client_order_id
    return OrderAmendedAnswer(
        request_id, shard, 0, orig_client_order_id, order, order.updated_at_ns
    )


def _replaced(
    account: Account, replace: Replace, request_id: int, is_synced: bool
) -> Answer | None:
    order = account.order(replace.order_ref)
    if order is None or not _is_complete(order, is_synced):
        return None
    canceled = account.closed_order(replace.canceled_ref)
    cancel_reason = RejectReason.NONE if canceled is not None else RejectReason.UNKNOWN_ORDER
    is_placed = order.status != OrderStatus.REJECTED
    was_attempted = order.reject_reason is not RejectReason.REPLACE_NOT_ATTEMPTED
    if canceled is None and not is_placed and replace.must_stop and was_attempted:
        return Refused(request_id, order.reject_reason)  # its filters stopped it before either half
    return OrderReplaced(
        request_id,
        market_shard(order.symbol),
        0,
        cancel_reason,
        canceled.as_state() if canceled is not None else None,
        replace.cancel_client_order_id,
        order.reject_reason,
        _placed(order, request_id) if is_placed else None,
        order.created_at_ns if is_placed else order.updated_at_ns,
    )


_READERS: Final[dict[ReadKind, Callable[[Account, Any, str, int], Answer]]] = {
    ReadKind.BALANCES: _balances,
    ReadKind.ORDER: _order,
    ReadKind.OPEN_ORDERS: _open_orders,
    ReadKind.OUTCOME: _outcome_read,
    ReadKind.POSITION: _position,
}
