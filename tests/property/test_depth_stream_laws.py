"""Laws of depth streams: no gap, and a client's book equals the market's, however it listens."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.answers import MarketFull, MarketUpdate
from tests.support.direct_exchange import DirectExchange, StreamClient

SYMBOL = "BTCUSDT"
LEVELS = st.tuples(st.sampled_from((1, 2)), st.integers(1, 4), st.sampled_from((0, 0, 1, 2, 3)))
ACTIONS = ("tick", "tick", "tick", "slow", "read", "read", "lose", "full", "snapshot")
# Each step changes levels, then does something. Long enough that clients fall behind and recover.
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.lists(LEVELS, min_size=1, max_size=4)),
    min_size=15,
    max_size=60,
)


class Publisher:
    """A market as its gateways see it: updates, some lost on the way, and full states."""

    def __init__(self, exchange: DirectExchange) -> None:
        assert exchange.gateway is not None
        self.gateway = exchange.gateway
        self.update_id = 0
        self.book: dict[tuple[int, int], int] = {}

    def change(self, levels: list[tuple[int, int, int]], *, is_lost: bool) -> None:
        absolute: dict[tuple[int, int], int] = {}
        first = self.update_id + 1
        for side, ticks, lots in levels:
            # Bids at 1 to 4, asks at 11 to 14: a book that is not crossed.
            key = side, ticks if side == 1 else ticks + 10
            if self.book.get(key, 0) != lots:
                self.book[key] = absolute[key] = lots
                self.update_id += 1
        if absolute and not is_lost:
            rows = tuple([(side, ticks, lots) for (side, ticks), lots in absolute.items()])
            update = MarketUpdate(SYMBOL, first, self.update_id, rows, (), 10**18)
            self.gateway.on_market_data("market/BTCUSDT", update)

    def full(self) -> None:
        bids = [(ticks, lots) for (side, ticks), lots in self.book.items() if side == 1 and lots]
        asks = [(ticks, lots) for (side, ticks), lots in self.book.items() if side == 2 and lots]
        state = MarketFull(
            SYMBOL,
            self.update_id,
            tuple(sorted(bids, reverse=True)),
            tuple(sorted(asks)),
            (),
            None,
            10**18,
        )
        self.gateway.on_market_data("market/BTCUSDT", state)

    def rows(self, side: int) -> dict[str, str]:
        return {
            f"{ticks // 100}.{ticks % 100:02d}000000": f"0.{lots * 1_000:08d}"
            for (of, ticks), lots in self.book.items()
            if of == side and lots
        }


class FollowingClient:
    """A client that follows the dialect's recipe for a local book, strictly."""

    def __init__(self, client: StreamClient) -> None:
        self.client = client
        self.last_u: int | None = None
        self.book: dict[str, dict[str, str]] | None = None
        self.snapshot_id = 0
        self.is_first = True

    def take_snapshot(self) -> None:
        assert self.client.exchange.gateway is not None
        book = self.client.exchange.gateway.market_data.markets[SYMBOL].book
        texts = self.client.exchange.gateway.market_data.markets[SYMBOL].texts
        bids, asks = book.top(5_000)
        self.snapshot_id = book.update_id
        self.is_first = True
        self.book = {
            "b": {texts.prices[ticks]: texts.quantities[lots] for ticks, lots in bids},
            "a": {texts.prices[ticks]: texts.quantities[lots] for ticks, lots in asks},
        }

    def follow(self) -> None:
        for event in self.client.wire.messages():
            if event.get("e") == "depthUpdate":
                self._apply(event)

    def _apply(self, event: dict[str, Any]) -> None:
        assert event["U"] <= event["u"]
        if self.last_u is not None:
            assert event["U"] == self.last_u + 1
        self.last_u = event["u"]
        if self.book is None or event["u"] <= self.snapshot_id:
            return
        if self.is_first:
            assert event["U"] <= self.snapshot_id + 1 <= event["u"]
            self.is_first = False
        for side in ("b", "a"):
            for price, quantity in event[side]:
                if quantity == "0.00000000":
                    self.book[side].pop(price, None)
                else:
                    self.book[side][price] = quantity


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_events_follow_without_gap_and_books_of_clients_equal_the_market(
    steps: list[tuple[str, list[tuple[int, int, int]]]],
) -> None:
    exchange = DirectExchange()
    exchange.follow_market = lambda symbol: None  # type: ignore[method-assign]
    publisher = Publisher(exchange)
    fast, slow = (FollowingClient(StreamClient(exchange)) for _ in range(2))
    fast.client.send("SUBSCRIBE", ["btcusdt@depth@100ms"])
    slow.client.send("SUBSCRIBE", ["btcusdt@depth"])
    for client in (fast, slow):
        client.take_snapshot()
    for name, levels in steps:
        publisher.change(levels, is_lost=name == "lose")
        if name == "full":
            publisher.full()
        elif name == "tick":
            exchange.pass_time(100)
        elif name == "snapshot":
            fast.take_snapshot()
            slow.take_snapshot()
        elif name in ("slow", "read"):
            for client in (fast, slow):
                client.client.wire.unread = 2**21 if name == "slow" else 0
        exchange.run()
        fast.follow()
        slow.follow()
    for client in (fast, slow):
        client.client.wire.unread = 0
    publisher.full()
    exchange.pass_time(2_100)
    for client in (fast, slow):
        client.follow()
        if client.book is not None:
            assert client.book == {"b": publisher.rows(1), "a": publisher.rows(2)}
