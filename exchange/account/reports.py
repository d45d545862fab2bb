"""The user events that one folded event gives: execution reports, transfers, and positions.

`evolve` has already counted the reports in `account.user_seq`, whether or not anybody builds them:
live and replay agree, and the numbers are dense. A position is state, not a step: it has the number
of the report before it, so the positions of a batch may be made one, and a client that resumes
after a number gets the missed reports and one position.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from exchange.account.events import AccountEvent, Deposited, Withdrawn
from exchange.account.state import Account, AccountOrder
from exchange.answers import (
    AccountPosition,
    Balance,
    BalanceChanged,
    ExecutionReport,
    ExecutionType,
    UserEvent,
)
from exchange.errors import InvariantError
from exchange.market.events import (
    MarketToAccount,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.orders import OrderStatus
from exchange.reject import RejectReason

_NONE: Final = RejectReason.NONE
_NO_TRADE: Final = -1


Reports = tuple[list[UserEvent], tuple[str, ...]]
_NOTHING: Final[Reports] = ([], ())


def reports_of(account: Account, event: AccountEvent | MarketToAccount) -> Reports:
    """Return the reports of `event` and the assets it touched; call it right after `evolve`.

    The position that belongs behind them may be made once for several events.
    """
    build = _BUILDERS.get(type(event))
    return build(account, event) if build is not None else _NOTHING


def user_events(account: Account, event: AccountEvent | MarketToAccount) -> list[UserEvent]:
    """Return the user events of `event`, reports first; call it right after `evolve`."""
    reports, assets = reports_of(account, event)
    return [*reports, position(account, assets)] if assets else reports


def position(account: Account, assets: Sequence[str] | None = None) -> AccountPosition:
    """Return the balances of `assets`, or of all that the account has, as they stand."""
    names = sorted(account.balances) if assets is None else assets
    balances = []
    for asset in names:
        balance = account.balances.get(asset)
        if balance is None:
            balances.append(Balance(asset, 0, 0))
        else:
            balances.append(Balance(asset, balance.available, balance.held))
    return AccountPosition(
        account.account_id, account.user_seq, tuple(balances), account.updated_at_ns
    )


def _accepted(account: Account, event: OrderAccepted) -> Reports:
    order = _order(account, event.order_ref)
    return _reported(account, order, ExecutionType.NEW, event.at_ns)


def _rejected(account: Account, event: OrderRejected) -> Reports:
    order = _order(account, event.order_ref)
    return _reported(account, order, ExecutionType.REJECTED, event.at_ns, reason=event.reason)


def _traded(account: Account, event: TradeExecuted) -> Reports:
    account_id = account.account_id
    is_maker = event.maker_account_id == account_id
    events: list[UserEvent] = []
    if event.taker_account_id == account_id:
        seq = account.user_seq - 1 if is_maker else account.user_seq
        taken = _order(account, event.taker_order_ref)
        events.append(_fill(taken, event, seq, event.taker_commission, False))
    if is_maker:
        made = _order(account, event.maker_order_ref)
        events.append(_fill(made, event, account.user_seq, event.maker_commission, True))
        order = made
    else:
        order = taken
    return events, (order.receive_asset, order.hold_asset)


def _closed(account: Account, event: OrderClosed) -> Reports:
    order = _order(account, event.order_ref)
    if event.status is OrderStatus.CANCELED:
        client_order_id = event.cancel_client_order_id or order.client_order_id
        orig_client_order_id = order.client_order_id
        kind = ExecutionType.CANCELED
    else:
        if order.status is OrderStatus.FILLED and order.is_amount_used():
            # Its last fill was reported as FILLED; what is left of the hold was freed by it.
            return _NOTHING
        client_order_id, orig_client_order_id = order.client_order_id, ""
        is_prevented = event.status is OrderStatus.EXPIRED_IN_MATCH
        kind = ExecutionType.TRADE_PREVENTION if is_prevented else ExecutionType.EXPIRED
    return _reported(
        account,
        order,
        kind,
        event.at_ns,
        client_order_id=client_order_id,
        orig_client_order_id=orig_client_order_id,
    )


def _amended(account: Account, event: OrderAmended) -> Reports:
    return _reported(
        account,
        _order(account, event.order_ref),
        ExecutionType.REPLACED,
        event.at_ns,
        client_order_id=event.new_client_order_id,
        orig_client_order_id=event.orig_client_order_id,
    )


def _transferred(account: Account, event: Deposited | Withdrawn) -> Reports:
    delta = event.amount if type(event) is Deposited else -event.amount
    changed = BalanceChanged(account.account_id, account.user_seq, event.asset, delta, event.at_ns)
    return [changed], (event.asset,)


def _order(account: Account, order_ref: int) -> AccountOrder:
    order = account.order(order_ref)
    if order is None:
        raise InvariantError(account_id=account.account_id, order_ref=order_ref)
    return order


def _fill(
    order: AccountOrder, event: TradeExecuted, user_seq: int, commission: int, is_maker: bool
) -> ExecutionReport:
    return ExecutionReport(
        order.account_id,
        user_seq,
        ExecutionType.TRADE,
        order.as_state(),
        order.client_order_id,
        "",
        event.trade_id,
        event.price_ticks,
        event.quantity_lots,
        event.quote_amount,
        commission,
        order.receive_asset,
        is_maker,
        _NONE,
        event.at_ns,
    )


def _reported(
    account: Account,
    order: AccountOrder,
    execution_type: ExecutionType,
    at_ns: int,
    *,
    client_order_id: str | None = None,
    orig_client_order_id: str = "",
    reason: RejectReason = _NONE,
) -> Reports:
    """Return the report of a step without a fill."""
    report = ExecutionReport(
        order.account_id,
        account.user_seq,
        execution_type,
        order.as_state(),
        order.client_order_id if client_order_id is None else client_order_id,
        orig_client_order_id,
        _NO_TRADE,
        0,
        0,
        0,
        0,
        "",
        False,
        reason,
        at_ns,
    )
    return [report], (order.receive_asset, order.hold_asset)


_BUILDERS: Final[dict[type, Callable[[Account, Any], Reports]]] = {
    OrderAccepted: _accepted,
    OrderRejected: _rejected,
    TradeExecuted: _traded,
    OrderClosed: _closed,
    OrderAmended: _amended,
    Deposited: _transferred,
    Withdrawn: _transferred,
}
