"""A node that was stopped in order goes on where it was: orders, money, numbers, history."""

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client import Credentials
from console.users import KeyChoice
from tests.integration.trading.conftest import MONEY, known
from tests.integration.trading.live_node import LiveNode
from tests.integration.trading.trader import (
    SYMBOL,
    Json,
    Trader,
    balances_of,
    following,
    limit_order,
    tradable,
    trading,
)

CHOICES = {"alice": KeyChoice.HMAC, "bob": KeyChoice.ED25519}


async def test_stopped_node_goes_on_where_it_was(tmp_path: Path) -> None:
    node = LiveNode(tmp_path)
    try:
        await asyncio.to_thread(node.start)
        keys = await node.traders(CHOICES, MONEY)
        before, request = await _trade(node, keys)
        assert await asyncio.to_thread(node.stop) == 0
        await asyncio.to_thread(node.start)
        await _go_on(node, keys, before, request)
        report = await node.settled_audit()
        assert report.is_clean, report.findings
        assert report.trades == 2
        assert await asyncio.to_thread(node.stop) == 0
        assert _candles(node) == [(2, 50_000)]
    finally:
        node.close()


async def _trade(node: LiveNode, keys: dict[str, Credentials]) -> tuple[Json, Json]:
    """Trade a little; return what is there afterwards, and a request that was answered."""
    async with trading(node.url, keys["alice"]) as alice, trading(node.url, keys["bob"]) as bob:
        await tradable(alice)
        await known(bob)
        await alice.place("SELL", "30000", "1", newClientOrderId="ask")
        request = bob.signed(
            recvWindow=60_000, **limit_order("BUY", "30000", "0.2", newOrderRespType="FULL")
        )
        answer = await bob.response("order.place", request)
        await bob.place("BUY", "29000", "0.3", newClientOrderId="bid")
        await alice.call("myTrades", symbol=SYMBOL)  # waits for history
        return {"answer": answer, **await _state(alice, bob)}, request


async def _go_on(node: LiveNode, keys: dict[str, Credentials], before: Json, request: Json) -> None:
    async with trading(node.url, keys["alice"]) as alice, trading(node.url, keys["bob"]) as bob:
        await following(alice)
        again = await bob.response("order.place", request)
        assert again["result"] == before["answer"]["result"]
        after = await _state(alice, bob)
        assert {name: after[name] for name in after if name != "depth"} == {
            name: before[name] for name in after if name != "depth"
        }
        assert after["depth"]["lastUpdateId"] >= before["depth"]["lastUpdateId"]
        for side in ("bids", "asks"):
            assert after["depth"][side] == before["depth"][side]
        newest = max(order["orderId"] for order in before["open"])
        last = before["answer"]["result"]["fills"][0]["tradeId"]
        taken = await bob.place("BUY", "30000", "0.3")
        assert taken["orderId"] > newest
        assert [fill["tradeId"] for fill in taken["fills"]] == [last + 1]
        ids = [row["id"] for row in await alice.call("myTrades", symbol=SYMBOL)]
        assert ids == [last, last + 1]
        assert [row["id"] for row in await bob.plain("trades.recent", symbol=SYMBOL)] == ids
        assert await bob.refusal(
            "order.place", **limit_order("BUY", "100000", "0.1", newClientOrderId="bid")
        ) == (400, -2010, "Duplicate order sent.")
        gone = await bob.call("order.cancel", symbol=SYMBOL, origClientOrderId="bid")
        assert gone["status"] == "CANCELED"


async def _state(alice: Trader, bob: Trader) -> dict[str, Any]:
    """Return everything that both can see."""
    traders = (alice, bob)
    return {
        "balances": [balances_of(await trader.call("account.status")) for trader in traders],
        "open": [o for trader in traders for o in await trader.call("openOrders.status")],
        "trades": [await trader.call("myTrades", symbol=SYMBOL) for trader in traders],
        "public": await alice.plain("trades.recent", symbol=SYMBOL),
        "depth": await alice.plain("depth", symbol=SYMBOL),
    }


def _candles(node: LiveNode) -> list[tuple[int, int]]:
    """Return (trades, lots) of all candles of the cold store together."""
    with sqlite3.connect(f"file:{node.data_dir}/cold.db?mode=ro", uri=True) as store:
        return list(store.execute("SELECT sum(trades), sum(volume_lots) FROM candles_1m"))


async def test_stop_ends_all_processes_and_says_goodbye(tmp_path: Path) -> None:
    node = LiveNode(tmp_path)
    try:
        await asyncio.to_thread(node.start)
        pids = [
            node.pid_of(name) for name in ("accounts-1", "markets-1", "gateway-1", "projection")
        ]
        keys = await node.traders({"alice": KeyChoice.HMAC}, MONEY)
        async with trading(node.url, keys["alice"]) as alice:
            await known(alice)
            assert await asyncio.to_thread(node.stop) == 0
            await alice.event(lambda event: event["e"] == "serverShutdown", "the goodbye")
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    finally:
        node.close()
