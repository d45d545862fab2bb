"""Every promise of ColdStore, for every adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exchange.answers import Candle, PublicTrade
from exchange.orders import (
    ExpiryReason,
    OrderState,
    OrderStatus,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from storage.memory_cold import MemoryColdStore
from storage.ports import (
    AccountTrade,
    ColdBatch,
    ColdStore,
    CorruptError,
    MarketAssets,
    SequenceConflictError,
    Transfer,
)
from storage.sqlite.cold import SqliteColdStore

SYMBOL = "BTCUSDT"
STORES: dict[str, Callable[[Path], ColdStore]] = {
    "memory": lambda _: MemoryColdStore(),
    "sqlite": lambda folder: SqliteColdStore(folder / "cold.db"),
}


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ColdStore]:
    opened = STORES[request.param](tmp_path)
    yield opened
    await opened.close()


def batch(
    after_seq: int = 0,
    last_seq: int = 1,
    *,
    shard: str = "account/0",
    orders: list[OrderState] | None = None,
    sides: list[AccountTrade] | None = None,
    transfers: list[Transfer] | None = None,
    trades: list[PublicTrade] | None = None,
    candles: list[Candle] | None = None,
    markets: list[MarketAssets] | None = None,
) -> ColdBatch:
    return ColdBatch(
        shard,
        after_seq,
        last_seq,
        orders or [],
        sides or [],
        transfers or [],
        {SYMBOL: trades} if trades else {},
        {SYMBOL: candles} if candles else {},
        markets or [],
    )


def order(order_id: int, *, account_id: int = 7, client_order_id: str = "mine") -> OrderState:
    return OrderState(
        account_id,
        SYMBOL,
        order_id,
        order_id + 100,
        client_order_id,
        Side.SELL,
        OrderType.LIMIT,
        TimeInForce.GTC,
        5_000,
        40,
        0,
        10,
        50_000,
        OrderStatus.PARTIALLY_FILLED,
        SelfTradePrevention.EXPIRE_MAKER,
        order_id * 1_000,
        order_id * 1_000 + 5,
        ExpiryReason.NONE,
        1,
        2,
        -1,
        3,
    )


def side(
    trade_id: int, *, account_id: int = 7, order_id: int = 1, is_maker: bool = False
) -> AccountTrade:
    return AccountTrade(
        account_id,
        SYMBOL,
        trade_id,
        order_id,
        5_000,
        4,
        400,
        20_000,
        3,
        "USDT",
        trade_id * 1_000,
        False,
        is_maker,
    )


def trade(trade_id: int) -> PublicTrade:
    return PublicTrade(trade_id, 5_000, 4, 20_000, trade_id * 1_000, trade_id % 2 == 0)


def candle(minute: int, close_ticks: int = 5) -> Candle:
    return Candle(minute * 60_000, 1, 9, 1, close_ticks, 40, 400, 20, 200, 4, 10, 13)


def order_ids(orders: list[OrderState]) -> list[int]:
    return [one.order_id for one in orders]


def trade_ids(trades: list[AccountTrade] | list[PublicTrade]) -> list[int]:
    return [one.trade_id for one in trades]


async def test_new_store_knows_nothing(store: ColdStore) -> None:
    assert await store.watermark("account/0") == 0
    assert await store.watermarks() == {}
    assert await store.markets() == []
    assert await store.order(7, SYMBOL, 1, "") is None
    assert await store.order(7, SYMBOL, 0, "mine") is None
    assert await store.orders_by_id([(7, SYMBOL, 1)]) == []
    assert await store.orders(7, SYMBOL, 0, 0, 0, 10) == []
    assert await store.orders(7, SYMBOL, 0, 5, 6, 10) == []
    assert await store.account_trades(7, SYMBOL, 0, -1, 5, 0, 10) == []
    assert await store.trades(SYMBOL, -1, 10) == []
    assert await store.candles(SYMBOL, 0, 0, 10) == []


async def test_what_was_written_is_read_back_with_its_types(store: ColdStore) -> None:
    await store.write(
        batch(
            0,
            12,
            orders=[order(1)],
            sides=[side(3)],
            trades=[trade(3)],
            candles=[candle(2)],
            markets=[MarketAssets(SYMBOL, "BTC", "USDT")],
        )
    )
    found = await store.order(7, SYMBOL, 1, "")
    assert found == order(1)
    assert found is not None
    assert found.status is OrderStatus.PARTIALLY_FILLED
    assert found.is_open
    (found_side,) = await store.account_trades(7, SYMBOL, 0, -1, 0, 0, 10)
    assert found_side == side(3)
    assert found_side.is_buyer is False
    assert await store.trades(SYMBOL, -1, 10) == [trade(3)]
    assert await store.candles(SYMBOL, 0, 0, 10) == [candle(2)]
    assert await store.markets() == [MarketAssets(SYMBOL, "BTC", "USDT")]
    assert await store.watermark("account/0") == 12
    assert await store.watermarks() == {"account/0": 12}


@pytest.mark.parametrize("after_seq", [0, 4, 6])
async def test_batch_that_does_not_continue_the_watermark_writes_nothing(
    store: ColdStore, after_seq: int
) -> None:
    await store.write(batch(0, 5))
    with pytest.raises(SequenceConflictError):
        await store.write(batch(after_seq, 9, orders=[order(1)]))
    assert await store.order(7, SYMBOL, 1, "") is None
    assert await store.watermark("account/0") == 5


async def test_batches_are_written_all_or_none(store: ColdStore) -> None:
    good = batch(0, 5, orders=[order(1)])
    with pytest.raises(SequenceConflictError):
        await store.write_all([good, batch(3, 4, shard="market/BTCUSDT")])
    assert await store.order(7, SYMBOL, 1, "") is None
    assert await store.watermarks() == {}
    await store.write_all([good, batch(0, 4, shard="market/BTCUSDT", trades=[trade(1)])])
    assert await store.watermarks() == {"account/0": 5, "market/BTCUSDT": 4}


async def test_trade_that_is_there_already_is_corrupt_and_nothing_is_written(
    store: ColdStore,
) -> None:
    await store.write(batch(0, 1, sides=[side(1)], trades=[trade(1)]))
    with pytest.raises(CorruptError):
        await store.write(batch(1, 2, orders=[order(1)], sides=[side(1)]))
    with pytest.raises(CorruptError):
        await store.write(batch(1, 2, orders=[order(1)], trades=[trade(1)]))
    assert await store.watermark("account/0") == 1
    assert await store.order(7, SYMBOL, 1, "") is None


async def test_order_is_kept_as_it_was_last_written(store: ColdStore) -> None:
    first = order(1)
    await store.write(batch(0, 1, orders=[first]))
    first.executed_lots, first.executed_quote = 40, 200_000
    first.status, first.updated_at_ns = OrderStatus.FILLED, 99
    first.quantity_lots, first.client_order_id = 40, "renamed"
    first.expiry_reason, first.prevented_lots = ExpiryReason.EXCHANGE_CANCELED, 8
    assert await store.order(7, SYMBOL, 1, "") == order(1)
    await store.write(batch(1, 2, orders=[first]))
    assert await store.order(7, SYMBOL, 1, "") == first
    assert await store.order(7, SYMBOL, 0, "renamed") == first
    assert await store.order(7, SYMBOL, 0, "mine") is None


async def test_client_order_id_finds_the_newest_order_of_the_account(store: ColdStore) -> None:
    await store.write(batch(orders=[order(1), order(3), order(2), order(9, account_id=8)]))
    found = await store.order(7, SYMBOL, 0, "mine")
    assert found == order(3)
    assert await store.order(7, "ETHUSDT", 0, "mine") is None
    assert await store.order(9, SYMBOL, 3, "") is None


async def test_orders_are_found_by_their_keys_and_unknown_ones_left_out(store: ColdStore) -> None:
    await store.write(batch(orders=[order(1), order(2), order(3)]))
    keys = [(7, SYMBOL, 3), (7, SYMBOL, 4), (8, SYMBOL, 1), (7, SYMBOL, 1)]
    assert await store.orders_by_id(keys) == [order(3), order(1)]


@pytest.mark.parametrize(
    ("from_order_id", "start_ns", "end_ns", "limit", "expected"),
    [
        (0, 0, 0, 3, [18, 19, 20]),
        (0, 0, 0, 100, list(range(1, 21))),
        (5, 0, 0, 3, [5, 6, 7]),
        (19, 0, 0, 3, [19, 20]),
        (21, 0, 0, 3, []),
        (0, 4_000, 0, 3, [4, 5, 6]),
        (0, 4_001, 0, 3, [5, 6, 7]),
        (0, 20_001, 0, 3, []),
        (0, 0, 6_999, 3, [4, 5, 6]),
        (0, 0, 7_000, 3, [5, 6, 7]),
        (0, 0, 999, 3, []),
        (0, 4_000, 5_000, 9, [4, 5]),
        (0, 4_100, 4_900, 9, []),
        (5, 4_000, 6_000, 9, [5, 6]),
        (0, 1, 99_000, 2, [1, 2]),
    ],
)
async def test_orders_by_id_and_time(
    store: ColdStore,
    from_order_id: int,
    start_ns: int,
    end_ns: int,
    limit: int,
    expected: list[int],
) -> None:
    mine = [order(order_id) for order_id in range(1, 21)]
    await store.write(batch(orders=[*reversed(mine), order(5, account_id=8)]))
    found = await store.orders(7, SYMBOL, from_order_id, start_ns, end_ns, limit)
    assert order_ids(found) == expected


@pytest.mark.parametrize(
    ("order_id", "from_trade_id", "start_ns", "end_ns", "limit", "expected"),
    [
        (0, -1, 0, 0, 3, [17, 18, 19]),
        (0, 0, 0, 0, 3, [0, 1, 2]),
        (0, 18, 0, 0, 3, [18, 19]),
        (0, -1, 4_000, 0, 3, [4, 5, 6]),
        (0, -1, 0, 6_000, 3, [4, 5, 6]),
        (0, -1, 4_500, 6_500, 9, [5, 6]),
        (1, -1, 0, 0, 3, [15, 17, 19]),
        (1, 4, 0, 0, 3, [5, 7, 9]),
        (1, -1, 4_000, 9_000, 9, [5, 7, 9]),
        (2, -1, 0, 0, 3, []),
    ],
)
async def test_account_trades_by_order_id_and_time(
    store: ColdStore,
    order_id: int,
    from_trade_id: int,
    start_ns: int,
    end_ns: int,
    limit: int,
    expected: list[int],
) -> None:
    sides = [side(trade_id, order_id=trade_id % 2 or 10) for trade_id in range(20)]
    await store.write(batch(sides=[*sides, side(5, account_id=8), side(99, account_id=8)]))
    found = await store.account_trades(7, SYMBOL, order_id, from_trade_id, start_ns, end_ns, limit)
    assert trade_ids(found) == expected


async def test_both_sides_of_a_self_trade_are_kept(store: ColdStore) -> None:
    both = [side(1, order_id=4), side(1, order_id=3, is_maker=True)]
    await store.write(batch(sides=both))
    assert await store.account_trades(7, SYMBOL, 0, -1, 0, 0, 10) == both
    assert await store.account_trades(7, SYMBOL, 3, -1, 0, 0, 10) == both[1:]


async def test_public_trades_from_an_id_or_the_newest(store: ColdStore) -> None:
    await store.write(batch(trades=[trade(trade_id) for trade_id in range(10)]))
    assert trade_ids(await store.trades(SYMBOL, -1, 3)) == [7, 8, 9]
    assert trade_ids(await store.trades(SYMBOL, 0, 3)) == [0, 1, 2]
    assert trade_ids(await store.trades(SYMBOL, 8, 3)) == [8, 9]
    assert await store.trades("ETHUSDT", -1, 3) == []


async def test_candle_is_kept_as_it_was_last_written(store: ColdStore) -> None:
    await store.write(batch(0, 1, candles=[candle(minute) for minute in range(1, 9)]))
    await store.write(batch(1, 2, candles=[candle(8, close_ticks=7), candle(9)]))
    assert await store.candles(SYMBOL, 0, 0, 2) == [candle(8, close_ticks=7), candle(9)]
    assert await store.candles(SYMBOL, 120_000, 0, 2) == [candle(2), candle(3)]
    assert await store.candles(SYMBOL, 0, 180_000, 2) == [candle(2), candle(3)]
    assert await store.candles(SYMBOL, 120_001, 179_999, 9) == []


async def test_market_is_kept_as_it_was_first_written(store: ColdStore) -> None:
    eth = MarketAssets("ETHUSDT", "ETH", "USDT")
    await store.write(batch(0, 1, markets=[eth]))
    btc = MarketAssets(SYMBOL, "BTC", "USDT")
    await store.write(batch(1, 2, markets=[btc, MarketAssets("ETHUSDT", "X", "Y")]))
    assert await store.markets() == [btc, eth]


async def test_history_is_read_while_it_is_written(store: ColdStore) -> None:
    async def write() -> None:
        for seq in range(1, 101):
            await store.write(batch(seq - 1, seq, sides=[side(seq)], orders=[order(seq)]))

    writing = asyncio.create_task(write())
    while not writing.done():
        seq = await store.watermark("account/0")
        found = await store.account_trades(7, SYMBOL, 0, 0, 0, 0, 1_000)
        assert trade_ids(found) == list(range(1, len(found) + 1))
        assert len(found) >= seq
        await asyncio.sleep(0)
    await writing
    assert len(await store.orders(7, SYMBOL, 1, 0, 0, 1_000)) == 100
