"""Market data: candles, the rolling ticker, updates, and copies of the depth at a distance."""

from exchange.answers import Candle, MarketFull, MarketUpdate, PublicTrade
from exchange.market.state import CHANGED_LEVELS_MAX
from exchange.marketdata.candle import DAY_MINUTES, MINUTE_MS, RollingTicker, fold_candle
from exchange.marketdata.depth import DepthBook
from exchange.marketdata.feed import discard_update, full, quote, take_update
from exchange.money import AMOUNT_MAX
from tests.support.market_flow import BUY, NOW_NS, SELL, SYMBOL, Trader, open_market, play

MINUTE_NS = MINUTE_MS * 1_000_000


def trade(
    trade_id: int, price: int, lots: int, minute: float, is_buyer_maker: bool = False
) -> PublicTrade:
    return PublicTrade(trade_id, price, lots, price * lots, int(minute * MINUTE_NS), is_buyer_maker)


# ------------------------------------------------------------------ candles


def test_a_candle_folds_the_trades_of_its_minute() -> None:
    candle = None
    for one in (trade(7, 100, 2, 5.0), trade(8, 90, 1, 5.2, True), trade(9, 95, 3, 5.99)):
        candle = fold_candle(candle, one)
    assert candle == Candle(5 * MINUTE_MS, 100, 100, 90, 95, 6, 575, 5, 485, 3, 7, 9)


def test_the_next_minute_has_a_candle_of_its_own() -> None:
    first = fold_candle(None, trade(1, 100, 2, 5.5))
    second = fold_candle(first, trade(2, 101, 1, 6.0, True))
    assert first.last_trade_id == 1
    assert second == Candle(6 * MINUTE_MS, 101, 101, 101, 101, 1, 101, 0, 0, 1, 2, 2)


def test_a_trade_from_before_the_minute_counts_in_it() -> None:
    running = fold_candle(None, trade(1, 100, 2, 5.5))
    assert fold_candle(running, trade(2, 100, 1, 4.9)) is running
    assert running.trades == 2


def test_volumes_stop_where_stores_end() -> None:
    candle = fold_candle(None, PublicTrade(1, 1, 1, AMOUNT_MAX, 0, False))
    fold_candle(candle, PublicTrade(2, 1, 1, AMOUNT_MAX, 0, False))
    assert (candle.volume_quote, candle.taker_buy_quote) == (AMOUNT_MAX, AMOUNT_MAX)
    assert candle.volume_lots == 2


# ------------------------------------------------------------------ ticker


def test_the_ticker_covers_the_last_24_hours() -> None:
    ticker = RollingTicker()
    for one in (trade(1, 100, 1, 0), trade(2, 120, 2, 10), trade(3, 80, 3, 20)):
        ticker.add(one)
    now = ticker.at(21 * MINUTE_MS)
    assert (now.open_ticks, now.high_ticks, now.low_ticks, now.last_ticks) == (100, 120, 80, 80)
    assert (now.volume_lots, now.trades, now.last_lots) == (6, 3, 3)
    assert (now.first_trade_id, now.last_trade_id, now.previous_close_ticks) == (1, 3, 0)
    later = ticker.at((DAY_MINUTES + 11) * MINUTE_MS)
    assert (later.open_ticks, later.high_ticks, later.previous_close_ticks) == (80, 80, 120)
    assert (later.volume_lots, later.volume_quote, later.trades) == (3, 240, 1)


def test_a_ticker_without_trades_has_no_ids_and_keeps_the_previous_close() -> None:
    ticker = RollingTicker()
    ticker.add(trade(1, 100, 1, 0))
    empty = ticker.at((DAY_MINUTES + 1) * MINUTE_MS)
    assert (empty.first_trade_id, empty.last_trade_id, empty.trades) == (-1, -1, 0)
    assert (empty.previous_close_ticks, empty.volume_lots) == (100, 0)


def test_a_ticker_starts_from_stored_candles_and_counts_no_trade_twice() -> None:
    first = fold_candle(fold_candle(None, trade(1, 100, 1, 0)), trade(2, 90, 1, 0.5))
    ticker = RollingTicker()
    ticker.add_candle(first)
    for one in (trade(2, 90, 1, 0.5), trade(3, 95, 4, 0.7), trade(4, 96, 1, 1.5)):
        ticker.add(one)
    now = ticker.at(2 * MINUTE_MS)
    assert (now.trades, now.volume_lots, now.open_ticks, now.last_ticks) == (4, 7, 100, 96)
    assert first.trades == 2  # the caller's candle is not touched


# ------------------------------------------------------------------ updates


