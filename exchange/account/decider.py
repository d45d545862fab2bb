"""One account: a command in, events out. Reads the account, changes nothing.

A request whose identity is known has no second effect: decide returns no event, and answers.py
gives the first answer again. What the account cannot judge (cancels, amends) goes on unseen.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from exchange.account.commands import (
    AccountCommand,
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    Deposit,
    PlaceOrder,
    ReadAccount,
    ReplaceOrder,
    Withdraw,
)
from exchange.account.events import (
    AccountEvent,
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    Deposited,
    OrderSubmitted,
    ReplaceSubmitted,
    RequestRefused,
    Withdrawn,
)
from exchange.account.fold import evolve
from exchange.account.holds import Hold, hold_of
from exchange.account.state import CANCEL_IDENTITIES_MAX, IDENTITIES_MAX, Account
from exchange.errors import InvariantError
from exchange.instrument import Instrument
from exchange.money import AMOUNT_MAX
from exchange.orders import OrderType, Side
from exchange.reject import RejectReason

__all__ = ["TradingContext", "decide", "evolve"]

_MARKET: Final = OrderType.MARKET


class TradingContext(Protocol):
    """What an account must know of the rest: the followed directory, and quotes of markets.

    What is taken from it goes into the event, so that folding never needs it.
    """

    def instrument(self, symbol: str) -> Instrument | None: ...

    def fee_rates(self, account_id: int, symbol: str) -> tuple[int, int]:
        """Return (maker, taker) in 10**-8; the symbol is known."""

    def has_asset(self, code: str) -> bool: ...

    def has_account(self, account_id: int) -> bool: ...

    def protect_ticks(self, symbol: str, side: Side) -> int:
        """Return the worst price a market order of `side` may get now; 0 when none is known."""


def decide(
    account: Account, command: AccountCommand, context: TradingContext
) -> tuple[AccountEvent, ...]:
    """Return what happens if `command` is obeyed; () for reads and known identities.

    Never raises for client input. InvariantError: the command is for another account.
    """
    return _DECIDERS[type(command)](account, command, context)


def _place(
    account: Account, command: PlaceOrder, context: TradingContext
) -> tuple[AccountEvent, ...]:
    if command.identity in account.identities:
        return ()
    reason = _refuse_always(account, command.account_id, context)
    if reason is not None:
        return _refused(command, reason)
    instrument = context.instrument(command.symbol)
    if instrument is None:
        return _refused(command, RejectReason.UNKNOWN_SYMBOL)
    is_market = command.order_type == _MARKET
    protect_ticks = context.protect_ticks(command.symbol, command.side) if is_market else 0
    base_available = account.available(instrument.base_asset) if is_market else 0
    hold = hold_of(command, instrument, protect_ticks, base_available)
    if isinstance(hold, RejectReason):
        return _refused(command, hold)
    if account.available(hold.asset) < hold.amount:
        return _refused(command, RejectReason.INSUFFICIENT_FUNDS)
    return (_submitted(account, command, context, hold, hold.amount),)


def _replace(
    account: Account, command: ReplaceOrder, context: TradingContext
) -> tuple[AccountEvent, ...]:
    place = command.place
    if place.identity in account.identities:
        return ()
    reason = _refuse_always(account, place.account_id, context)
    if reason is not None:
        return _refused(place, reason)
    instrument = context.instrument(place.symbol)
    if instrument is None:
        return _refused(place, RejectReason.UNKNOWN_SYMBOL)
    is_market = place.order_type == _MARKET
    protect_ticks = context.protect_ticks(place.symbol, place.side) if is_market else 0
    # What the old order still holds is not known here, so a need is not capped by what is free.
    hold = hold_of(place, instrument, protect_ticks, AMOUNT_MAX)
    if isinstance(hold, RejectReason):
        return _refused(place, hold)
    top_up = min(account.available(hold.asset), hold.amount)
    return (
        ReplaceSubmitted(
            command.cancel_order_id,
            command.cancel_orig_client_order_id,
            command.cancel_client_order_id,
            command.restriction,
            command.mode,
            hold.amount,
            _submitted(account, place, context, hold, top_up),
        ),
    )


def _submitted(
    account: Account, command: PlaceOrder, context: TradingContext, hold: Hold, amount: int
) -> OrderSubmitted:
    maker_rate_e8, taker_rate_e8 = context.fee_rates(account.account_id, command.symbol)
    return OrderSubmitted(
        account.account_id,
        account.next_order_ref,
        command.symbol,
        command.side,
        command.order_type,
        command.time_in_force,
        command.price_ticks,
        command.quantity_lots,
        command.quote_amount,
        hold.protect_ticks,
        command.client_order_id,
        command.stp_mode,
        hold.asset,
        amount,
        hold.per_lot,
        maker_rate_e8,
        taker_rate_e8,
        command.received_at_ns,
        command.identity,
        command.reply_to,
        command.request_id,
        command.stop_ticks,
        command.iceberg_lots,
        command.list_id,
    )


def _cancel(
    account: Account, command: CancelOrder, context: TradingContext
) -> tuple[AccountEvent, ...]:
    if command.identity in account.identities:
        return ()
    reason = _refuse_cancel(account, command, context)
    if reason is not None:
        return _refused(command, reason)
    return (
        CancelRequested(
            command.account_id,
            command.symbol,
            command.order_id,
            command.orig_client_order_id,
            command.cancel_client_order_id,
            command.restriction,
            command.received_at_ns,
            command.identity,
            command.reply_to,
            command.request_id,
        ),
    )


def _cancel_all(
    account: Account, command: CancelAllOrders, context: TradingContext
) -> tuple[AccountEvent, ...]:
    if command.identity in account.identities:
        return ()
    reason = _refuse_cancel(account, command, context)
    if reason is not None:
        return _refused(command, reason)
    return (
        CancelAllRequested(
            command.account_id,
            command.symbol,
            command.received_at_ns,
            command.identity,
            command.reply_to,
            command.request_id,
        ),
    )


def _amend(
    account: Account, command: AmendOrder, context: TradingContext
) -> tuple[AccountEvent, ...]:
    if command.identity in account.identities:
        return ()
    reason = _refuse_always(account, command.account_id, context)
    if reason is not None:
        return _refused(command, reason)
    if context.instrument(command.symbol) is None:
        return _refused(command, RejectReason.UNKNOWN_SYMBOL)
    return (
        AmendRequested(
            command.account_id,
            command.symbol,
            command.order_id,
            command.orig_client_order_id,
            command.new_client_order_id,
            command.new_quantity_lots,
            command.received_at_ns,
            command.identity,
            command.reply_to,
            command.request_id,
        ),
    )


def _deposit(
    account: Account, command: Deposit, context: TradingContext
) -> tuple[AccountEvent, ...]:
    if command.identity in account.identities:
        return ()
    reason = _refuse_transfer(account, command, context)
    if reason is not None:
        return _refused(command, reason)
    balance = account.balances.get(command.asset)
    owned = balance.available + balance.held if balance is not None else 0
    if owned + command.amount > AMOUNT_MAX:
        return _refused(command, RejectReason.AMOUNT_OVERFLOW)
    return (
        Deposited(
            command.account_id,
            command.asset,
            command.amount,
            command.received_at_ns,
            command.identity,
        ),
    )


def _withdraw(
    account: Account, command: Withdraw, context: TradingContext
) -> tuple[AccountEvent, ...]:
    if command.identity in account.identities:
        return ()
    reason = _refuse_transfer(account, command, context)
    if reason is not None:
        return _refused(command, reason)
    if account.available(command.asset) < command.amount:
        return _refused(command, RejectReason.INSUFFICIENT_FUNDS)
    return (
        Withdrawn(
            command.account_id,
            command.asset,
            command.amount,
            command.received_at_ns,
            command.identity,
        ),
    )


def _read(account: Account, command: ReadAccount, _: TradingContext) -> tuple[AccountEvent, ...]:
    _check_addressee(account, command.account_id)
    return ()


def _refuse_always(
    account: Account, account_id: int, context: TradingContext
) -> RejectReason | None:
    """Return why nothing but cancels and reads is taken now, or None."""
    _check_addressee(account, account_id)
    if len(account.identities) >= IDENTITIES_MAX:
        return RejectReason.OVERLOADED
    if account.is_frozen:
        return RejectReason.ACCOUNT_FROZEN
    if not account.balances and not context.has_account(account_id):
        return RejectReason.UNKNOWN_ACCOUNT
    return None


def _refuse_cancel(
    account: Account, command: CancelOrder | CancelAllOrders, context: TradingContext
) -> RejectReason | None:
    _check_addressee(account, command.account_id)
    if len(account.identities) >= CANCEL_IDENTITIES_MAX:
        return RejectReason.OVERLOADED
    if not account.balances and not context.has_account(command.account_id):
        return RejectReason.UNKNOWN_ACCOUNT
    if context.instrument(command.symbol) is None:
        return RejectReason.UNKNOWN_SYMBOL
    return None


def _refuse_transfer(
    account: Account, command: Deposit | Withdraw, context: TradingContext
) -> RejectReason | None:
    reason = _refuse_always(account, command.account_id, context)
    if reason is not None:
        return reason
    if command.amount <= 0:
        return RejectReason.AMOUNT_NOT_POSITIVE
    if not context.has_asset(command.asset):
        return RejectReason.UNKNOWN_ASSET
    return None


def _refused(
    command: PlaceOrder | CancelOrder | CancelAllOrders | AmendOrder | Deposit | Withdraw,
    reason: RejectReason,
) -> tuple[AccountEvent, ...]:
    return (RequestRefused(command.account_id, reason, command.received_at_ns, command.identity),)


def _check_addressee(account: Account, account_id: int) -> None:
    if account_id != account.account_id:
        raise InvariantError(account_id=account.account_id, addressed_to=account_id)


_DECIDERS: Final[dict[type, Callable[[Account, Any, TradingContext], tuple[AccountEvent, ...]]]] = {
    PlaceOrder: _place,
    CancelOrder: _cancel,
    CancelAllOrders: _cancel_all,
    ReplaceOrder: _replace,
    AmendOrder: _amend,
    Deposit: _deposit,
    Withdraw: _withdraw,
    ReadAccount: _read,
}
