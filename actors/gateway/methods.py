"""The methods of the API by name: what runs, which permission it needs, what it weighs.

REST will use the same table: a handler gets a Call, whoever made it, and returns its result, or
None when an answer of the exchange will complete it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.gateway import public, reads, trading
from actors.gateway.auth import READ, TRADE
from actors.gateway.calls import Call

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway

Method = tuple[Callable[["Gateway", Call], str | None], int, int]

METHODS: Final[dict[str, Method]] = {
    "order.place": (trading.place, TRADE, 1),
    "order.test": (trading.test, TRADE, 1),
    "order.cancel": (trading.cancel, TRADE, 1),
    "order.cancelReplace": (trading.cancel_replace, TRADE, 1),
    "order.amend.keepPriority": (trading.amend, TRADE, 4),
    "openOrders.cancelAll": (trading.cancel_all, TRADE, 1),
    "order.status": (reads.order_status, READ, 4),
    "openOrders.status": (reads.open_orders, READ, 6),
    "account.status": (reads.account_status, READ, 20),
    "myTrades": (reads.my_trades, READ, 20),
    "ping": (public.ping, 0, 1),
    "time": (public.time, 0, 1),
    "exchangeInfo": (public.info, 0, 20),
    "depth": (public.depth, 0, 5),
    "trades.recent": (public.recent_trades, 0, 25),
}