def test_an_update_has_the_levels_that_changed_and_the_trades() -> None:
    market, trader = open_market(), Trader(1)
    assert take_update(market) is None
    play(market, trader.limit(BUY, 100, 5))
    play(market, trader.limit(SELL, 103, 2))
    play(market, Trader(2).limit(BUY, 103, 2))
    update = take_update(market)
    assert isinstance(update, MarketUpdate)
    assert (update.first_update_id, update.last_update_id) == (1, 3)
    assert update.levels == ((1, 100, 5), (2, 103, 0))
    assert [one.trade_id for one in update.trades] == [1]
    assert take_update(market) is None
    assert quote(market) == (100, 0, 103)


def test_a_market_that_nobody_publishes_forgets_and_then_sends_a_full_book() -> None:
    market, trader = open_market(), Trader(1)
    for price in range(1, 2_000):
        play(market, trader.limit(BUY, price, 1))
    market.changed_levels.update(dict.fromkeys(range(1, CHANGED_LEVELS_MAX + 2)))
    for _ in range(1_100):
        play(market, trader.limit(BUY, 5_000, 1))
    assert len(market.changed_levels) <= CHANGED_LEVELS_MAX
    message = take_update(market)
    assert isinstance(message, MarketFull)
    assert message.update_id == market.update_id
    assert len(message.bids) == 2_000
    assert take_update(market) is None


def test_after_recovery_the_ids_go_on_without_a_gap() -> None:
    market, trader = open_market(), Trader(1)
    play(market, trader.limit(BUY, 100, 5))
    discard_update(market)
    play(market, trader.limit(BUY, 101, 5))
    update = take_update(market)
    assert isinstance(update, MarketUpdate)
    assert (update.first_update_id, update.levels) == (2, ((1, 101, 5),))


def test_a_full_book_is_bounded_and_has_a_candle_that_later_trades_do_not_touch() -> None:
    market, trader = open_market(), Trader(1)
    for price in (100, 101, 102):
        play(market, trader.limit(BUY, price, 5))
    play(market, Trader(2).limit(SELL, 102, 1))
    message = full(market, 2)
    play(market, Trader(3).limit(SELL, 102, 1))
    assert message.bids == ((102, 4), (101, 5))
    assert message.asks == ()
    assert message.candle is not None
    assert (message.candle.trades, len(message.trades)) == (1, 1)
    assert full(market, 0).bids == ()


# ------------------------------------------------------------------ depth at a distance


def update_of(first: int, last: int, *levels: tuple[int, int, int]) -> MarketUpdate:
    return MarketUpdate(SYMBOL, first, last, levels, (), NOW_NS)


def full_of(
    update_id: int, bids: dict[int, int], trades: tuple[PublicTrade, ...] = ()
) -> MarketFull:
    return MarketFull(SYMBOL, update_id, tuple(bids.items()), (), trades, None, NOW_NS)


def test_a_copy_applies_levels_and_knows_its_best() -> None:
    book = DepthBook(SYMBOL)
    assert book.best_bid() == (0, 0)
    assert book.apply(update_of(1, 4, (1, 100, 5), (1, 99, 2), (2, 105, 1), (2, 104, 7)))
    assert (book.best_bid(), book.best_ask()) == ((100, 5), (104, 7))
    assert book.top(1) == (((100, 5),), ((104, 7),))
    assert book.apply(update_of(5, 5, (1, 100, 0)))
    assert book.top(9) == (((99, 2),), ((104, 7), (105, 1)))
    assert book.top(0) == ((), ())


def test_a_copy_refuses_what_leaves_a_gap_and_takes_what_overlaps() -> None:
    book = DepthBook(SYMBOL)
    assert not book.apply(update_of(3, 4, (1, 100, 5)))
    assert book.update_id == 0
    book.apply_full(full_of(10, {100: 5}))
    assert book.apply(update_of(7, 9, (1, 100, 3)))  # known already
    assert book.best_bid() == (100, 5)
    assert book.apply(update_of(9, 12, (1, 100, 6)))
    assert (book.best_bid(), book.update_id) == ((100, 6), 12)


def test_the_difference_to_a_full_book_continues_the_ids() -> None:
    book = DepthBook(SYMBOL)
    book.apply(update_of(1, 4, (1, 100, 5), (1, 99, 2), (1, 98, 1)))
    old, new = trade(1, 99, 1, 0), trade(2, 99, 1, 0)
    book.last_trade_id = 1
    difference = book.apply_full(full_of(9, {101: 1, 99: 2, 98: 4}, (old, new)))
    assert difference is not None
    assert (difference.first_update_id, difference.last_update_id) == (5, 9)
    assert sorted(difference.levels) == [(1, 98, 4), (1, 100, 0), (1, 101, 1)]
    assert difference.trades == (new,)
    assert book.apply_full(full_of(9, {101: 1, 99: 2, 98: 4}, (old, new))) is None
