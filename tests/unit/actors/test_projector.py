"""History says what the accounts and the market say, whatever happens to the projection."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from actors.projector import Projector
from exchange.answers import Candle, PublicTrade
from exchange.marketdata.candle import fold_candle
from exchange.orders import OrderState, Side
from storage.memory import MemoryHotStore
from storage.memory_cold import MemoryColdStore
from storage.ports import (
    BatchRecord,
    ColdBatch,
    ColdStore,
    Head,
    OutcomeUnknownError,
    SequenceConflictError,
)
from storage.sqlite.cold import SqliteColdStore
from tests.support.market_flow import SYMBOL
from tests.support.streams import StreamedExchange

COLD_STORES: dict[str, Callable[[Path], ColdStore]] = {
    "memory": lambda _: MemoryColdStore(),
    "sqlite": lambda folder: SqliteColdStore(folder / "cold.db"),
}


@pytest.fixture(params=sorted(COLD_STORES))
async def cold(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ColdStore]:
    store = COLD_STORES[request.param](tmp_path)
    yield store
    await store.close()


def projector_of(
    exchange: StreamedExchange, cold: ColdStore, *, events_max: int = 1_000, orders_max: int = 1_000
) -> Projector:
    return Projector(
        [MemoryHotStore(exchange.streams)],
        cold,
        lambda _shard, _seq: None,
        events_max=events_max,
        orders_max=orders_max,
    )


async def project_all(projector: Projector) -> None:
    while await projector.step():
        pass


async def assert_history_is_right(cold: ColdStore, exchange: StreamedExchange) -> None:
    """Compare every table with what accounts and market know."""
    expected = exchange.orders
    assert len(expected) > 20
    for account_id in exchange.accounts:
        found = await cold.orders(account_id, SYMBOL, 1, 0, 0, 10_000)
        assert {(account_id, order.order_id): order for order in found} == {
            key: order for key, order in expected.items() if key[0] == account_id
        }
    trades = [
        PublicTrade(
            trade.trade_id,
            trade.price_ticks,
            trade.quantity_lots,
            trade.quote_amount,
            trade.at_ns,
            trade.taker_side is Side.SELL,
        )
        for trade in exchange.trades
    ]
    assert len(trades) > 20
    assert await cold.trades(SYMBOL, 0, 10_000) == trades
    candles: list[Candle] = []
    for trade in trades:
        candle = fold_candle(candles[-1] if candles else None, trade)
        if not candles or candle is not candles[-1]:
            candles.append(candle)
    assert len(candles) > 2
    assert await cold.candles(SYMBOL, 0, 0, 10_000) == candles
    sides = [
        (
            side.account_id,
            side.trade_id,
            side.order_id,
            side.is_maker,
            side.commission_asset,
            side.commission,
        )
        for account_id in exchange.accounts
        for side in await cold.account_trades(account_id, SYMBOL, 0, 0, 0, 0, 10_000)
    ]
    assert sorted(sides) == sorted(
        side
        for trade in exchange.trades
        for side in (
            (
                trade.taker_account_id,
                trade.trade_id,
                trade.taker_order_id,
                False,
                ("", "BTC", "USDT")[trade.taker_side],
                trade.taker_commission,
            ),
            (
                trade.maker_account_id,
                trade.trade_id,
                trade.maker_order_id,
                True,
                ("", "USDT", "BTC")[trade.taker_side],
                trade.maker_commission,
            ),
        )
    )
    if isinstance(cold, MemoryColdStore):  # the port has no query for them
        assert sorted(transfer.identity for transfer in cold.all_transfers) == sorted(
            transfer.identity for transfer in exchange.transfers
        )
    heads = exchange.streams.heads()
    assert await cold.watermarks() == {shard: head.seq for shard, head in heads.items()}


async def test_history_agrees_with_accounts_and_market(cold: ColdStore) -> None:
    exchange = StreamedExchange()
    exchange.trade_at_random(300)
    await project_all(projector_of(exchange, cold))
    await assert_history_is_right(cold, exchange)


async def test_history_agrees_when_it_follows_while_trading_goes_on(cold: ColdStore) -> None:
    exchange = StreamedExchange(seed=2)
    projector = projector_of(exchange, cold)
    for _ in range(30):
        exchange.trade_at_random(10)
        await projector.step()
    await project_all(projector)
    await assert_history_is_right(cold, exchange)


async def test_history_agrees_when_the_projection_is_restarted_at_every_step(
    cold: ColdStore,
) -> None:
    exchange = StreamedExchange(seed=3)
    exchange.trade_at_random(300)
    while await projector_of(exchange, cold, events_max=15).step():
        pass
    await assert_history_is_right(cold, exchange)


async def test_history_agrees_when_hardly_any_order_is_kept_in_memory(cold: ColdStore) -> None:
    exchange = StreamedExchange(seed=4)
    exchange.trade_at_random(300)
    projector = projector_of(exchange, cold, events_max=20, orders_max=1)
    while await projector.step():
        assert all(len(one.orders) <= 1 for one in projector._accounts.values())
    await assert_history_is_right(cold, exchange)


async def test_ledger_sums_to_zero_and_equals_the_balances(tmp_path: Path) -> None:
    exchange = StreamedExchange(seed=5)
    exchange.trade_at_random(300)
    cold = SqliteColdStore(tmp_path / "cold.db")
    await project_all(projector_of(exchange, cold))
    await cold.close()
    with sqlite3.connect(tmp_path / "cold.db") as connection:
        lines = connection.execute(
            "SELECT source, asset, sum(amount), count(*) FROM ledger GROUP BY source, asset"
        ).fetchall()
        balances = connection.execute(
            "SELECT account_id, asset, sum(amount) FROM ledger WHERE book = 'account'"
            " GROUP BY account_id, asset"
        ).fetchall()
        books = dict(
            connection.execute(
                "SELECT book || asset, sum(amount) FROM ledger WHERE account_id = 0 GROUP BY 1"
            ).fetchall()
        )
    connection.close()
    assert len(lines) > 100
    assert all(amount == 0 and count > 1 for _, _, amount, count in lines)
    assert {(who, asset): amount for who, asset, amount in balances} == exchange.balances()
    # Both sides of every trade are settled here, so nothing is left in clearing.
    assert books["clearingBTC"] == books["clearingUSDT"] == 0
    assert books["commissionBTC"] > 0
    assert books["commissionUSDT"] > 0


async def test_progress_is_told_once_it_is_written_and_again_on_demand() -> None:
    exchange = StreamedExchange()
    told: list[tuple[str, int]] = []
    cold = MemoryColdStore()
    projector = Projector(
        [MemoryHotStore(exchange.streams)], cold, lambda shard, seq: told.append((shard, seq))
    )
    await projector.step()
    positions = [("directory/0", 1), ("account/0", 4), ("account/1", 4)]
    assert told == positions
    assert cold.positions == dict(positions)
    told.clear()
    assert await projector.step() == 0
    assert told == []
    projector.announce()
    assert sorted(told) == sorted(positions)
    told.clear()
    again = Projector([MemoryHotStore(exchange.streams)], cold, lambda *one: told.append(one))
    await again.step()
    assert sorted(told) == sorted(positions)


class FailingColdStore(MemoryColdStore):
    """Loses a write before or after it was done, as a store does that dies."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    async def write_all(self, batches: Sequence[ColdBatch]) -> None:
        self.writes += 1
        if self.writes % 3 == 1:
            raise OutcomeUnknownError("lost before it was written")
        await super().write_all(batches)
        if self.writes % 3 == 2:
            raise OutcomeUnknownError("lost after it was written")


