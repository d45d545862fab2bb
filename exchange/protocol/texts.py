"""What the text of one market's numbers needs, looked up once per market and remembered."""

from typing import Final

from exchange.instrument import Instrument
from exchange.protocol.decimals import DecimalTexts

MILLISECOND: Final = 1_000_000  # ns in one unit of time on the wire: the dialect's default
MICROSECOND: Final = 1_000  # the unit of connections that asked for it

# Texts of traded amounts and commissions in 10**-8: each stands in the result and in the reports of
# both sides, so remembering pays. Balances hardly repeat: they use amount_text.
AMOUNTS: Final = DecimalTexts(1)


class MarketTexts:
    """Prices in ticks and quantities in lots as text, and the symbol as it stands in JSON."""

    __slots__ = ("base_asset", "instrument", "prices", "quantities", "quote_asset", "symbol")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.base_asset = instrument.base_asset
        self.quote_asset = instrument.quote_asset
        self.prices = DecimalTexts(instrument.tick_size)
        self.quantities = DecimalTexts(instrument.lot_size)
