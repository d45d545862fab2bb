"""Laws of a market for every sequence of messages. Prices stay near the middle, ids are fresh.

Every law has caught bugs planted in the market before it was trusted.
"""

import random
from dataclasses import fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.answers import MarketUpdate, PublicTrade
from exchange.instrument import Instrument
from exchange.market.decider import decide, evolve
from exchange.market.events import OrderAccepted, OrderAmended, OrderClosed, TradeExecuted
from exchange.market.snapshot import capture, restore
from exchange.market.state import Market
from exchange.marketdata.depth import DepthBook
from exchange.marketdata.feed import full, take_update
from exchange.money import UNIT, commission
from exchange.orders import CancelRestriction, OrderType, ReplaceMode, Side, TimeInForce
from tests.support.market_flow import BUY, INSTRUMENT, NOW_NS, SYMBOL, Trader, open_market, play
from tests.support.naive_market import NaiveMarket

# Small bounds, so that they are reached.
RULES = Instrument(
    symbol=SYMBOL,
    base_asset="BTC",
    quote_asset="USDT",
    tick_size=INSTRUMENT.tick_size,
    lot_size=INSTRUMENT.lot_size,
    price_ticks_min=96,
    quantity_lots_max=12,
    market_quantity_lots_max=9,
    notional_min=97_000,
    band_up_e8=UNIT * 106 // 100,
    band_down_e8=UNIT * 94 // 100,
    open_orders_max=8,
)

ACCOUNTS = 3


class Scenario:
    """Turns drawn numbers into messages about the orders that are open, so that much happens."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.traders = {number: Trader(number) for number in range(1, ACCOUNTS + 1)}

    def message(self, step: tuple[Any, ...]) -> Any:
        kind, number, *details = step
        if kind in ("cancel", "amend", "replace"):
            return self.about(kind, number, *details)
        return getattr(self, kind)(self.traders[number % ACCOUNTS + 1], *details)

    def about(self, kind: str, number: int, by: str, *details: Any) -> Any:
        """A message about an open order, or nearly: by `by`, and sometimes from another's owner."""
        orders = self.market.orders
        order = orders[sorted(orders)[number % len(orders)]] if orders else None
        order_id = order.order_id if order is not None else number
        client_id = order.client_order_id if order is not None else "none"
        account = order.account_id if order is not None else 1
        if by == "other":
            account = account % ACCOUNTS + 1
        if by == "mismatch":
            client_id = f"a{account}-{number}"
        trader = self.traders[account]
        ids = {
            "id": (order_id, ""),
            "client": (0, client_id),
            "gone": (order_id + 1_000, ""),
            "nothing": (0, ""),
        }.get(by, (order_id, client_id))
        return getattr(self, kind)(trader, ids, *details)

    def limit(
        self, trader: Trader, side: Side, price: int, n: int, tif: TimeInForce, old: int
    ) -> Any:
        """Sometimes under a client id that was used before: `old` counts back."""
        if not old:
            return trader.limit(side, price, n, tif)
        ref = max(1, trader.last_ref + 1 - old)
        return trader.limit(side, price, n, tif, client_order_id=f"a{trader.account_id}-{ref}")

    def maker(self, trader: Trader, side: Side, price: int, n: int) -> Any:
        return trader.limit(side, price, n, order_type=OrderType.LIMIT_MAKER)

    def market_order(self, trader: Trader, side: Side, n: int, protect: int) -> Any:
        return trader.market(side, n, protect)

    def amount(self, trader: Trader, side: Side, amount: int, protect: int, held: int) -> Any:
        return trader.market_for(side, amount, protect, held)

    def cancel(self, trader: Trader, ids: tuple[int, str], restriction: CancelRestriction) -> Any:
        return trader.cancel(*ids, restriction)

    def cancel_all(self, trader: Trader) -> Any:
        return trader.cancel_all()

    def amend(self, trader: Trader, ids: tuple[int, str], n: int, name: int) -> Any:
        order_id, client_id = ids
        new_id = f"a{trader.account_id}-{name}" if name else ""
        return trader.amend(order_id, n, new_id, client_id)

    def replace(
        self,
        trader: Trader,
        ids: tuple[int, str],
        step: tuple[Any, ...],
        mode: ReplaceMode,
        top_up: int | None,
        restriction: CancelRestriction,
    ) -> Any:
        order = getattr(self, step[0])(trader, *step[1:])
        if top_up is not None:
            top_up = order.hold_amount * top_up // 4
        return trader.replace(*ids, order, mode, top_up, restriction)


