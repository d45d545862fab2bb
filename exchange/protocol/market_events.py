"""Events of the market streams as JSON text."""

from collections.abc import Iterable

from exchange.answers import Candle, PublicTrade
from exchange.protocol.results import levels
from exchange.protocol.texts import AMOUNTS, MarketTexts

MINUTE_MS = 60_000


def trade_event(trade: PublicTrade, texts: MarketTexts, at_ns: int, unit: int) -> str:
    return (
        f'{{"e":"trade","E":{at_ns // unit},"s":"{texts.symbol}","t":{trade.trade_id},'
        f'"p":"{texts.prices[trade.price_ticks]}","q":"{texts.quantities[trade.quantity_lots]}",'
        f'"T":{trade.at_ns // unit},"m":{"true" if trade.is_buyer_maker else "false"},"M":true}}'
    )


def depth_event(
    first_update_id: int,
    last_update_id: int,
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
    texts: MarketTexts,
    at_ns: int,
    unit: int,
) -> str:
    """Return a depthUpdate: absolute quantities of the levels that changed, zero for removed."""
    return (
        f'{{"e":"depthUpdate","E":{at_ns // unit},"s":"{texts.symbol}","U":{first_update_id},'
        f'"u":{last_update_id},"b":[{levels(bids, texts)}],"a":[{levels(asks, texts)}]}}'
    )


def book_ticker(
    update_id: int, bid: tuple[int, int], ask: tuple[int, int], texts: MarketTexts
) -> str:
    """Return best bid and ask as (price ticks, lots); zeros where a side is empty."""
    prices, quantities = texts.prices, texts.quantities
    return (
        f'{{"u":{update_id},"s":"{texts.symbol}","b":"{prices[bid[0]]}",'
        f'"B":"{quantities[bid[1]]}","a":"{prices[ask[0]]}","A":"{quantities[ask[1]]}"}}'
    )


def kline_event(
    candle: Candle, texts: MarketTexts, at_ns: int, unit: int, *, is_closed: bool
) -> str:
    """Return the running minute, or with `is_closed` its last state."""
    prices, quantities = texts.prices, texts.quantities
    scale = 1_000_000 // unit  # candles are kept in ms
    opened = candle.open_at_ms * scale
    return (
        f'{{"e":"kline","E":{at_ns // unit},"s":"{texts.symbol}","k":{{"t":{opened},'
        f'"T":{(candle.open_at_ms + MINUTE_MS) * scale - 1},"s":"{texts.symbol}","i":"1m",'
        f'"f":{candle.first_trade_id},"L":{candle.last_trade_id},'
        f'"o":"{prices[candle.open_ticks]}","c":"{prices[candle.close_ticks]}",'
        f'"h":"{prices[candle.high_ticks]}","l":"{prices[candle.low_ticks]}",'
        f'"v":"{quantities[candle.volume_lots]}","n":{candle.trades},'
        f'"x":{"true" if is_closed else "false"},"q":"{AMOUNTS[candle.volume_quote]}",'
        f'"V":"{quantities[candle.taker_buy_lots]}","Q":"{AMOUNTS[candle.taker_buy_quote]}",'
        f'"B":"0"}}}}'
    )


def combined(stream: str, payload: str) -> str:
    """Return the form of combined connections. `stream` matched the pattern of stream names."""
    return f'{{"stream":"{stream}","data":{payload}}}'
