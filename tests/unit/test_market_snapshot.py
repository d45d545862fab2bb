"""Snapshots of a market: priority, large totals, and what is refused."""

import msgspec
import pytest

from exchange.errors import InvariantError
from exchange.market.decider import decide, evolve
from exchange.market.snapshot import capture, restore
from exchange.market.state import Market
from tests.support.market_flow import BUY, NOW_NS, SELL, SYMBOL, Trader, open_market, play


def test_a_restored_book_keeps_everybodys_turn() -> None:
    market = open_market()
    for account in range(1, 6):
        play(market, Trader(account).limit(BUY, 100, 1))
    play(market, Trader(2).cancel(2))
    twin = restore(capture(market)())
    trades = play(twin, Trader(9).limit(SELL, 100, 4))[1:]
    assert [trade.maker_account_id for trade in trades] == [1, 3, 4, 5]


def test_a_capture_is_not_touched_by_what_happens_before_it_is_encoded() -> None:
    market = open_market()
    play(market, Trader(1).limit(BUY, 100, 5))
    before = capture(market)()
    encode = capture(market)
    play(market, Trader(2).limit(SELL, 100, 3))
    assert encode() == before
    assert capture(market)() != before


def test_a_market_that_never_opened_has_a_snapshot_too() -> None:
    twin = restore(capture(Market(SYMBOL))())
    assert (twin.symbol, twin.instrument) == (SYMBOL, None)


def test_totals_beyond_64_bits_survive() -> None:
    market = open_market()
    market.traded_quote = 10**25
    assert restore(capture(market)()).traded_quote == 10**25


def test_no_snapshot_is_taken_within_a_message() -> None:
    market = open_market()
    play(market, Trader(1).limit(SELL, 100, 5))
    accepted = decide(market, Trader(2).limit(BUY, 100, 1), NOW_NS)[0]
    evolve(market, accepted)
    with pytest.raises(InvariantError):
        capture(market)


def test_foreign_bytes_and_newer_versions_are_refused() -> None:
    with pytest.raises(InvariantError):
        restore(b"\xc1nothing")
    fields = msgspec.msgpack.decode(capture(open_market())())
    with pytest.raises(InvariantError):
        restore(msgspec.msgpack.encode([99, *fields[1:]]))
