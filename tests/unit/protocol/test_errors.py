"""Every refusal has a code and text in the dialect, the same for the same reason."""

import pytest

from exchange.protocol.errors import Family, error_of
from exchange.reject import RejectReason

REASONS = [reason for reason in RejectReason if reason is not RejectReason.NONE]


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_told_in_every_family(reason: RejectReason, family: Family) -> None:
    error = error_of(reason, family)
    assert error.status in (400, 401, 409, 429, 500, 503, 504)
    assert error.code < 0
    assert error.message


@pytest.mark.parametrize(
    ("reason", "family", "status", "code", "message"),
    [
        (
            RejectReason.INSUFFICIENT_FUNDS,
            Family.PLACE,
            400,
            -2010,
            "Account has insufficient balance for requested action.",
        ),
        (
            RejectReason.WOULD_TAKE,
            Family.PLACE,
            400,
            -2010,
            "Order would immediately match and take.",
        ),
        (
            RejectReason.DUPLICATE_CLIENT_ORDER_ID,
            Family.PLACE,
            400,
            -2010,
            "Duplicate order sent.",
        ),
        (RejectReason.MARKET_CLOSED, Family.PLACE, 400, -2010, "Market is closed."),
        (
            RejectReason.NO_LIQUIDITY,
            Family.PLACE,
            400,
            -2010,
            "Order book liquidity is less than symbol minimum quantity.",
        ),
        (RejectReason.UNKNOWN_ORDER, Family.CANCEL, 400, -2011, "Unknown order sent."),
        (RejectReason.UNKNOWN_ORDER, Family.QUERY, 400, -2013, "Order does not exist."),
        (
            RejectReason.CANCEL_RESTRICTED,
            Family.CANCEL,
            400,
            -2011,
            "Order was not canceled due to cancel restrictions.",
        ),
        (
            RejectReason.AMEND_INCREASES,
            Family.AMEND,
            400,
            -2038,
            "Order amend (quantity increase) is not supported.",
        ),
        (RejectReason.PRICE_FILTER, Family.PLACE, 400, -1013, "Filter failure: PRICE_FILTER"),
        (RejectReason.LOT_SIZE, Family.AMEND, 400, -1013, "Filter failure: LOT_SIZE"),
        (RejectReason.UNKNOWN_SYMBOL, Family.QUERY, 400, -1121, "Invalid symbol."),
    ],
)
def test_texts_that_clients_map_are_exact(
    reason: RejectReason, family: Family, status: int, code: int, message: str
) -> None:
    assert error_of(reason, family) == (status, code, message)
