"""Request weight per client address, and what responses say about limits.

Fixed windows aligned to the clock, as the dialect announces them. Counts of orders are shown, not
enforced: the account enforces them, because one account may use several gateways.
"""

from typing import Final

from exchange.protocol.errors import TOO_MANY_REQUESTS, RequestError
from exchange.protocol.exchange_info import RateLimit

MINUTE_NS: Final = 60_000_000_000
TEN_SECONDS_NS: Final = 10_000_000_000
DAY_NS: Final = 86_400_000_000_000
KEYS_MAX: Final = 100_000  # addresses or accounts counted; beyond: they share one count
_OTHERS: Final = ""

ORDERS_10S_LIMIT: Final = 1_000_000
ORDERS_1D_LIMIT: Final = 1_000_000_000

_ORDERS_10S: Final = (
    '{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,'
    f'"limit":{ORDERS_10S_LIMIT},"count":'
)
_ORDERS_1D: Final = (
    '},{"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,'
    f'"limit":{ORDERS_1D_LIMIT},"count":'
)
_WEIGHT: Final = '{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":'


class Window:
    """How often each key was counted since the window began."""

    __slots__ = ("counts", "ends_at_ns", "length_ns")

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self.ends_at_ns = 0
        self.counts: dict[str | int, int] = {}

    def add(self, key: str | int, count: int, now_ns: int) -> int:
        """Count and return the sum within the window."""
        counts = self.counts
        if now_ns >= self.ends_at_ns:
            self.ends_at_ns = (now_ns // self.length_ns + 1) * self.length_ns
            counts.clear()
        if key not in counts and len(counts) >= KEYS_MAX:
            key = _OTHERS
        used = counts[key] = counts.get(key, 0) + count
        return used


class Limits:
    def __init__(self, weight_per_minute_max: int) -> None:
        self.weight_max = weight_per_minute_max
        self._weight = Window(MINUTE_NS)
        self._orders_10s = Window(TEN_SECONDS_NS)
        self._orders_1d = Window(DAY_NS)

    def charge(self, address: str, weight: int, now_ns: int) -> int:
        """Return the weight used in this minute; raise RequestError if it is too much."""
        used = self._weight.add(address, weight, now_ns)
        if used > self.weight_max:
            raise RequestError(TOO_MANY_REQUESTS)
        return used

    def retry_at_ns(self) -> int:
        return self._weight.ends_at_ns

    def count_order(self, account_id: int, now_ns: int) -> None:
        """Count a new order of an account."""
        self._orders_10s.add(account_id, 1, now_ns)
        self._orders_1d.add(account_id, 1, now_ns)

    def order_counts(self, account_id: int) -> str:
        """Return the ORDERS entries of a response to a new order."""
        in_10s = self._orders_10s.counts.get(account_id, 0)
        in_1d = self._orders_1d.counts.get(account_id, 0)
        return f"{_ORDERS_10S}{in_10s}{_ORDERS_1D}{in_1d}}},"

    def fragment(self, used: int, orders: str) -> str:
        """Return the `rateLimits` member of a response, with its comma."""
        return f',"rateLimits":[{orders}{_WEIGHT}{self.weight_max},"count":{used}}}]'

    def announced(self) -> tuple[RateLimit, ...]:
        return (
            RateLimit("REQUEST_WEIGHT", "MINUTE", 1, self.weight_max),
            RateLimit("ORDERS", "SECOND", 10, ORDERS_10S_LIMIT),
            RateLimit("ORDERS", "DAY", 1, ORDERS_1D_LIMIT),
        )
