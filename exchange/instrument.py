"""What is traded: assets, and instruments with tick and lot size, filters and fees."""

import enum

import msgspec

from exchange.money import AMOUNT_MAX, UNIT


class MarketStatus(enum.IntEnum):
    TRADING = 1
    HALT = 2  # nothing is accepted, not even cancels
    CANCEL_ONLY = 3


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    code: str  # upper case
    name: str = ""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One traded pair. Prices are in ticks, quantities in lots.

    `tick_size` and `lot_size` are in 10**-8 of quote and base: a tick of 0.01 is 1_000_000. Their
    product must be a whole number of minor units, so that no amount of a trade ever rounds.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    tick_size: int
    lot_size: int
    price_ticks_min: int = 1
    price_ticks_max: int = 10**12
    quantity_lots_min: int = 1
    quantity_lots_max: int = 10**12
    market_quantity_lots_max: int = 10**12
    notional_min: int = 0  # minor units of quote
    notional_max: int = AMOUNT_MAX
    # Price band around the last trade, in 10**-8: 5 * 10**8 is five times the price.
    band_up_e8: int = 5 * UNIT
    band_down_e8: int = UNIT // 5
    protection_e8: int = UNIT // 20  # how far beyond the best price a market order may trade
    maker_rate_e8: int = 100_000
    taker_rate_e8: int = 100_000
    open_orders_max: int = 10_000  # per account
    stp_default: int = 0  # SelfTradePrevention; so far only NONE is carried out
    stp_allowed: tuple[int, ...] = (0,)

    @property
    def minor_units_per_tick_lot(self) -> int:
        """What one lot gains when the price rises one tick, in minor units of quote."""
        return self.tick_size * self.lot_size // UNIT

    @property
    def minor_units_per_lot(self) -> int:
        """One lot in minor units of base."""
        return self.lot_size
