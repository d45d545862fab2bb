"""Results of requests as JSON text. F-strings with remembered decimals: this is the hot path.

Everything put into a string here is a number, a word of ours, or matched a pattern without quotes
and backslashes when it came in (symbols, client order ids, asset codes).
"""

from collections.abc import Iterable, Sequence

from exchange.account.commands import PlaceOrder
from exchange.answers import (
    AccountState,
    OrderAmendedAnswer,
    OrderCanceled,
    OrderPlaced,
    PublicTrade,
)
from exchange.history import AccountTrade
from exchange.orders import OrderState, OrderStatus, Side
from exchange.protocol.decimals import amount_text
from exchange.protocol.errors import DialectError
from exchange.protocol.names import (
    EXPIRY_NAMES,
    SIDE_NAMES,
    STATUS_NAMES,
    STP_NAMES,
    TIF_NAMES,
    TYPE_NAMES,
)
from exchange.protocol.requests import error_json
from exchange.protocol.texts import AMOUNTS, MarketTexts


def place_result(
    answer: OrderPlaced, command: PlaceOrder, response_type: str, texts: MarketTexts, unit: int
) -> str:
    """Return the ACK, RESULT or FULL of a new order; `unit` is ns in one unit of time."""
    at = answer.at_ns // unit
    head = (
        f'{{"symbol":"{answer.symbol}","orderId":{answer.order_id},"orderListId":-1,'
        f'"clientOrderId":"{answer.client_order_id}","transactTime":{at}'
    )
    if response_type == "ACK":
        return head + "}"
    quantities = texts.quantities
    executed = quantities[answer.executed_lots]
    quote_amount = command.quote_amount
    reason = answer.expiry_reason
    expiry = f',"expiryReason":"{EXPIRY_NAMES[reason]}"' if reason else ""
    body = (
        f'{head},"price":"{texts.prices[command.price_ticks]}",'
        f'"origQty":"{executed if quote_amount else quantities[command.quantity_lots]}",'
        f'"executedQty":"{executed}","origQuoteOrderQty":"{AMOUNTS[quote_amount]}",'
        f'"cummulativeQuoteQty":"{AMOUNTS[answer.executed_quote]}",'
        f'"status":"{STATUS_NAMES[answer.status]}",'
        f'"timeInForce":"{TIF_NAMES[command.time_in_force]}",'
        f'"type":"{TYPE_NAMES[command.order_type]}","side":"{SIDE_NAMES[command.side]}",'
        f'"workingTime":{at},"selfTradePreventionMode":"{STP_NAMES[command.stp_mode]}"{expiry}'
    )
    if response_type == "RESULT":
        return body + "}"
    if not answer.fills:
        return body + ',"fills":[]}'
    prices = texts.prices
    asset = texts.base_asset if command.side == Side.BUY else texts.quote_asset
    fills = ",".join(
        [
            f'{{"price":"{prices[fill.price_ticks]}","qty":"{quantities[fill.quantity_lots]}",'
            f'"commission":"{AMOUNTS[fill.commission]}","commissionAsset":"{asset}",'
            f'"tradeId":{fill.trade_id}}}'
            for fill in answer.fills
        ]
    )
    return f'{body},"fills":[{fills}]}}'


def order_json(order: OrderState, texts: MarketTexts, unit: int) -> str:
    """Return an order as queries show it."""
    created = order.created_at_ns // unit
    return (
        f'{{"symbol":"{order.symbol}","orderId":{order.order_id},"orderListId":{order.list_id},'
        f'"clientOrderId":"{order.client_order_id}",{_quantities(order, texts)},'
        f'"stopPrice":"{texts.prices[order.stop_ticks]}",'
        f'"icebergQty":"{texts.quantities[order.iceberg_lots]}",'
        f'"time":{created},"updateTime":{order.updated_at_ns // unit},"isWorking":true,'
        f'"workingTime":{created},"selfTradePreventionMode":"{STP_NAMES[order.stp_mode]}"'
        f"{_conditional(order, texts)}}}"
    )


