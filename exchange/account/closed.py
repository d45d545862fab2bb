"""Finding a closed order by its market's id or its client's.

Closed orders are many and seldom asked for, and then mostly the last ones: so they have no index
that every order would pay for, but are looked through from the newest, a little at most. What is
not found here is found in the history, as what the account has forgotten.
"""

from itertools import islice
from typing import Final

import msgspec

from exchange.account.state import Account, AccountOrder, decode_order

SCAN_MAX: Final = 5_000  # of the newest closed orders a read looks through: about a millisecond
_CANDIDATES_MAX: Final = 16  # decoded, of those whose bytes have the client's id somewhere

_encode: Final = msgspec.msgpack.Encoder().encode
# An order is an array of its fields: three bytes of head, since they are more than fifteen.
_HEAD: Final = b"\xdc" + len(AccountOrder.__struct_fields__).to_bytes(2, "big")


def find_by_id(account: Account, symbol: str, order_id: int) -> AccountOrder | None:
    """Return the closed order with this id of its market, to be read only."""
    # The first fields are account, symbol, id. MessagePack is prefix-free: no other id fits.
    start = _HEAD + _encode(account.account_id) + _encode(symbol) + _encode(order_id)
    for data in islice(reversed(account.closed.values()), SCAN_MAX):
        if data.startswith(start):
            return decode_order(data)
    return None


def find_by_client_id(account: Account, symbol: str, client_order_id: str) -> AccountOrder | None:
    """Return of the closed orders that now have this id the last, to be read only."""
    if not client_order_id:
        return None
    start, name = _HEAD + _encode(account.account_id) + _encode(symbol), _encode(client_order_id)
    candidates = 0
    for data in islice(reversed(account.closed.values()), SCAN_MAX):
        if name not in data or not data.startswith(start):
            continue
        order = decode_order(data)
        # It may be the id it was placed with. What was rejected has no order_id, and no one asks.
        if order.client_order_id == client_order_id and order.order_id:
            return order
        candidates += 1
        if candidates == _CANDIDATES_MAX:
            return None
    return None