async def test_history_agrees_although_writes_fail_before_and_after_they_are_done() -> None:
    exchange = StreamedExchange(seed=6)
    exchange.trade_at_random(300)
    cold = FailingColdStore()
    projector = projector_of(exchange, cold, events_max=20)
    errors = 0
    while True:
        try:
            if not await projector.step():
                break
        except OutcomeUnknownError:
            errors += 1
            projector.reset()
    assert errors > 10
    await assert_history_is_right(cold, exchange)


async def test_second_projection_of_the_same_store_is_refused() -> None:
    exchange = StreamedExchange()
    cold = MemoryColdStore()
    first, second = projector_of(exchange, cold), projector_of(exchange, cold)
    await second.step()
    await first.step()
    exchange.trade_at_random(50)
    await first.step()
    with pytest.raises(SequenceConflictError):
        await second.step()


async def test_damaged_stream_is_set_aside_and_the_others_go_on() -> None:
    exchange = StreamedExchange()
    exchange.trade_at_random(50)
    records = exchange.streams.streams["account/1"].records
    records[2] = (records[2][0], records[2][1] ^ 1)
    cold = MemoryColdStore()
    projector = projector_of(exchange, cold)
    await project_all(projector)
    assert list(projector.set_aside) == ["account/1"]
    assert "checksum" in projector.set_aside["account/1"]
    heads = exchange.streams.heads()
    assert cold.positions == {
        shard: head.seq for shard, head in heads.items() if shard != "account/1"
    }