def cancel_result(
    order: OrderState, cancel_client_order_id: str, at_ns: int, texts: MarketTexts, unit: int
) -> str:
    """Return what a cancel answers about the order it ended."""
    return (
        f'{{"symbol":"{order.symbol}","origClientOrderId":"{order.client_order_id}",'
        f'"orderId":{order.order_id},"orderListId":{order.list_id},'
        f'"clientOrderId":"{cancel_client_order_id}","transactTime":{at_ns // unit},'
        f"{_quantities(order, texts)},"
        f'"selfTradePreventionMode":"{STP_NAMES[order.stp_mode]}"{_conditional(order, texts)}}}'
    )


def canceled(answer: OrderCanceled, texts: MarketTexts, unit: int) -> str:
    return cancel_result(answer.order, answer.cancel_client_order_id, answer.at_ns, texts, unit)


def amend_result(answer: OrderAmendedAnswer, texts: MarketTexts, unit: int) -> str:
    order = answer.order
    quantities = texts.quantities
    return (
        f'{{"transactTime":{answer.at_ns // unit},"executionId":{answer.after},"amendedOrder":{{'
        f'"symbol":"{order.symbol}","orderId":{order.order_id},"orderListId":{order.list_id},'
        f'"origClientOrderId":"{answer.orig_client_order_id}",'
        f'"clientOrderId":"{order.client_order_id}",'
        f'"price":"{texts.prices[order.price_ticks]}","qty":"{quantities[order.quantity_lots]}",'
        f'"executedQty":"{quantities[order.executed_lots]}",'
        f'"preventedQty":"{quantities[order.prevented_lots]}",'
        f'"quoteOrderQty":"{AMOUNTS[order.quote_amount]}",'
        f'"cumulativeQuoteQty":"{AMOUNTS[order.executed_quote]}",'
        f'"status":"{STATUS_NAMES[order.status]}","timeInForce":"{TIF_NAMES[order.time_in_force]}",'
        f'"type":"{TYPE_NAMES[order.order_type]}","side":"{SIDE_NAMES[order.side]}",'
        f'"workingTime":{order.created_at_ns // unit},'
        f'"selfTradePreventionMode":"{STP_NAMES[order.stp_mode]}"}}}}'
    )


def test_result(maker_rate_e8: int, taker_rate_e8: int) -> str:
    """Return the commission rates that a tested order would pay."""
    none = '{"maker":"0.00000000","taker":"0.00000000"}'
    return (
        f'{{"standardCommissionForOrder":{{"maker":"{amount_text(maker_rate_e8)}",'
        f'"taker":"{amount_text(taker_rate_e8)}"}},"specialCommissionForOrder":{none},'
        f'"taxCommissionForOrder":{none},"discount":{{"enabledForAccount":false,'
        f'"enabledForSymbol":false,"discountAsset":null,"discount":"0.00000000"}}}}'
    )


def replace_data(cancel: str | DialectError | None, place: str | DialectError | None) -> str:
    """Return both halves of a cancel-replace: a result, a refusal, or None for not attempted."""
    place_word, place_json = _half(place)
    cancel_word, cancel_json = _half(cancel)
    return (
        f'{{"cancelResult":"{cancel_word}","newOrderResult":"{place_word}",'
        f'"cancelResponse":{cancel_json},"newOrderResponse":{place_json}}}'
    )


def _half(half: str | DialectError | None) -> tuple[str, str]:
    if half is None:
        return "NOT_ATTEMPTED", "null"
    return ("SUCCESS", half) if isinstance(half, str) else ("FAILURE", error_json(half))


def _quantities(order: OrderState, texts: MarketTexts) -> str:
    quantities = texts.quantities
    executed = quantities[order.executed_lots]
    original = executed if order.quote_amount else quantities[order.quantity_lots]
    return (
        f'"price":"{texts.prices[order.price_ticks]}","origQty":"{original}",'
        f'"executedQty":"{executed}","origQuoteOrderQty":"{AMOUNTS[order.quote_amount]}",'
        f'"cummulativeQuoteQty":"{AMOUNTS[order.executed_quote]}",'
        f'"status":"{STATUS_NAMES[order.status]}","timeInForce":"{TIF_NAMES[order.time_in_force]}",'
        f'"type":"{TYPE_NAMES[order.order_type]}","side":"{SIDE_NAMES[order.side]}"'
    )


