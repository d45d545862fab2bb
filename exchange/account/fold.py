"""Fold one event into an account: its own, or a market's that concerns it. Never refuses.

Live trading and recovery run this. Money only moves between `available` and `held`, in by what a
trade gives or a deposit, out by what a trade takes or a withdrawal. An event that contradicts the
account raises InvariantError before anything was changed by it for that side.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

from exchange.account.events import (
    AccountEvent,
    AccountFrozen,
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    Deposited,
    OrderSubmitted,
    ReplaceSubmitted,
    RequestRefused,
    Withdrawn,
)
from exchange.account.state import (
    EXPIRY_GRAIN_NS,
    RETENTION_NS,
    Account,
    AccountOrder,
    Amend,
    AssetBalance,
    Cancel,
    Known,
    Refusal,
    Replace,
    Transfer,
    encode_order,
    is_amount_used,
)
from exchange.answers import Fill
from exchange.errors import InvariantError
from exchange.market.events import (
    MarketToAccount,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.orders import ExpiryReason, OrderStatus, ReplaceMode, Side
from exchange.reject import RejectReason

_BUY: Final = Side.BUY
_PENDING: Final = OrderStatus.PENDING
_NEW: Final = OrderStatus.NEW
_PARTIALLY_FILLED: Final = OrderStatus.PARTIALLY_FILLED
_FILLED: Final = OrderStatus.FILLED
_REJECTED: Final = OrderStatus.REJECTED
_NO_EXPIRY: Final = ExpiryReason.NONE
_NO_REASON: Final = RejectReason.NONE
# An event adds at most one request and two closed orders, so forgetting this many of each keeps
# up, and none takes long.
_FORGET_PER_EVENT_MAX: Final = 4
_KEEP_NS: Final = RETENTION_NS + EXPIRY_GRAIN_NS


def evolve(account: Account, event: AccountEvent | MarketToAccount) -> None:
    """Apply `event` in place. A trade between two accounts is given to each; a self-trade once.

    Raises:
        InvariantError: account and event contradict each other.
    """
    _HANDLERS[type(event)](account, event)


# ------------------------------------------------------------------ the account's own events


def _submitted(account: Account, event: OrderSubmitted) -> None:
    _remember(account, event.identity, event.order_ref, event.received_at_ns)
    _add_order(account, event, event.hold_amount)


def _replace_submitted(account: Account, event: ReplaceSubmitted) -> None:
    order = event.order
    must_stop = event.mode is ReplaceMode.STOP_ON_FAILURE
    replace = Replace(order.order_ref, 0, must_stop, event.cancel_client_order_id)
    _remember(account, order.identity, replace, order.received_at_ns)
    _add_order(account, order, event.hold_needed)


def _add_order(account: Account, event: OrderSubmitted, hold_needed: int) -> None:
    order_ref, asset, amount = event.order_ref, event.hold_asset, event.hold_amount
    if order_ref != account.next_order_ref:
        raise InvariantError(order_ref=order_ref, next_order_ref=account.next_order_ref)
    if amount:
        balance = account.balances.get(asset)
        if balance is None or not 0 < amount <= balance.available:
            raise InvariantError(order_ref=order_ref, asset=asset, hold_amount=amount)
        balance.available -= amount
        balance.held += amount
    account.next_order_ref = order_ref + 1
    symbol, client_order_id = event.symbol, event.client_order_id
    # A symbol is base and quote, one after the other, so the other asset needs no look-up.
    is_buy = event.side == _BUY
    receive_asset = symbol.removesuffix(asset) if is_buy else symbol.removeprefix(asset)
    account.orders[order_ref] = AccountOrder(
        account.account_id,
        symbol,
        0,
        order_ref,
        client_order_id,
        event.side,
        event.order_type,
        event.time_in_force,
        event.price_ticks,
        event.quantity_lots,
        event.quote_amount,
        0,
        0,
        _PENDING,
        event.stp_mode,
        event.received_at_ns,
        event.received_at_ns,
        _NO_EXPIRY,
        event.stop_ticks,
        event.iceberg_lots,
        event.list_id,
        0,
        asset,
        receive_asset,
        amount,
        hold_needed,
        event.hold_per_lot,
        "",
        _NO_REASON,
        None,
    )


def _cancel_requested(account: Account, event: CancelRequested) -> None:
    cancel = Cancel(False, event.symbol, event.cancel_client_order_id, [])
    _remember(account, event.identity, cancel, event.received_at_ns)


def _cancel_all_requested(account: Account, event: CancelAllRequested) -> None:
    _remember(account, event.identity, Cancel(True, event.symbol, "", []), event.received_at_ns)


def _amend_requested(account: Account, event: AmendRequested) -> None:
    _remember(account, event.identity, Amend(event.symbol, "", None), event.received_at_ns)


def _refused(account: Account, event: RequestRefused) -> None:
    if event.reason == RejectReason.OVERLOADED:
        # Not remembered: the memory of requests is what is full. Sent again, it may succeed.
        _advance(account, event.received_at_ns)
        return
    _remember(account, event.identity, Refusal(event.reason), event.received_at_ns)


def _deposited(account: Account, event: Deposited) -> None:
    _transfer(account, event, event.amount)


def _withdrawn(account: Account, event: Withdrawn) -> None:
    _transfer(account, event, -event.amount)


def _transfer(account: Account, event: Deposited | Withdrawn, delta: int) -> None:
    balance = _balance(account, event.asset)
    if event.amount <= 0 or balance.available + delta < 0:
        raise InvariantError(asset=event.asset, available=balance.available, delta=delta)
    balance.available += delta
    account.user_seq += 1
    transfer = Transfer(event.asset, balance.available, balance.held, event.at_ns)
    _remember(account, event.identity, transfer, event.at_ns)


def _frozen(account: Account, event: AccountFrozen) -> None:
    account.is_frozen = True
    _advance(account, event.at_ns)


# ------------------------------------------------------------------ what markets say


def _accepted(account: Account, event: OrderAccepted) -> None:
    order = account.orders.get(event.order_ref)
    if order is None or order.status is not _PENDING:
        raise InvariantError(account_id=account.account_id, order_ref=event.order_ref)
    excess = order.hold_left - order.hold_needed
    if excess:  # only a replacement's: top-up and what was carried are more than it needs
        if excess < 0:
            raise InvariantError(order_ref=event.order_ref, hold_missing=-excess)
        _release(account, order, excess)
    order.order_id = event.order_id
    order.status = _NEW
    order.created_at_ns = order.updated_at_ns = event.at_ns
    index = account.index.get(event.symbol) or account.index_of(event.symbol)
    index.add(order)
    account.user_seq += 1
    _advance(account, event.at_ns)


def _rejected(account: Account, event: OrderRejected) -> None:
    order = account.orders.get(event.order_ref)
    if order is None or order.status is not _PENDING:
        raise InvariantError(account_id=account.account_id, order_ref=event.order_ref)
    order.reject_reason = event.reason
    order.updated_at_ns = event.at_ns
    _close(account, order, _REJECTED, event.at_ns)
    account.user_seq += 1


def _traded(account: Account, event: TradeExecuted) -> None:
    account_id = account.account_id
    is_taker, is_maker = event.taker_account_id == account_id, event.maker_account_id == account_id
    if not (is_taker or is_maker):
        raise InvariantError(account_id=account_id, trade_id=event.trade_id)
    if is_taker:
        order = account.orders.get(event.taker_order_ref)
        if order is None or order.order_id != event.taker_order_id:
            raise InvariantError(account_id=account_id, order_ref=event.taker_order_ref)
        commission = event.taker_commission
        fill = Fill(
            event.trade_id, event.price_ticks, event.quantity_lots, event.quote_amount, commission
        )
        if order.fills is None:
            order.fills = [fill]
        else:
            order.fills.append(fill)
        _fill(account, order, event, commission)
    if is_maker:
        order = account.orders.get(event.maker_order_ref)
        if order is None or order.order_id != event.maker_order_id:
            raise InvariantError(account_id=account_id, order_ref=event.maker_order_ref)
        _fill(account, order, event, event.maker_commission)


def _fill(account: Account, order: AccountOrder, event: TradeExecuted, commission: int) -> None:
    """Settle one side: the hold pays, what is received less the commission becomes available."""
    quote_amount = event.quote_amount
    if order.side == _BUY:
        spent, received = quote_amount, event.base_amount
    else:
        spent, received = event.base_amount, quote_amount
    executed_lots = order.executed_lots + event.quantity_lots
    quantity_lots = order.quantity_lots
    hold_left = order.hold_left - spent
    # A better price than held for frees the difference at once; a hold by amount waits for the end.
    if quantity_lots:
        is_filled = executed_lots == quantity_lots
        hold_kept = 0 if is_filled else order.hold_per_lot * (quantity_lots - executed_lots)
    else:
        rest = order.quote_amount - order.executed_quote - quote_amount
        is_filled = is_amount_used(order.side, rest, event.quantity_lots, quote_amount)
        hold_kept = hold_left
    released = hold_left - hold_kept
    if released < 0 or hold_kept < 0 or not 0 <= commission <= received:
        raise InvariantError(order_ref=order.order_ref, trade_id=event.trade_id, left=hold_left)
    balance = account.balances[order.hold_asset]
    balance.held -= spent + released
    balance.available += released
    if balance.held < 0:
        raise InvariantError(asset=order.hold_asset, held=balance.held, trade_id=event.trade_id)
    balance = account.balances.get(order.receive_asset) or _balance(account, order.receive_asset)
    balance.available += received - commission
    order.hold_left = hold_kept
    order.executed_lots = executed_lots
    order.executed_quote += quote_amount
    order.updated_at_ns = event.at_ns
    account.user_seq += 1
    if is_filled:
        _close(account, order, _FILLED, event.at_ns)
    else:
        order.status = _PARTIALLY_FILLED
        _advance(account, event.at_ns)


def _closed(account: Account, event: OrderClosed) -> None:
    order = account.orders.get(event.order_ref)
    if order is None:
        _already_filled(account, event)
        return
    if order.order_id != event.order_id:
        raise InvariantError(account_id=account.account_id, order_ref=event.order_ref)
    if event.carried_to_ref:
        heir = account.orders.get(event.carried_to_ref)
        if heir is None or heir.status is not _PENDING:
            raise InvariantError(account_id=account.account_id, order_ref=event.carried_to_ref)
        if heir.hold_asset == order.hold_asset:
            heir.hold_left += order.hold_left
            order.hold_left = 0
    order.expiry_reason = event.expiry_reason
    order.updated_at_ns = event.at_ns
    known = account.identities.get(event.identity) if event.identity else None
    if type(known) is Cancel:
        _before_change(account, event.identity, known)
        known.order_refs.append(event.order_ref)
    elif type(known) is Replace:
        _before_change(account, event.identity, known)
        known.canceled_ref = event.order_ref
    account.user_seq += 1
    _close(account, order, event.status, event.at_ns)


def _already_filled(account: Account, event: OrderClosed) -> None:
    """A market order by amount may have ended by its last fill here before the market says so."""
    order = account.closed_order(event.order_ref)
    if (
        order is None
        or order.order_id != event.order_id
        or order.status is not _FILLED
        or event.status is not _FILLED
    ):
        raise InvariantError(account_id=account.account_id, order_ref=event.order_ref)
    _advance(account, event.at_ns)


def _amended(account: Account, event: OrderAmended) -> None:
    order = account.orders.get(event.order_ref)
    if order is None or order.order_id != event.order_id:
        raise InvariantError(account_id=account.account_id, order_ref=event.order_ref)
    leaves_lots = event.new_quantity_lots - order.executed_lots
    released = order.hold_left - order.hold_per_lot * leaves_lots
    if order.quantity_lots != event.old_quantity_lots or leaves_lots <= 0 or released < 0:
        raise InvariantError(order_ref=event.order_ref, new_quantity_lots=event.new_quantity_lots)
    _release(account, order, released)
    index = account.index[order.symbol]
    index.rename(order)
    if not order.placed_client_order_id:
        order.placed_client_order_id = order.client_order_id
    order.quantity_lots = event.new_quantity_lots
    order.client_order_id = event.new_client_order_id
    order.updated_at_ns = event.at_ns
    index.add(order)
    known = account.identities.get(event.identity)
    if type(known) is Amend:
        _before_change(account, event.identity, known)
        known.orig_client_order_id = event.orig_client_order_id
        known.order = order.as_state()
    account.user_seq += 1
    _advance(account, event.at_ns)


# ------------------------------------------------------------------ what they share


def _release(account: Account, order: AccountOrder, amount: int) -> None:
    balance = account.balances[order.hold_asset]
    order.hold_left -= amount
    balance.held -= amount
    balance.available += amount
    if balance.held < 0 or order.hold_left < 0:
        raise InvariantError(order_ref=order.order_ref, held=balance.held, left=order.hold_left)


def _close(account: Account, order: AccountOrder, status: OrderStatus, at_ns: int) -> None:
    """End the order: the last unit of its hold is released, and it is kept for reads a while.

    Nothing may change the order after this: what is kept is its bytes.
    """
    if order.hold_left:
        _release(account, order, order.hold_left)
    order.status = status
    order_ref = order.order_ref
    del account.orders[order_ref]
    if order.order_id:  # else it was rejected and never in the index
        account.index[order.symbol].remove(order)
    account.closed[order_ref] = encode_order(order)
    account.closed_queue.append(order_ref)
    account.just_closed = order
    _advance(account, at_ns)
    expiries = account.expiries
    if expiries and expiries[-1][0] - RETENTION_NS > account.updated_at_ns:
        expiries[-1][2] += 1
    else:
        expiries.append([account.updated_at_ns + _KEEP_NS, 0, 1])


def _remember(account: Account, identity: bytes, known: Known, at_ns: int) -> None:
    if identity in account.identities:
        raise InvariantError(account_id=account.account_id, identity=identity)
    _advance(account, at_ns)
    account.identities[identity] = known
    account.identity_queue.append(identity)
    expiries = account.expiries
    if expiries and expiries[-1][0] - RETENTION_NS > account.updated_at_ns:
        expiries[-1][1] += 1
    else:
        expiries.append([account.updated_at_ns + _KEEP_NS, 1, 0])


def _before_change(account: Account, identity: bytes, known: Cancel | Replace | Amend) -> None:
    trace = account.trace
    if trace is not None and identity not in trace.changed:
        trace.changed[identity] = deepcopy(known)


def _advance(account: Account, at_ns: int) -> None:
    """Move the account's clock on, never back, and forget what is old by it."""
    if at_ns > account.updated_at_ns:
        account.updated_at_ns = at_ns
    else:
        at_ns = account.updated_at_ns
    expiries = account.expiries
    if not expiries or expiries[0][0] > at_ns:
        return
    expiry, trace = expiries[0], account.trace
    _, identities, closed = expiry
    expiry[1] = max(identities - _FORGET_PER_EVENT_MAX, 0)
    for _ in range(identities - expiry[1]):
        identity = account.identity_queue.popleft()
        known = account.identities.pop(identity)
        if trace is not None:
            trace.identities.append((identity, known))
    expiry[2] = max(closed - _FORGET_PER_EVENT_MAX, 0)
    for _ in range(closed - expiry[2]):
        order_ref = account.closed_queue.popleft()
        data = account.closed.pop(order_ref)
        if trace is not None:
            trace.closed.append((order_ref, data))
    if not (expiry[1] or expiry[2]):
        expiries.popleft()


def _balance(account: Account, asset: str) -> AssetBalance:
    balance = account.balances.get(asset)
    if balance is None:
        balance = account.balances[asset] = AssetBalance()
    return balance


_HANDLERS: Final[dict[type, Callable[[Account, Any], None]]] = {
    OrderSubmitted: _submitted,
    ReplaceSubmitted: _replace_submitted,
    CancelRequested: _cancel_requested,
    CancelAllRequested: _cancel_all_requested,
    AmendRequested: _amend_requested,
    RequestRefused: _refused,
    Deposited: _deposited,
    Withdrawn: _withdrawn,
    AccountFrozen: _frozen,
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    TradeExecuted: _traded,
    OrderClosed: _closed,
    OrderAmended: _amended,
}
