"""Events of an account's user data stream as JSON text."""

from exchange.answers import (
    AccountPosition,
    BalanceChanged,
    ExecutionReport,
    ExecutionType,
)
from exchange.orders import OrderStatus
from exchange.protocol.decimals import amount_text
from exchange.protocol.names import (
    EXPIRY_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    STP_NAMES,
    TIF_NAMES,
    TYPE_NAMES,
)
from exchange.protocol.texts import AMOUNTS, MarketTexts
from exchange.reject import RejectReason

_EXECUTION_NAMES = {execution.value: execution.name for execution in ExecutionType}
_ON_BOOK = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})


def execution_report(event: ExecutionReport, texts: MarketTexts, unit: int) -> str:
    """Return an executionReport; all fields without a question mark in the dialect are there."""
    order = event.order
    prices, quantities = texts.prices, texts.quantities
    at = event.at_ns // unit
    created = order.created_at_ns // unit
    executed = quantities[order.executed_lots]
    quote_amount = order.quote_amount
    asset = f'"{event.commission_asset}"' if event.commission_asset else "null"
    status = order.status
    tail = ""
    if status in _ON_BOOK:
        on_book = "true"
        tail = f',"W":{created}'
    else:
        on_book = "false"
        if order.expiry_reason:
            tail = f',"eR":"{EXPIRY_NAMES[order.expiry_reason]}"'
    return (
        f'{{"e":"executionReport","E":{at},"s":"{order.symbol}","c":"{event.client_order_id}",'
        f'"S":"{SIDE_NAMES[order.side]}","o":"{TYPE_NAMES[order.order_type]}",'
        f'"f":"{TIF_NAMES[order.time_in_force]}",'
        f'"q":"{executed if quote_amount else quantities[order.quantity_lots]}",'
        f'"p":"{prices[order.price_ticks]}","P":"{prices[order.stop_ticks]}",'
        f'"F":"{quantities[order.iceberg_lots]}","g":{order.list_id},'
        f'"C":"{event.orig_client_order_id}","x":"{_EXECUTION_NAMES[event.execution_type]}",'
        f'"X":"{STATUS_NAMES[status]}","r":"{_reason(event.reason)}","i":{order.order_id},'
        f'"l":"{quantities[event.last_lots]}","z":"{executed}","L":"{prices[event.last_ticks]}",'
        f'"n":"{AMOUNTS[event.commission] if event.commission else "0"}","N":{asset},"T":{at},'
        f'"t":{event.trade_id},"I":{event.user_seq},"w":{on_book},'
        f'"m":{"true" if event.is_maker else "false"},"M":false,"O":{created},'
        f'"Z":"{AMOUNTS[order.executed_quote]}","Y":"{AMOUNTS[event.last_quote]}",'
        f'"Q":"{AMOUNTS[quote_amount]}","V":"{STP_NAMES[order.stp_mode]}"{tail}}}'
    )


def account_position(event: AccountPosition, unit: int) -> str:
    at = event.at_ns // unit
    rows = ",".join(
        [
            f'{{"a":"{balance.asset}","f":"{amount_text(balance.available)}",'
            f'"l":"{amount_text(balance.held)}"}}'
            for balance in event.balances
        ]
    )
    return f'{{"e":"outboundAccountPosition","E":{at},"u":{at},"B":[{rows}]}}'


def balance_update(event: BalanceChanged, unit: int) -> str:
    at = event.at_ns // unit
    delta = amount_text(event.delta)
    return f'{{"e":"balanceUpdate","E":{at},"a":"{event.asset}","d":"{delta}","T":{at}}}'


def stream_terminated(at_ns: int, unit: int) -> str:
    return f'{{"e":"eventStreamTerminated","E":{at_ns // unit}}}'


def server_shutdown(at_ns: int, unit: int) -> str:
    return f'{{"e":"serverShutdown","E":{at_ns // unit}}}'


def _reason(reason: RejectReason) -> str:
    if reason == RejectReason.NONE:
        return "NONE"
    if reason in (RejectReason.INSUFFICIENT_FUNDS, RejectReason.REPLACE_INSUFFICIENT_FUNDS):
        return "INSUFFICIENT_BALANCES"
    if reason == RejectReason.WOULD_TAKE:
        return "WOULD_MATCH_IMMEDIATELY"
    return reason.name