def _conditional(order: OrderState, texts: MarketTexts) -> str:
    parts = ""
    if order.expiry_reason and order.status == OrderStatus.EXPIRED:
        parts = f',"expiryReason":"{EXPIRY_NAMES[order.expiry_reason]}"'
    if order.prevented_lots:
        parts += f',"preventedQuantity":"{texts.quantities[order.prevented_lots]}"'
    return parts


# ------------------------------------------------------------------ account


def account_result(
    state: AccountState,
    assets: Iterable[str],
    maker_rate_e8: int,
    taker_rate_e8: int,
    *,
    omit_zero: bool,
    can_trade: bool,
    unit: int,
) -> str:
    """Return an account; with zeros every asset of `assets` is listed, held or not."""
    held = {balance.asset: balance for balance in state.balances}
    codes = list(held) if omit_zero else sorted({*held, *assets})
    rows = []
    for code in codes:
        balance = held.get(code)
        available, locked = (balance.available, balance.held) if balance else (0, 0)
        if omit_zero and not available and not locked:
            continue
        rows.append(
            f'{{"asset":"{code}","free":"{amount_text(available)}","locked":"{amount_text(locked)}"}}'
        )
    # 10 is 0.1 %: a hundredth of a percent is 10**-4.
    maker, taker = maker_rate_e8 // 10_000, taker_rate_e8 // 10_000
    return (
        f'{{"makerCommission":{maker},"takerCommission":{taker},"buyerCommission":0,'
        f'"sellerCommission":0,"commissionRates":{{"maker":"{amount_text(maker_rate_e8)}",'
        f'"taker":"{amount_text(taker_rate_e8)}","buyer":"0.00000000","seller":"0.00000000"}},'
        f'"canTrade":{"true" if can_trade else "false"},"canWithdraw":false,"canDeposit":false,'
        f'"brokered":false,"requireSelfTradePrevention":false,"preventSor":false,'
        f'"updateTime":{state.updated_at_ns // unit},"accountType":"SPOT",'
        f'"balances":[{",".join(rows)}],"permissions":["SPOT"],"uid":{state.account_id}}}'
    )


def my_trades(trades: Iterable[AccountTrade], texts: MarketTexts, unit: int) -> str:
    prices, quantities = texts.prices, texts.quantities
    rows = ",".join(
        [
            f'{{"symbol":"{trade.symbol}","id":{trade.trade_id},"orderId":{trade.order_id},'
            f'"orderListId":-1,"price":"{prices[trade.price_ticks]}",'
            f'"qty":"{quantities[trade.quantity_lots]}","quoteQty":"{AMOUNTS[trade.quote_amount]}",'
            f'"commission":"{AMOUNTS[trade.commission]}",'
            f'"commissionAsset":"{trade.commission_asset}","time":{trade.at_ns // unit},'
            f'"isBuyer":{"true" if trade.is_buyer else "false"},'
            f'"isMaker":{"true" if trade.is_maker else "false"},"isBestMatch":true}}'
            for trade in trades
        ]
    )
    return f"[{rows}]"


# ------------------------------------------------------------------ public data


def depth_result(
    update_id: int,
    bids: Sequence[tuple[int, int]],
    asks: Sequence[tuple[int, int]],
    texts: MarketTexts,
) -> str:
    """Return levels (price ticks, lots), best first."""
    return (
        f'{{"lastUpdateId":{update_id},"bids":[{levels(bids, texts)}],'
        f'"asks":[{levels(asks, texts)}]}}'
    )


def levels(rows: Iterable[tuple[int, int]], texts: MarketTexts) -> str:
    prices, quantities = texts.prices, texts.quantities
    return ",".join([f'["{prices[ticks]}","{quantities[lots]}"]' for ticks, lots in rows])


def public_trades(trades: Iterable[PublicTrade], texts: MarketTexts, unit: int) -> str:
    prices, quantities = texts.prices, texts.quantities
    rows = ",".join(
        [
            f'{{"id":{trade.trade_id},"price":"{prices[trade.price_ticks]}",'
            f'"qty":"{quantities[trade.quantity_lots]}",'
            f'"quoteQty":"{AMOUNTS[trade.quote_amount]}","time":{trade.at_ns // unit},'
            f'"isBuyerMaker":{"true" if trade.is_buyer_maker else "false"},"isBestMatch":true}}'
            for trade in trades
        ]
    )
    return f"[{rows}]"
