"""What the dialect calls each refusal: status, code and exact text. Clients map some by text."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from exchange.reject import RejectReason


class DialectError(NamedTuple):
    status: int  # HTTP and WebSocket API
    code: int
    message: str


class RequestError(Exception):
    """A request that cannot become a command. Caught where its answer is written."""

    def __init__(self, error: DialectError) -> None:
        super().__init__(error.message)
        self.error = error


class Family(enum.Enum):
    """Which kind of request was refused: the engine's refusals have a code for each."""

    PLACE = -2010
    CANCEL = -2011
    AMEND = -2038
    QUERY = -2013


UNKNOWN = DialectError(500, -1000, "An unknown error occurred while processing the request.")
UNKNOWN_METHOD = DialectError(400, -1020, "This operation is not supported.")
DISCONNECTED = DialectError(
    503, -1001, "Internal error; unable to process your request. Please try again."
)
UNAUTHORIZED = DialectError(401, -1002, "You are not authorized to execute this request.")
TOO_MANY_REQUESTS = DialectError(
    429, -1003, "Too much request weight used; please use WebSocket Streams for live updates."
)
UNEXPECTED_RESPONSE = DialectError(
    500,
    -1006,
    "An unexpected response was received from the message bus. Execution status unknown.",
)
TIMEOUT = DialectError(
    504,
    -1007,
    "Timeout waiting for response from backend server. "
    "Send status unknown; execution status unknown.",
)
SERVER_BUSY = DialectError(
    503,
    -1008,
    "Server is currently overloaded with other requests. Please try again in a few minutes.",
)
UNSUPPORTED_COMBINATION = DialectError(400, -1014, "Unsupported order combination.")
TIMESTAMP_OUTSIDE = DialectError(
    400, -1021, "Timestamp for this request is outside of the recvWindow."
)
TIMESTAMP_AHEAD = DialectError(
    400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."
)
BAD_SIGNATURE = DialectError(400, -1022, "Signature for this request is not valid.")
TOO_MANY_CONNECTIONS = DialectError(429, -1034, "Too many connections.")
TIF_NOT_REQUIRED = DialectError(400, -1114, "TimeInForce parameter sent when not required.")
BAD_TIME_IN_FORCE = DialectError(400, -1115, "Invalid timeInForce.")
BAD_ORDER_TYPE = DialectError(400, -1116, "Invalid orderType.")
BAD_SIDE = DialectError(400, -1117, "Invalid side.")
BAD_SYMBOL = DialectError(400, -1121, "Invalid symbol.")
MORE_THAN_24_HOURS = DialectError(400, -1127, "More than 24 hours between startTime and endTime.")
BAD_COMBINATION = DialectError(400, -1128, "Combination of optional parameters invalid.")
BAD_RECV_WINDOW = DialectError(400, -1131, "recvWindow must be less than 60000.")
BAD_STRATEGY_TYPE = DialectError(400, -1134, "strategyType was less than 1000000.")
BAD_JSON = DialectError(400, -1135, "Invalid JSON Request")
BAD_CANCEL_RESTRICTIONS = DialectError(400, -1145, "Invalid cancelRestrictions")
BAD_TIME_UNIT = DialectError(
    400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
)
NO_SUCH_ORDER = DialectError(400, -2013, "Order does not exist.")
KEY_FORMAT = DialectError(401, -2014, "API-key format invalid.")
KEY_REJECTED = DialectError(401, -2015, "Invalid API-key, IP, or permissions for action.")
REPLACE_HALF_FAILED = DialectError(409, -2021, "Order cancel-replace partially failed.")
REPLACE_FAILED = DialectError(400, -2022, "Order cancel-replace failed.")
SUBSCRIPTION_ACTIVE = DialectError(400, -2035, "User Data Stream subscription already active.")
SUBSCRIPTION_NOT_ACTIVE = DialectError(400, -2036, "User Data Stream subscription not active.")
NOT_LOGGED_ON = DialectError(
    400, -2036, "The session is not authenticated: use session.logon first."
)
TOO_MANY_SUBSCRIPTIONS = DialectError(400, -2042, "The maximum subscription ids is reached.")


def missing(name: str) -> RequestError:
    return RequestError(
        DialectError(
            400,
            -1102,
            f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
        )
    )


def missing_both(first: str, second: str) -> RequestError:
    return RequestError(
        DialectError(
            400, -1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!"
        )
    )


def illegal(name: str, legal: str) -> RequestError:
    return RequestError(
        DialectError(
            400,
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.",
        )
    )


def empty(name: str) -> RequestError:
    return RequestError(DialectError(400, -1105, f"Parameter '{name}' was empty."))


def not_required(name: str) -> RequestError:
    return RequestError(DialectError(400, -1106, f"Parameter '{name}' sent when not required."))


