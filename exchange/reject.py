"""Every reason to refuse a command. The values are stable codes and are never reused.

exchange/protocol maps them to the client dialect's codes and texts.
"""

import enum


class RejectReason(enum.IntEnum):
    """Expected, answered, counted."""

    NONE = 0
    # instrument rules (market)
    PRICE_FILTER = 1101
    PERCENT_PRICE = 1102
    LOT_SIZE = 1103
    MARKET_LOT_SIZE = 1104
    NOTIONAL = 1105
    MAX_NUM_ORDERS = 1106
    AMOUNT_OVERFLOW = 1107
    UNKNOWN_SYMBOL = 1108
    UNSUPPORTED_ORDER_TYPE = 1109
    # market state and matching
    MARKET_CLOSED = 1201
    WOULD_TAKE = 1202
    DUPLICATE_CLIENT_ORDER_ID = 1203
    UNKNOWN_ORDER = 1204
    CANCEL_RESTRICTED = 1205
    SUBMISSION_TOO_OLD = 1206
    NO_LIQUIDITY = 1207
    REPLACE_NOT_ATTEMPTED = 1208  # the cancel failed and the mode says stop
    REPLACE_INSUFFICIENT_FUNDS = 1209
    AMEND_INCREASES = 1210
    AMEND_CHANGES_NOTHING = 1211
    AMEND_BELOW_EXECUTED = 1212
    ORDER_ID_MISMATCH = 1213
    STP_MODE_NOT_ALLOWED = 1214
    # account
    INSUFFICIENT_FUNDS = 2001
    ACCOUNT_FROZEN = 2002
    UNKNOWN_ACCOUNT = 2003
    UNKNOWN_ASSET = 2004
    AMOUNT_NOT_POSITIVE = 2005
    # directory
    ALREADY_EXISTS = 3001
    UNKNOWN_USER = 3002
    UNKNOWN_KEY = 3003
    INVALID_DEFINITION = 3004
    # system
    OVERLOADED = 9001
    OUTCOME_UNKNOWN = 9002
    QUARANTINED = 9003
    UNAVAILABLE = 9004
    READ_TIMEOUT = 9005
