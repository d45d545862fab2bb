"""What the directory tells a market."""

from typing import Any

import msgspec
import pytest

from exchange.directory.events import InstrumentUpdated, MarketAdded, MarketStatusSet
from exchange.errors import InvariantError
from exchange.instrument import MarketStatus
from exchange.market.decider import decide, evolve
from exchange.market.events import InstrumentChanged, MarketOpened, MarketStatusChanged
from exchange.market.state import Market
from exchange.reject import RejectReason
from tests.support.market_flow import BUY, INSTRUMENT, NOW_NS, SYMBOL, Trader, open_market, play


def test_a_market_opens_once() -> None:
    market = Market(SYMBOL)
    assert play(market, MarketAdded(INSTRUMENT, 5)) == [MarketOpened(INSTRUMENT, NOW_NS)]
    assert play(market, MarketAdded(INSTRUMENT, 5)) == []
    assert market.instrument == INSTRUMENT


def test_new_filters_are_in_force_for_the_next_order() -> None:
    market, trader = open_market(), Trader(1)
    play(market, trader.limit(BUY, 100, 1))
    stricter = msgspec.structs.replace(INSTRUMENT, quantity_lots_min=2)
    assert play(market, InstrumentUpdated(stricter, 5)) == [InstrumentChanged(stricter, NOW_NS)]
    assert play(market, trader.limit(BUY, 100, 1))[0].reason is RejectReason.LOT_SIZE
    assert market.book.depth_bids(5) == ((100, 1),)


def test_a_change_for_a_market_that_never_opened_is_ignored() -> None:
    assert play(Market(SYMBOL), InstrumentUpdated(INSTRUMENT, 5)) == []


@pytest.mark.parametrize("field", ["tick_size", "lot_size"])
def test_ticks_and_lots_of_open_orders_never_change_their_meaning(field: str) -> None:
    market = open_market()
    doubled: Any = {field: getattr(INSTRUMENT, field) * 2}
    (event,) = decide(
        market, InstrumentUpdated(msgspec.structs.replace(INSTRUMENT, **doubled), 5), NOW_NS
    )
    with pytest.raises(InvariantError):
        evolve(market, event)


def test_a_status_is_told_when_it_changes() -> None:
    market = open_market()
    halt = MarketStatusSet(SYMBOL, MarketStatus.HALT, "why", 5)
    assert play(market, halt) == [MarketStatusChanged(SYMBOL, MarketStatus.HALT, NOW_NS)]
    assert play(market, halt) == []
