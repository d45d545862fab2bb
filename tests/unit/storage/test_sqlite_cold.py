"""The cold store in a file: queries that use their indexes, readers in other processes."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from storage.ports import ColdBatch, CorruptError, OutcomeUnknownError, StoreUnusableError
from storage.sqlite.cold import SqliteColdReader, SqliteColdStore
from storage.sqlite.hot import SqliteHotStore
from tests.contract.test_cold_store import SYMBOL, batch, order, side, trade

ROOT = Path(__file__).parents[3]
READER = """
import asyncio, sys
from storage.sqlite.cold import SqliteColdReader

async def main() -> None:
    cold = SqliteColdReader(sys.argv[1])
    orders = await cold.orders(7, "BTCUSDT", 0, 0, 0, 10)
    sys.stdout.write(f"{await cold.watermark('account/0')} {len(orders)}")
    await cold.close()

asyncio.run(main())
"""


async def test_every_query_searches_by_an_index(tmp_path: Path) -> None:
    store = SqliteColdStore(tmp_path / "cold.db")
    orders = [order(number) for number in range(1, 50)]
    sides = [side(number) for number in range(50)]
    await store.write(batch(orders=orders, sides=sides, trades=[trade(1)]))
    statements: list[str] = []
    connection = store._queries._connection
    connection.set_trace_callback(statements.append)
    await store.order(7, SYMBOL, 5, "")
    await store.order(7, SYMBOL, 0, "mine")
    await store.orders(7, SYMBOL, 5, 10_000, 20_000, 10)
    await store.orders(7, SYMBOL, 0, 0, 0, 10)
    await store.account_trades(7, SYMBOL, 0, 5, 10_000, 20_000, 10)
    await store.account_trades(7, SYMBOL, 0, -1, 0, 0, 10)
    await store.account_trades(7, SYMBOL, 1, -1, 0, 0, 10)
    await store.trades(SYMBOL, -1, 10)
    await store.candles(SYMBOL, 0, 0, 10)
    connection.set_trace_callback(None)
    plans = {}
    for statement in statements:
        rows = connection.execute("EXPLAIN QUERY PLAN " + statement).fetchall()
        plans[statement] = [row[3] for row in rows]
    assert len(plans) > 20
    for statement, plan in plans.items():
        assert plan[0].startswith("SEARCH"), (statement, plan)
        if "order_id = 1 " in statement:
            assert "account_trades_by_order" in plan[0], plan
        else:
            assert len(plan) == 1, (statement, plan)  # nothing is sorted
    await store.close()


async def test_another_process_reads_what_is_written(tmp_path: Path) -> None:
    store = SqliteColdStore(tmp_path / "cold.db")
    await store.write(batch(0, 5, orders=[order(1), order(2)]))
    said = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "cold.db")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert said.stdout == "5 2"
    await store.close()


async def test_locked_store_is_an_unknown_outcome_and_nothing_is_written(tmp_path: Path) -> None:
    store = SqliteColdStore(tmp_path / "cold.db")
    store._writer._connection.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(tmp_path / "cold.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutcomeUnknownError):
        await store.write(batch(0, 5))
    assert await store.watermark("account/0") == 0
    other.close()
    await store.write(batch(0, 5))
    assert await store.watermark("account/0") == 5
    await store.close()


async def test_damaged_file_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "cold.db"
    store = SqliteColdStore(path)
    await store.write(batch(0, 5, orders=[order(number) for number in range(1, 2_000)]))
    await store.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle:] = b"\xff" * (len(content) - middle)
    path.write_bytes(content)
    damaged = SqliteColdReader(path)
    with pytest.raises(CorruptError):
        await damaged.orders(7, SYMBOL, 1, 0, 0, 10_000)
    await damaged.close()


async def test_hot_file_is_not_taken_for_a_cold_one(tmp_path: Path) -> None:
    store = SqliteColdStore(tmp_path / "cold.db")
    await store.close()
    with pytest.raises(StoreUnusableError, match="is not a store of this kind"):
        SqliteHotStore(tmp_path / "cold.db")


async def test_amounts_up_to_63_bits_are_kept_and_more_is_refused(tmp_path: Path) -> None:
    store = SqliteColdStore(tmp_path / "cold.db")
    rich = order(1)
    rich.executed_quote = 2**63 - 1
    await store.write(batch(0, 1, orders=[rich]))
    assert await store.order(7, SYMBOL, 1, "") == rich
    rich.executed_quote = 2**63
    with pytest.raises(CorruptError, match="63 bits"):
        await store.write(ColdBatch("account/0", 1, 2, [rich], [], [], {}, {}))
    await store.write(batch(1, 2))
    await store.close()