class Draw:
    """Steps of a flow from a seed: weighted by hand, because uniform flows hardly ever trade."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.mid = 100
        self.kinds = {
            self.limit: 50,
            self.maker: 6,
            self.market_order: 6,
            self.amount: 8,
            self.cancel: 8,
            self.amend: 8,
            self.replace: 16,
            self.cancel_all: 1,
        }

    def step(self) -> tuple[Any, ...]:
        draw = self.random.choices(list(self.kinds), list(self.kinds.values()))[0]
        return draw()

    def number(self) -> int:
        return self.random.randrange(30)

    def price(self, side: Side) -> int:
        """Mostly a little worse than the middle, so that a book builds up; sometimes far off."""
        if self.random.random() < 0.05:
            return self.random.randint(90, 110)
        away = self.random.choice((-2, -1, 0, 0, 1, 1, 2, 3))
        return self.mid - away if side is BUY else self.mid + 1 + away

    def lots(self) -> int:
        return self.random.randint(1, 13)

    def protect(self) -> int:
        return self.random.choice((0, 96, 98, 99, 101, 102, 104, 105))

    def side(self) -> Side:
        return self.random.choice((Side.BUY, Side.SELL))

    def limit(self) -> tuple[Any, ...]:
        side = self.side()
        tif = self.random.choice([TimeInForce.GTC] * 5 + list(TimeInForce))
        old = self.random.choice([0] * 12 + [1, 2, 3])
        return "limit", self.number(), side, self.price(side), self.lots(), tif, old

    def maker(self) -> tuple[Any, ...]:
        side = self.side()
        return "maker", self.number(), side, self.price(side), self.lots()

    def market_order(self) -> tuple[Any, ...]:
        return "market_order", self.number(), self.side(), self.lots(), self.protect()

    def amount(self) -> tuple[Any, ...]:
        amount = self.random.choice((90_000, 200_000, 800_000, self.random.randint(90_000, 10**6)))
        return "amount", self.number(), self.side(), amount, self.protect(), self.lots() * 2

    def by(self) -> str:
        return self.random.choice(
            ("id", "client", "both") * 5 + ("other", "mismatch", "gone", "nothing")
        )

    def restriction(self) -> CancelRestriction:
        return self.random.choice([CancelRestriction.NONE] * 4 + list(CancelRestriction))

    def cancel(self) -> tuple[Any, ...]:
        return "cancel", self.number(), self.by(), self.restriction()

    def amend(self) -> tuple[Any, ...]:
        name = self.random.choice((0, 0, 0, 1, 2, 99))
        return "amend", self.number(), self.by(), self.random.randint(1, 8), name

    def replace(self) -> tuple[Any, ...]:
        new = self.random.choice(
            (self.limit, self.limit, self.limit, self.maker, self.market_order, self.amount)
        )()
        mode = self.random.choice(list(ReplaceMode))
        top_up = self.random.choice((None, None, 4, 2, 1, 0))
        by = self.by()
        return "replace", self.number(), by, (new[0], *new[2:]), mode, top_up, self.restriction()

    def cancel_all(self) -> tuple[Any, ...]:
        return "cancel_all", self.number()


def drawn_flow(seed: int, length: int) -> list[tuple[Any, ...]]:
    draw = Draw(seed)
    return [draw.step() for _ in range(length)]


flows = st.builds(drawn_flow, st.integers(0, 2**32), st.integers(20, 120))
law = settings(max_examples=200, deadline=None, database=None)


def run(flow: list[tuple[Any, ...]]) -> tuple[Market, list[Any]]:
    market = open_market(RULES)
    scenario = Scenario(market)
    events = [event for step in flow for event in play(market, scenario.message(step))]
    return market, events


@law
@given(flows)
def test_fast_market_equals_naive_market(flow: list[tuple[Any, ...]]) -> None:
    market, naive = open_market(RULES), NaiveMarket(RULES, NOW_NS)
    scenario = Scenario(market)
    for step in flow:
        message = scenario.message(step)
        assert play(market, message) == naive.handle(message)
    assert sorted(market.orders) == [order.order_id for order in naive.resting]


@law
@given(flows)
def test_book_is_never_crossed_not_even_between_events(flow: list[tuple[Any, ...]]) -> None:
    market = open_market(RULES)
    scenario = Scenario(market)
    for step in flow:
        for event in decide(market, scenario.message(step), NOW_NS):
            evolve(market, event)
            bid, ask = market.book.best_bid(), market.book.best_ask()
            assert not bid or not ask or bid < ask
        assert market.taker is None


@law
@given(flows)
def test_every_lot_is_executed_canceled_or_open(flow: list[tuple[Any, ...]]) -> None:
    market, events = run(flow)
    leaves: dict[int, int] = {}
    by_amount: dict[int, int] = {}
    for event in events:
        if isinstance(event, OrderAccepted):
            if event.quote_amount:
                by_amount[event.order_id] = event.quote_amount
            else:
                leaves[event.order_id] = event.quantity_lots
        elif isinstance(event, TradeExecuted):
            for order_id in (event.taker_order_id, event.maker_order_id):
                if order_id in by_amount:
                    by_amount[order_id] -= event.quote_amount
                    assert by_amount[order_id] >= 0
                else:
                    leaves[order_id] -= event.quantity_lots
                    assert leaves[order_id] >= 0
        elif isinstance(event, OrderAmended):
            leaves[event.order_id] -= event.old_quantity_lots - event.new_quantity_lots
            assert leaves[event.order_id] > 0
        elif isinstance(event, OrderClosed) and event.order_id not in by_amount:
            assert leaves.pop(event.order_id) > 0
    still_open = {order_id: left for order_id, left in leaves.items() if left}
    assert still_open == {o.order_id: o.leaves_lots for o in market.orders.values()}
    for order in market.orders.values():
        assert order.executed_lots + order.leaves_lots == order.quantity_lots


@law
@given(flows)
def test_levels_add_up_and_indexes_agree(flow: list[tuple[Any, ...]]) -> None:
    market, _ = run(flow)
    sums: dict[int, int] = {}
    for order in market.orders.values():
        sums[order.book_key] = sums.get(order.book_key, 0) + order.leaves_lots
        assert market.accounts[order.account_id][order.client_order_id] is order
    book = market.book
    assert {key: level.lots for key, level in book.levels.items()} == sums
    assert sorted(sums) == sorted(book.bids + book.asks)
    assert book.bids == sorted(book.bids)
    assert book.asks == sorted(book.asks)
    assert sum(len(own) for own in market.accounts.values()) == len(market.orders)
    assert all(market.accounts.values())
    for level in book.levels.values():
        assert level.gone == sum(1 for order in level.queue if order.leaves_lots == 0)
        assert level.queue[0].leaves_lots > 0


@law
@given(flows, st.integers(0, 40))
def test_replay_equals_live_from_any_snapshot(flow: list[tuple[Any, ...]], at: int) -> None:
    live, replayed = open_market(RULES), open_market(RULES)
    scenario = Scenario(live)
    for number, step in enumerate(flow):
        if number == at:
            replayed = restore(capture(replayed)())
        for event in play(live, scenario.message(step)):
            evolve(replayed, event)
    assert capture(live)() == capture(replayed)()
    assert capture(restore(capture(live)()))() == capture(live)()


@law
@given(flows, st.integers(0, 120))
def test_a_capture_is_the_state_of_its_moment_however_late_it_is_encoded(
    flow: list[tuple[Any, ...]], at: int
) -> None:
    market = open_market(RULES)
    scenario = Scenario(market)
    for step in flow[:at]:
        play(market, scenario.message(step))
    expected, encode = capture(market)(), capture(market)
    for step in flow[at:]:
        play(market, scenario.message(step))
    assert encode() == expected


@law
@given(flows)
def test_a_restored_market_is_the_live_one(flow: list[tuple[Any, ...]]) -> None:
    market, _ = run(flow)
    twin = restore(capture(market)())
    unpublished = ("published_update_id", "changed_levels", "unpublished_trades", "book")
    for field in fields(Market):
        if field.name not in unpublished:
            assert getattr(twin, field.name) == getattr(market, field.name), field.name
    assert twin.published_update_id == market.update_id
    trader = Trader(ACCOUNTS + 1)
    for side in Side:
        message = trader.market(side, 9, 105 if side is BUY else 95)
        assert decide(market, message, NOW_NS) == decide(twin, message, NOW_NS)


@law
@given(flows, st.integers(1, 7))
def test_updates_are_contiguous_and_rebuild_the_depth(
    flow: list[tuple[Any, ...]], batch: int
) -> None:
    market = open_market(RULES)
    scenario = Scenario(market)
    copy = DepthBook(SYMBOL)
    trades: list[PublicTrade] = []
    for number, step in enumerate(flow):
        play(market, scenario.message(step))
        if number % batch:
            continue
        update = take_update(market)
        if update is None:
            continue
        assert isinstance(update, MarketUpdate)
        assert update.first_update_id == copy.update_id + 1
        assert update.last_update_id >= update.first_update_id
        assert copy.apply(update)
        trades += update.trades
        expected = full(market, 100)
        assert copy.top(100) == (expected.bids, expected.asks)
        assert copy.update_id == expected.update_id == market.update_id
        assert tuple(trades) == expected.trades
    assert len(trades) == len({trade.trade_id for trade in trades})


@law
@given(flows, flows)
def test_a_full_book_after_a_gap_is_an_update_without_one(
    before: list[tuple[Any, ...]], missed: list[tuple[Any, ...]]
) -> None:
    market = open_market(RULES)
    scenario = Scenario(market)
    copy, follower = DepthBook(SYMBOL), DepthBook(SYMBOL)
    for flow in (before, missed):
        for step in flow:
            play(market, scenario.message(step))
        update = copy.apply_full(full(market, 100))
        if update is not None:
            assert update.first_update_id == follower.update_id + 1
            assert follower.apply(update)
        assert follower.top(100) == copy.top(100)
        assert copy.top(100) == (market.book.depth_bids(100), market.book.depth_asks(100))
        assert follower.last_trade_id == market.trades


@law
@given(flows)
def test_commissions_are_rounded_down_from_what_each_side_receives(
    flow: list[tuple[Any, ...]],
) -> None:
    _, events = run(flow)
    rates: dict[int, tuple[int, int]] = {}
    for event in events:
        if isinstance(event, OrderAccepted):
            rates[event.order_id] = (event.maker_rate_e8, event.taker_rate_e8)
        if not isinstance(event, TradeExecuted):
            continue
        assert event.quote_amount == (
            event.price_ticks * event.quantity_lots * RULES.minor_units_per_tick_lot
        )
        assert event.base_amount == event.quantity_lots * RULES.lot_size
        received = (event.base_amount, event.quote_amount)
        taker_received, maker_received = received if event.taker_side is BUY else received[::-1]
        taker_rate = rates[event.taker_order_id][1]
        maker_rate = rates[event.maker_order_id][0]
        assert event.taker_commission == commission(taker_received, taker_rate)
        assert event.maker_commission == commission(maker_received, maker_rate)


@given(st.integers(0, 2**63 - 1), st.integers(0, UNIT))
def test_a_commission_is_the_whole_part_of_the_exact_fee(received: int, rate_e8: int) -> None:
    fee = commission(received, rate_e8)
    assert 0 <= received * rate_e8 - fee * UNIT < UNIT
    assert fee <= received