async def test_history_ahead_of_its_stream_is_set_aside() -> None:
    exchange = StreamedExchange()
    cold = MemoryColdStore()
    await cold.write(ColdBatch("account/1", 0, 99, [], [], [], {}, {}))
    projector = projector_of(exchange, cold)
    await project_all(projector)
    assert projector.set_aside == {"account/1": "history is at 99, the stream at 4"}


async def test_trade_of_an_unknown_market_waits_until_the_market_is_known() -> None:
    exchange = StreamedExchange(seed=9)
    exchange.trade_at_random(300)
    late = MemoryHotStore()
    for shard in ("directory/0", "market/BTCUSDT"):
        late.streams.streams[shard] = exchange.streams.streams.pop(shard)
    cold = MemoryColdStore()
    projector = projector_of(exchange, cold, events_max=50)
    await project_all(projector)
    waits_at = dict(cold.positions)
    assert await projector.step() == 0
    assert cold.positions == waits_at
    assert not projector.set_aside
    assert projector.waiting == dict.fromkeys(("account/0", "account/1"), "symbol='BTCUSDT'")
    projector.add_store(late)
    await project_all(projector)
    assert not projector.waiting
    exchange.streams.streams.update(late.streams.streams)
    await assert_history_is_right(cold, exchange)


async def test_events_of_orders_that_history_never_saw_are_counted_and_their_trades_kept() -> None:
    exchange = StreamedExchange()
    exchange.trade_at_random(50)
    cold = MemoryColdStore()
    # As if account/1 had been frozen while its first orders were accepted.
    projector = projector_of(exchange, cold)
    await project_all(projector)
    for key in [key for key in cold.all_orders if key[0] % 2]:
        del cold.all_orders[key]
    exchange.trade_at_random(300)
    again = projector_of(exchange, cold)
    await project_all(again)
    assert again.orphans > 0
    assert len(cold.all_sides) == 2 * len(exchange.trades)


class UnreadableHotStore(MemoryHotStore):
    """Cannot be read at first."""

    is_broken = True

    async def heads(self) -> dict[str, Head]:
        if self.is_broken:
            raise OutcomeUnknownError("locked")
        return await super().heads()


class BreakingHotStore(MemoryHotStore):
    """Breaks after each second record."""

    async def read(self, shard: str, after_seq: int = 0) -> AsyncIterator[BatchRecord]:
        count = 0
        async for record in super().read(shard, after_seq):
            if count == 2:
                raise OutcomeUnknownError("disk")
            count += 1
            yield record


async def test_store_that_cannot_be_read_now_is_read_later() -> None:
    exchange = StreamedExchange(seed=7)
    store = UnreadableHotStore(exchange.streams)
    cold = MemoryColdStore()
    projector = Projector([store], cold, lambda _shard, _seq: None)
    assert await projector.step() == 0
    store.is_broken = False
    assert await projector.step() > 0
    exchange.trade_at_random(300)
    breaking = Projector([BreakingHotStore(exchange.streams)], cold, lambda _shard, _seq: None)
    await project_all(breaking)
    await assert_history_is_right(cold, exchange)


async def test_orders_are_copied_so_that_history_does_not_change_by_itself() -> None:
    exchange = StreamedExchange(seed=8)
    exchange.trade_at_random(20)
    cold = MemoryColdStore()
    projector = projector_of(exchange, cold)
    await project_all(projector)
    before: list[OrderState] = await cold.orders(1, SYMBOL, 1, 0, 0, 100)
    exchange.trade_at_random(100)
    assert await cold.orders(1, SYMBOL, 1, 0, 0, 100) == before
