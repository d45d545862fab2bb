"""The pure market alone: orders and cancels a second through decide and evolve, events included.

One process, one thread, no storage, no encoding. The flow is drawn before the clock starts.
"""

import json
import random
import statistics
import time

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
    """A seeded flow of messages: makers on both sides of the mid, takers, cancels."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._open: list[tuple[int, str]] = []
        self._refs = 0

    def messages(self, count: int) -> list[MarketMessage]:
        """Return the resting orders first, then `count` messages of the mix."""
        chance = self._random.random
        flow: list[MarketMessage] = [self._maker() for _ in range(RESTING_ORDERS)]
        while len(flow) < RESTING_ORDERS + count:
            draw = chance()
            if draw < 0.26:
                flow.append(self._cancel())
            elif draw < 0.63:
                flow.append(self._maker())
            else:
                flow.append(self._taker())
        return flow

    def _maker(self) -> OrderSubmitted:
        side = self._random.choice((Side.BUY, Side.SELL))
        away = 1 + int(self._random.expovariate(1 / 40))
        price = MID_TICKS - away if side is Side.BUY else MID_TICKS + away
        order = self._order(side, TimeInForce.GTC, price, self._random.randint(1, 20))
        self._open.append((order.account_id, order.client_order_id))
        return order

    def _taker(self) -> OrderSubmitted:
        side = self._random.choice((Side.BUY, Side.SELL))
        price = MID_TICKS + 400 if side is Side.BUY else MID_TICKS - 400
        return self._order(side, TimeInForce.IOC, price, self._random.randint(1, 20))

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
        """One of the newer orders; it may have traded already."""
        newest = len(self._open) - 1
        at = max(0, newest - int(self._random.expovariate(1 / 500)))
        account_id, client_order_id = self._open.pop(at)
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


def _round(seed: int, count: int) -> tuple[float, dict[str, int]]:
    market = Market(SYMBOL)
    for event in decide(market, MarketAdded(INSTRUMENT, NOW_NS), NOW_NS):
        evolve(market, event)
    flow = Flow(seed).messages(count)
    for message in flow[:RESTING_ORDERS]:
        for event in decide(market, message, NOW_NS):
            evolve(market, event)
    take_update(market)
    trades_before = market.trades
    messages = flow[RESTING_ORDERS:]
    events = 0
    started = time.perf_counter()
    for first in range(0, count, BATCH):
        for message in messages[first : first + BATCH]:
            for event in decide(market, message, NOW_NS):
                evolve(market, event)
                events += 1
        take_update(market)
    seconds = time.perf_counter() - started
    detail = {
        "messages": count,
        "events": events,
        "trades": market.trades - trades_before,
        "resting_at_end": len(market.orders),
    }
    return count / seconds, detail


if __name__ == "__main__":
    for result in run(quick=False):
        print(json.dumps(result))
