"""exchangeInfo: what is traded and by which rules."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from exchange.instrument import Instrument, MarketStatus
from exchange.money import AMOUNT_MAX
from exchange.orders import SelfTradePrevention
from exchange.protocol.decimals import amount_text
from exchange.protocol.names import SUPPORTED_TYPES

STATUS_WORDS = {
    MarketStatus.TRADING: "TRADING",
    MarketStatus.HALT: "HALT",
    MarketStatus.CANCEL_ONLY: "CANCEL_ONLY",
}


class RateLimit(NamedTuple):
    kind: str  # REQUEST_WEIGHT, ORDERS, RAW_REQUESTS, CONNECTIONS
    interval: str  # SECOND, MINUTE, HOUR, DAY
    interval_num: int
    limit: int


def exchange_info(
    markets: Iterable[tuple[Instrument, MarketStatus]],
    rate_limits: Iterable[RateLimit],
    now_ns: int,
    unit: int,
) -> str:
    """Return the whole document as JSON."""
    document = {
        "timezone": "UTC",
        "serverTime": now_ns // unit,
        "rateLimits": [
            {
                "rateLimitType": limit.kind,
                "interval": limit.interval,
                "intervalNum": limit.interval_num,
                "limit": limit.limit,
            }
            for limit in rate_limits
        ],
        "exchangeFilters": [],
        "symbols": [symbol_info(instrument, status) for instrument, status in markets],
    }
    return msgspec.json.encode(document).decode()


def symbol_info(instrument: Instrument, status: MarketStatus) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "status": STATUS_WORDS[status],
        "baseAsset": instrument.base_asset,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote_asset,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [order_type.name for order_type in SUPPORTED_TYPES],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": SelfTradePrevention(instrument.stp_default).name,
        "allowedSelfTradePreventionModes": [
            SelfTradePrevention(mode).name for mode in instrument.stp_allowed
        ],
    }


def filters(instrument: Instrument) -> list[dict[str, Any]]:
    def price(ticks: int) -> str:
        return amount_text(ticks * instrument.tick_size)

    def quantity(lots: int) -> str:
        return amount_text(lots * instrument.lot_size)

    maximum = instrument.notional_max
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price(instrument.price_ticks_min),
            "maxPrice": price(instrument.price_ticks_max),
            "tickSize": price(1),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": quantity(instrument.quantity_lots_min),
            "maxQty": quantity(instrument.quantity_lots_max),
            "stepSize": quantity(1),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": quantity(0),
            "maxQty": quantity(instrument.market_quantity_lots_max),
            "stepSize": quantity(0),
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": amount_text(instrument.notional_min),
            "applyMinToMarket": True,
            "maxNotional": amount_text(min(maximum, AMOUNT_MAX)),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": amount_text(instrument.band_up_e8),
            "multiplierDown": amount_text(instrument.band_down_e8),
            "avgPriceMins": 0,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": instrument.open_orders_max},
    ]
