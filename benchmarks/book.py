"""The pure market alone: orders and cancels a second through decide and evolve, events included.

One process, one thread, no storage, no encoding. The flow is drawn before the clock starts.
"""

import json
import random
import statistics
import time
from collections import Counter

from exchange.account.events import CancelRequested, OrderSubmitted
from exchange.directory.events import MarketAdded
from exchange.instrument import Instrument
from exchange.market.decider import MarketMessage, decide, evolve
from exchange.market.state import Market
from exchange.marketdata.feed import take_update
from exchange.orders import (
    CancelRestriction,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

SYMBOL = "BTCUSDT"
MID_TICKS = 6_000_000
RESTING_ORDERS = 1_000
ACCOUNTS = 200
BATCH = 500  # messages between two updates of market data
NOW_NS = 1_700_000_000_000_000_000
INSTRUMENT = Instrument(
    symbol=SYMBOL, base_asset="BTC", quote_asset="USDT", tick_size=1_000_000, lot_size=1_000
)


class Flow:
    """A seeded flow: makers on both sides of the mid, takers, cancels of open orders.

    It trades the flow in a market of its own, to hold the book near RESTING_ORDERS.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._market = open_market()
        self._recent: list[tuple[int, str]] = []
        self._refs = 0

    def messages(self, count: int) -> list[MarketMessage]:
        """Return the resting orders first, then `count` messages of the mix."""
        flow: list[MarketMessage] = []
        while len(flow) < RESTING_ORDERS + count:
            message = self._maker() if len(flow) < RESTING_ORDERS else self._next()
            play(self._market, message)
            flow.append(message)
            take_update(self._market)
        return flow

    def _next(self) -> MarketMessage:
        draw = self._random.random()
        if draw < 0.27:
            return self._cancel()
        makers = 0.42 if len(self._market.orders) < RESTING_ORDERS else 0.32
        return self._maker() if draw < 0.27 + makers else self._taker()

    def _maker(self) -> OrderSubmitted:
        side = self._random.choice((Side.BUY, Side.SELL))
        away = 1 + int(self._random.expovariate(1 / 40))
        price = MID_TICKS - away if side is Side.BUY else MID_TICKS + away
        order = self._order(side, TimeInForce.GTC, price, self._random.randint(1, 20))
        self._recent.append((order.account_id, order.client_order_id))
        return order

    def _taker(self) -> OrderSubmitted:
        side = self._random.choice((Side.BUY, Side.SELL))
        price = MID_TICKS + 400 if side is Side.BUY else MID_TICKS - 400
        return self._order(side, TimeInForce.IOC, price, self._random.randint(1, 8))

    def _order(self, side: Side, tif: TimeInForce, price: int, lots: int) -> OrderSubmitted:
        self._refs += 1
        per_lot = price * INSTRUMENT.minor_units_per_tick_lot
        return OrderSubmitted(
            self._random.randrange(1, ACCOUNTS + 1),
            self._refs,
            SYMBOL,
            side,
            OrderType.LIMIT,
            tif,
            price,
            lots,
            0,
            0,
            f"c{self._refs}",
            SelfTradePrevention.NONE,
            "USDT" if side is Side.BUY else "BTC",
            per_lot * lots if side is Side.BUY else INSTRUMENT.lot_size * lots,
            per_lot if side is Side.BUY else INSTRUMENT.lot_size,
            INSTRUMENT.maker_rate_e8,
            INSTRUMENT.taker_rate_e8,
            NOW_NS,
            b"",
            "",
            0,
        )

    def _cancel(self) -> CancelRequested:
        """One of the newer orders; one in ten may have traded already."""
        account_id, client_order_id = 0, ""
        while self._recent:
            newest = len(self._recent) - 1
            at = max(0, newest - int(self._random.expovariate(1 / 500)))
            account_id, client_order_id = self._recent.pop(at)
            is_open = client_order_id in self._market.accounts.get(account_id, {})
            if is_open or self._random.random() < 0.1:
                break
        return CancelRequested(
            account_id,
            SYMBOL,
            0,
            client_order_id,
            "x",
            CancelRestriction.NONE,
            NOW_NS,
            b"",
            "",
            0,
        )


def open_market() -> Market:
    """Return a market that trades INSTRUMENT."""
    market = Market(SYMBOL)
    play(market, MarketAdded(INSTRUMENT, NOW_NS))
    return market


def play(market: Market, message: MarketMessage) -> int:
    """Decide and fold one message; return the number of its events."""
    events = decide(market, message, NOW_NS)
    for event in events:
        evolve(market, event)
    return len(events)


def run(quick: bool) -> list[dict[str, object]]:
    """Return the results as name, value, unit and what the run consisted of."""
    count = 50_000 if quick else 200_000
    rounds = [_round(seed, count) for seed in range(3)]
    rate = statistics.median([rate for rate, _ in rounds])
    return [
        {
            "name": "book_only_msgs_per_s",
            "value": round(rate),
            "unit": "messages/s",
            "detail": rounds[0][1],
        }
    ]


def _round(seed: int, count: int) -> tuple[float, dict[str, object]]:
    flow = Flow(seed).messages(count)
    market = open_market()
    for message in flow[:RESTING_ORDERS]:
        play(market, message)
    take_update(market)
    trades_before = market.trades
    messages = flow[RESTING_ORDERS:]
    events = 0
    started, cpu_started = time.perf_counter(), time.process_time()
    for first in range(0, count, BATCH):
        for message in messages[first : first + BATCH]:
            events += play(market, message)
        take_update(market)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    kinds = Counter(type(message).__name__ for message in messages)
    detail: dict[str, object] = {
        "messages": count,
        **kinds,
        "messages_per_cpu_s": round(count / cpu_seconds),  # what a shared machine took away
        "events": events,
        "trades": market.trades - trades_before,
        "resting_at_end": len(market.orders),
    }
    return count / seconds, detail


if __name__ == "__main__":
    for result in run(quick=False):
        print(json.dumps(result))