def too_precise(name: str) -> RequestError:
    return RequestError(DialectError(400, -1111, f"Parameter '{name}' has too much precision."))


def invalid(name: str) -> RequestError:
    return RequestError(DialectError(400, -1130, f"Data sent for parameter '{name}' is not valid."))


def filter_failure(name: str) -> DialectError:
    return DialectError(400, -1013, f"Filter failure: {name}")


def unsupported_feature(feature: str) -> DialectError:
    return DialectError(400, -2010, f"{feature} orders are not supported for this symbol.")


# The engine's refusals: the text here, the code by the family of the request.
_ENGINE: Final[Mapping[RejectReason, str]] = MappingProxyType(
    {
        RejectReason.UNSUPPORTED_ORDER_TYPE: "Unsupported order combination",
        RejectReason.MARKET_CLOSED: "Market is closed.",
        RejectReason.WOULD_TAKE: "Order would immediately match and take.",
        RejectReason.DUPLICATE_CLIENT_ORDER_ID: "Duplicate order sent.",
        RejectReason.UNKNOWN_ORDER: "Unknown order sent.",
        RejectReason.CANCEL_RESTRICTED: "Order was not canceled due to cancel restrictions.",
        RejectReason.NO_LIQUIDITY: "Order book liquidity is less than symbol minimum quantity.",
        RejectReason.REPLACE_INSUFFICIENT_FUNDS: (
            "Account has insufficient balance for requested action."
        ),
        RejectReason.AMEND_INCREASES: "Order amend (quantity increase) is not supported.",
        RejectReason.AMEND_CHANGES_NOTHING: (
            "The requested action would change no state; rejecting."
        ),
        RejectReason.AMEND_BELOW_EXECUTED: (
            "Order amend (quantity not above executed quantity) is not supported."
        ),
        RejectReason.INSUFFICIENT_FUNDS: "Account has insufficient balance for requested action.",
        RejectReason.ACCOUNT_FROZEN: "This action is disabled on this account.",
        RejectReason.UNKNOWN_ACCOUNT: "This action is disabled on this account.",
        RejectReason.QUARANTINED: "This action is disabled on this account.",
    }
)

_FIXED: Final[Mapping[RejectReason, DialectError]] = MappingProxyType(
    {
        RejectReason.PRICE_FILTER: filter_failure("PRICE_FILTER"),
        RejectReason.PERCENT_PRICE: filter_failure("PERCENT_PRICE"),
        RejectReason.LOT_SIZE: filter_failure("LOT_SIZE"),
        RejectReason.MARKET_LOT_SIZE: filter_failure("MARKET_LOT_SIZE"),
        RejectReason.NOTIONAL: filter_failure("NOTIONAL"),
        RejectReason.MAX_NUM_ORDERS: filter_failure("MAX_NUM_ORDERS"),
        RejectReason.AMOUNT_OVERFLOW: filter_failure("NOTIONAL"),
        RejectReason.UNKNOWN_SYMBOL: BAD_SYMBOL,
        RejectReason.SUBMISSION_TOO_OLD: TIMESTAMP_OUTSIDE,
        RejectReason.REPLACE_NOT_ATTEMPTED: REPLACE_FAILED,
        RejectReason.ORDER_ID_MISMATCH: DialectError(
            400, -2039, "Client order ID is not correct for this order ID."
        ),
        RejectReason.STP_MODE_NOT_ALLOWED: DialectError(
            400, -1013, "This symbol does not allow the specified self-trade prevention mode."
        ),
        RejectReason.UNKNOWN_ASSET: invalid("asset").error,
        RejectReason.AMOUNT_NOT_POSITIVE: invalid("amount").error,
        RejectReason.ALREADY_EXISTS: DialectError(400, -1130, "It exists already."),
        RejectReason.UNKNOWN_USER: DialectError(400, -1130, "There is no such user."),
        RejectReason.UNKNOWN_KEY: DialectError(400, -1130, "There is no such key."),
        RejectReason.INVALID_DEFINITION: DialectError(400, -1130, "The definition is not valid."),
        RejectReason.OVERLOADED: SERVER_BUSY,
        RejectReason.OUTCOME_UNKNOWN: TIMEOUT,
        RejectReason.UNAVAILABLE: DISCONNECTED,
        RejectReason.READ_TIMEOUT: DISCONNECTED,
    }
)


def error_of(reason: RejectReason, family: Family) -> DialectError:
    """Return how `reason` is told to a client that sent a request of `family`."""
    fixed = _FIXED.get(reason)
    if fixed is not None:
        return fixed
    if family is Family.QUERY and reason is RejectReason.UNKNOWN_ORDER:
        return NO_SUCH_ORDER
    code = Family.PLACE.value if family is Family.QUERY else family.value
    return DialectError(400, code, _ENGINE[reason])
