"""Prices, quantities and money as integers. No floats: a lost cent is a lost customer.

Every rounding rule of the system is in this file.
"""

from typing import Final, NewType

from exchange.errors import AmountOverflowError

Ticks = NewType("Ticks", int)  # price, in ticks of the instrument
Lots = NewType("Lots", int)  # quantity, in lots of the instrument
MinorUnits = NewType("MinorUnits", int)  # money, in 10**-8 of its asset
RateE8 = NewType("RateE8", int)  # a proportion, in 10**-8: 0.1 % is 100_000

DECIMALS: Final = 8  # of every asset, price and quantity on the wire
UNIT: Final = 10**DECIMALS
AMOUNT_MAX: Final = MinorUnits(
    2**63 - 1
)  # what SQLite, PostgreSQL bigint and ClickHouse Int64 hold


def notional(price: int, quantity: int, minor_units_per_tick_lot: int) -> MinorUnits:
    """Return the value of `quantity` lots at `price` ticks, in minor units of the quote asset.

    `minor_units_per_tick_lot` is what one lot gains when the price rises one tick: a positive
    integer by construction of the instrument, so this product never rounds.

    Raises:
        AmountOverflowError: not within 63 bits.
    """
    amount = price * quantity * minor_units_per_tick_lot
    if amount > AMOUNT_MAX:
        raise AmountOverflowError(amount=amount, amount_max=AMOUNT_MAX)
    return MinorUnits(amount)


def commission(received: int, rate_e8: int) -> MinorUnits:
    """Return the fee on `received` minor units, rounded down: the trader keeps the fraction."""
    return MinorUnits(received * rate_e8 // UNIT)
