"""Durable, settled trades a second inside the node: no WebSocket, no JSON, no signatures.

A peer of the node (actors/client.py) sends orders to account shards and takes the market's answers:
hold -> match -> durable -> settled on both sides. The clock stops when every account shard has
consumed and made durable all that the market sent.
"""

import asyncio
import statistics
import time
from typing import Any

import uvloop
from msgspec import Raw

from actors.batch import encode
from actors.client import NodeClient
from benchmarks.own_node import OwnNode, own_node
from exchange.account.commands import Deposit, PlaceOrder, ReadAccount, ReadKind
from exchange.answers import OrderPlaced, Orders
from exchange.directory.commands import AddAsset, AddMarket, CreateUser
from exchange.ids import account_shard, request_identity
from exchange.instrument import Instrument
from exchange.money import UNIT
from exchange.orders import OrderType, SelfTradePrevention, Side, TimeInForce

ACCOUNTS = 200
IN_FLIGHT_MAX = 6_000
SYMBOL = "LOADUSD"
MARKET = Instrument(
    symbol=SYMBOL,
    base_asset="LOAD",
    quote_asset="USD",
    tick_size=UNIT // 100,
    lot_size=UNIT // 100,
    open_orders_max=100_000,
    stp_default=0,
)


class Load:
    """Orders in flight, and what the market answered."""

    def __init__(self, client: NodeClient, accounts: list[int]) -> None:
        self._client = client
        self._accounts = accounts
        self._shards = [
            account_shard(account, client.config.hosts.account_shards) for account in accounts
        ]
        self._serial = 0
        self._is_over = False
        self.in_flight = 0
        self.orders = 0
        self.trades = 0
        client.on_answer = self._on_answer

    def start(self) -> None:
        for _ in range(IN_FLIGHT_MAX):
            self._place()

    def stop(self) -> None:
        self._is_over = True

    def _place(self) -> None:
        self._serial += 1
        serial = self._serial
        turn = serial % len(self._accounts)
        command = PlaceOrder(
            self._accounts[turn],
            SYMBOL,
            Side.BUY if serial % 2 else Side.SELL,
            OrderType.LIMIT,
            TimeInForce.GTC,
            50_000,
            1,
            0,
            f"b{serial}",
            SelfTradePrevention.NONE,
            time.time_ns(),
            request_identity(self._client.name.encode(), serial.to_bytes(8, "big")),
            self._client.name,
            serial,
        )
        if self._client.submit_raw(self._shards[turn], Raw(encode(command))):
            self.in_flight += 1

    def _on_answer(self, answer: Any) -> None:
        self.in_flight -= 1
        if isinstance(answer, OrderPlaced):
            self.orders += 1
            self.trades += len(answer.fills)
        if not self._is_over:
            self._place()


async def prepare(client: NodeClient) -> list[int]:
    """Make the market and accounts with money; return the accounts."""
    now_ns = time.time_ns()
    for code in ("LOAD", "USD"):
        await client.directory(AddAsset(code, code, now_ns, "", 0))
    await client.directory(AddMarket(MARKET, now_ns, "", 0))
    users = await asyncio.gather(
        *(client.directory(CreateUser(f"load-{n}", now_ns, "", 0)) for n in range(ACCOUNTS))
    )
    accounts = [user.created_id for user in users]
    while not all(client.follower.directory.has_account(account) for account in accounts):
        await asyncio.sleep(0.02)
    for asset in ("LOAD", "USD"):
        deposits = [
            Deposit(
                account,
                asset,
                10**9 * UNIT,
                now_ns,
                request_identity(asset.encode(), str(account).encode()),
                "",
                0,
            )
            for account in accounts
        ]
        await asyncio.gather(*(client.account(deposit) for deposit in deposits))
    return accounts


async def settled(client: NodeClient, accounts: list[int]) -> None:
    """Wait until every account shard has all that the market sent, durably."""
    reads = [
        ReadAccount(account, ReadKind.POSITION, SYMBOL, 0, "", b"", (), "", 0)
        for account in accounts[: client.config.hosts.account_shards]
    ]
    for answer in await asyncio.gather(*(client.account(read) for read in reads)):
        assert isinstance(answer, Orders), answer


async def measure(node: OwnNode, seconds: float) -> dict[str, float]:
    """Load a node for a while; return trades and orders a second."""
    async with await NodeClient.connect(node.data_dir) as client:
        accounts = await prepare(client)
        load = Load(client, accounts)
        began = time.perf_counter()
        load.start()
        await asyncio.sleep(seconds)
        load.stop()
        while load.in_flight:
            await asyncio.sleep(0.002)
        await settled(client, accounts)
        elapsed_s = time.perf_counter() - began
    return {"trades": load.trades / elapsed_s, "orders": load.orders / elapsed_s}


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure on nodes of our own; medians of three runs (one if quick)."""
    rates = []
    for _ in range(1 if quick else 3):
        with own_node() as node:
            before, began = node.cpu_seconds(), time.monotonic()
            rates.append(uvloop.run(measure(node, 4.0 if quick else 10.0)))
            used_s, elapsed_s = node.cpu_seconds(), time.monotonic() - began
    figures: list[dict[str, Any]] = [
        {
            "name": "cluster_durable_trades_per_s",
            "value": round(statistics.median(rate["trades"] for rate in rates)),
            "unit": "1/s",
        },
        {
            "name": "cluster_orders_per_s",
            "value": round(statistics.median(rate["orders"] for rate in rates)),
            "unit": "1/s",
        },
    ]
    for host in sorted(used_s):
        share = round(100 * (used_s[host] - before.get(host, 0.0)) / elapsed_s)
        figures.append({"name": f"cluster_cpu_{host}", "value": share, "unit": "% of a core"})
    return figures


if __name__ == "__main__":
    for figure in run(quick=True):
        print(figure)
