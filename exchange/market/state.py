"""The state of one market. Only `evolve` (decider.py) writes it, except what was published."""

from collections import deque
from dataclasses import dataclass, field

from exchange.answers import Candle, PublicTrade
from exchange.instrument import Instrument, MarketStatus
from exchange.market.order import Order
from exchange.market.orderbook import OrderBook

RECENT_TRADES_MAX = 1_000
OPEN_ORDERS_MAX = 1_000_000  # of all accounts together; beyond: MAX_NUM_ORDERS
# What may wait for take_update. Beyond it the next update is a full book (marketdata/feed.py).
CHANGED_LEVELS_MAX = 20_000
UNPUBLISHED_TRADES_MAX = 20_000


def new_recent_trades() -> deque[PublicTrade]:
    return deque(maxlen=RECENT_TRADES_MAX)


@dataclass(slots=True)
class Market:
    """One market; without an instrument until the directory's MarketAdded has arrived."""

    symbol: str
    instrument: Instrument | None = None
    status: MarketStatus = MarketStatus.TRADING
    # Of the instrument, because properties and long numbers are slow on the path of an order.
    minor_units_per_tick_lot: int = 0
    lot_size: int = 0
    at_ns: int = 0  # of the last event; time never goes back within a market

    book: OrderBook = field(default_factory=OrderBook)
    orders: dict[int, Order] = field(default_factory=dict)  # in the book, by order_id
    accounts: dict[int, dict[str, Order]] = field(default_factory=dict)  # by client_order_id
    taker: Order | None = None  # accepted, in its first matching pass; None between messages

    next_order_id: int = 1
    next_trade_id: int = 1
    update_id: int = 0  # one more with every change of a level
    last_ticks: int = 0  # price of the last trade, 0: none yet
    traded_base: int = 0  # minor units, ever
    traded_quote: int = 0
    recent_trades: deque[PublicTrade] = field(default_factory=new_recent_trades)
    candle: Candle | None = None  # the minute of the last trade

    # Since the last take_update; not part of the folded state.
    published_update_id: int = 0
    changed_levels: dict[int, None] = field(default_factory=dict)  # keys of the book's levels
    unpublished_trades: list[PublicTrade] = field(default_factory=list)
    has_overflowed: bool = False

    @property
    def trades(self) -> int:
        """How many trades there ever were: their ids are dense and start at 1."""
        return self.next_trade_id - 1

    @property
    def sum_of_trade_ids(self) -> int:
        """What the ids of all trades add up to, for the audit."""
        return self.trades * (self.trades + 1) // 2
