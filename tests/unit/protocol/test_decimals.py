"""Decimal text: what is accepted, what is refused, and what comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.protocol.decimals import (
    DecimalTexts,
    MalformedDecimalError,
    PreciseDecimalError,
    amount_text,
    parse_amount,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("1", 100_000_000),
        ("0.00000001", 1),
        ("0.001", 100_000),
        ("45000.5", 4_500_050_000_000),
        ("007.10", 710_000_000),
        ("99999999999999999999", 99_999_999_999_999_999_999 * 10**8),
    ],
)
def test_decimal_text_becomes_an_exact_integer(text: str, amount: int) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", "1e5", "1E5", "NaN", "Infinity", ".5", "5.", "1.2.3", " 1", "1 ", "1,5"),
        *("0x10", "1_000", "\u0661", "1\n", "123456789012345678901", "0.123456789012345678901"),
    ],
)
def test_anything_but_digits_and_one_point_is_malformed(text: str) -> None:
    with pytest.raises(MalformedDecimalError):
        parse_amount(text)


@pytest.mark.parametrize("text", ["0.000000001", "1.123456789", "1.000000000"])
def test_more_than_eight_decimals_are_too_precise(text: str) -> None:
    with pytest.raises(PreciseDecimalError):
        parse_amount(text)


@given(st.integers(min_value=0, max_value=10**24))
def test_text_of_an_amount_has_eight_decimals_and_reads_back(amount: int) -> None:
    text = amount_text(amount)
    assert len(text.partition(".")[2]) == 8
    if len(text) <= 29:
        assert parse_amount(text) == amount


def test_zero_is_written_as_clients_expect_it() -> None:
    assert amount_text(0) == "0.00000000"


def test_negative_amounts_keep_their_sign() -> None:
    assert amount_text(-1) == "-0.00000001"


def test_remembered_texts_stay_bounded_and_right() -> None:
    texts = DecimalTexts(1_000_000)
    for ticks in range(40_000):
        assert texts[ticks] == amount_text(ticks * 1_000_000)
    assert len(texts) <= 16_384
