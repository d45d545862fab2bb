"""Decimal text and integers in 10**-8, both ways, exactly. The only place where decimals exist.

The dictionaries here remember what was converted; they never change a result.
"""

import re
from typing import Final

from exchange.money import DECIMALS, UNIT

TEXTS_MAX: Final = 16_384  # remembered conversions per scale; then forget all and start again
INTEGER_END: Final = 10**20  # the dialect has at most 20 digits before the point

DECIMAL_PATTERN: Final = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
_is_decimal = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?").fullmatch


class MalformedDecimalError(ValueError):
    """Not 1-20 digits, optionally a point and 1-20 digits: signs, exponents and NaN included."""


class PreciseDecimalError(ValueError):
    """More than 8 decimals."""


class _Amounts(dict[str, int]):
    def __missing__(self, text: str) -> int:
        if _is_decimal(text) is None:
            raise MalformedDecimalError(text)
        whole, _, fraction = text.partition(".")
        if len(fraction) > DECIMALS:
            raise PreciseDecimalError(text)
        amount = int(whole) * UNIT + int(fraction.ljust(DECIMALS, "0"))
        if len(self) >= TEXTS_MAX:
            self.clear()
        self[text] = amount
        return amount


class DecimalTexts(dict[int, str]):
    """`texts[n]` is the text of n units of `unit` 10**-8 each: always 8 decimals.

    A price in ticks is `DecimalTexts(instrument.tick_size)[ticks]`.
    """

    __slots__ = ("unit",)

    def __init__(self, unit: int) -> None:
        super().__init__()
        assert unit > 0
        self.unit = unit

    def __missing__(self, count: int) -> str:
        text = amount_text(count * self.unit)
        if len(self) >= TEXTS_MAX:
            self.clear()
        self[count] = text
        return text


_amounts: Final = _Amounts()


def parse_amount(text: str) -> int:
    """Return decimal text in 10**-8.

    Raises:
        MalformedDecimalError: not the dialect's decimal pattern.
        PreciseDecimalError: more than 8 decimals, be they zeros.
    """
    return _amounts[text]


def amount_text(amount: int) -> str:
    """Return an amount in 10**-8 as text with exactly 8 decimals; zero is "0.00000000".

    Not remembered: amounts of money hardly repeat, and forgetting costs more than writing.
    """
    if amount >= UNIT:
        digits = str(amount)
        return f"{digits[:-8]}.{digits[-8:]}"
    if not amount:
        return "0.00000000"
    if amount < 0:
        return "-" + amount_text(-amount)
    return f"0.{amount:08d}"
