"""What traders get: durable trades a second and latency through the public WebSocket API.

The load is a process of its own: 64 connections of as many accounts, each with up to 16 limit
orders in flight, buying and selling by turns around a middle price so that two orders make one
trade. A trade counts when the execution reports of both sides have come, which the node sends
only when the trade is durable and settled on that side. Then, at half that rate and open loop,
latency: from when an order was due, not from when it was sent, to its answer.
"""

import argparse
import asyncio
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvloop

from benchmarks.client import (
    Answer,
    ConnectionLostError,
    Credentials,
    Event,
    TradingConnection,
    connect,
    wait_until_tradable,
)
from benchmarks.histogram import Histogram
from benchmarks.own_node import OwnNode, own_node
from console.connection import connect_node
from console.provision import ensure_market, new_trader
from console.users import KeyChoice
from exchange.instrument import Instrument
from exchange.money import UNIT

CONNECTIONS = 64
IN_FLIGHT_MAX = 16
LEVELS = 5  # a buy is up to so many ticks above the middle, a sell below: they always meet
MID_TICKS = 50_000
WARM_UP_S = 1.5
LATENCY_SHARE = 0.5  # of the rate at full load
MARKET = Instrument(
    symbol="LOADUSD",
    base_asset="LOAD",
    quote_asset="USD",
    tick_size=UNIT // 100,
    lot_size=UNIT // 100,
    stp_default=0,  # an account that meets itself trades, as two accounts would
)
DEPOSITS = {"LOAD": 1_000_000 * UNIT, "USD": 100_000_000 * UNIT}
T = TypeVar("T")
_PRICES = {
    "BUY": [f"{(MID_TICKS + level) / 100:.2f}" for level in range(LEVELS)],
    "SELL": [f"{(MID_TICKS - level) / 100:.2f}" for level in range(LEVELS)],
}


class LoadFailedError(Exception):
    """The load process ended before its time."""


class Measured(msgspec.Struct):
    """What one run of the load saw."""

    seconds: float
    trades: int = 0
    orders: int = 0
    refused: int = 0
    answer_p50_us: int = 0
    answer_p99_us: int = 0
    trade_p50_us: int = 0
    trade_p99_us: int = 0


class Load:
    """Orders over many connections, and what came of them, within a window of time."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._connections: list[TradingConnection] = []
        self._serial = 0
        self._is_closed_loop = False
        self._half_seen: set[int] = set()  # trades with one report; bounded by what is in flight
        self._due_ns: dict[str, int] = {}  # of orders on the book, for the latency of trades
        self._answers = Histogram()
        self._trades_us = Histogram()
        self._measured = Measured(0.0)

    async def open(self, url: str, keys: Sequence[Credentials], log_on: bool) -> None:
        """Connect and subscribe. Raises: as benchmarks.client.connect and subscribe."""
        for key in keys:
            connection = await connect(url, key, self._on_event, log_on=log_on)
            await wait_until_tradable(connection, MARKET.symbol, "0.01", "0.01")
            await connection.subscribe()
            self._connections.append(connection)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    async def saturate(self, warm_up_s: float, seconds: float) -> Measured:
        """Keep IN_FLIGHT_MAX orders on their way on every connection."""
        self._is_closed_loop = True
        for connection in self._connections:
            for _ in range(IN_FLIGHT_MAX):
                self._place(connection, time.perf_counter_ns())
        await asyncio.sleep(warm_up_s)
        measured = await self._window(seconds)
        self._is_closed_loop = False
        await self._drain()
        return measured

    async def offer(self, orders_per_s: float, warm_up_s: float, seconds: float) -> Measured:
        """Place orders at a fixed rate, whatever the answers do."""
        sender = asyncio.create_task(self._send_at(orders_per_s))
        await asyncio.sleep(warm_up_s)
        measured = await self._window(seconds)
        sender.cancel()
        await self._drain()
        return measured

    async def _send_at(self, orders_per_s: float) -> None:
        period_ns = 1e9 / orders_per_s
        due_ns = float(time.perf_counter_ns())
        turn = 0
        while True:
            now_ns = time.perf_counter_ns()
            while due_ns <= now_ns:
                # Timed from when it was due: our own delays count against the exchange, never
                # for it.
                self._place(self._connections[turn % len(self._connections)], int(due_ns))
                turn += 1
                due_ns += period_ns
            await asyncio.sleep(0.002)  # uvloop rounds to ms: less would be spinning

    async def _window(self, seconds: float) -> Measured:
        self._answers, self._trades_us = Histogram(), Histogram()
        measured = self._measured = Measured(0.0)
        began_ns = time.perf_counter_ns()
        await asyncio.sleep(seconds)
        measured.seconds = (time.perf_counter_ns() - began_ns) / 1e9
        measured.answer_p50_us = self._answers.percentile(50)
        measured.answer_p99_us = self._answers.percentile(99)
        measured.trade_p50_us = self._trades_us.percentile(50)
        measured.trade_p99_us = self._trades_us.percentile(99)
        self._measured = Measured(0.0)
        for connection in self._connections:
            if not connection.is_open:
                raise ConnectionLostError("the node closed a connection under load")
        return measured

    async def _drain(self) -> None:
        """Wait until nothing is on its way."""
        while any(connection.in_flight for connection in self._connections):
            await asyncio.sleep(0.01)

    def _place(self, connection: TradingConnection, due_ns: int) -> None:
        self._serial += 1
        serial = self._serial
        side = "BUY" if serial % 2 else "SELL"
        price = _PRICES[side][self._rng.randrange(LEVELS)]
        client_order_id = f"b{serial}"
        self._due_ns[client_order_id] = due_ns

        def on_answer(answer: Answer) -> None:
            self._answers.record((time.perf_counter_ns() - due_ns) // 1_000)
            self._measured.orders += 1
            if answer.status != 200:
                self._measured.refused += 1
                self._due_ns.pop(client_order_id, None)
            if self._is_closed_loop:
                self._place(connection, time.perf_counter_ns())

        connection.place_limit(MARKET.symbol, side, price, "0.01", client_order_id, on_answer)

    def _on_event(self, event: Event) -> None:
        if event.execution_type != "TRADE":
            return
        due_ns = self._due_ns.pop(event.client_order_id, 0)
        if due_ns and not event.is_maker:
            self._trades_us.record((time.perf_counter_ns() - due_ns) // 1_000)
        trade_id = event.trade_id
        if trade_id in self._half_seen:
            self._half_seen.remove(trade_id)
            self._measured.trades += 1
        else:
            self._half_seen.add(trade_id)


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure on nodes of our own; medians of three runs (one if quick)."""
    runs = []
    for _ in range(1 if quick else 3):
        with own_node() as node:
            runs.append(
                measure(node, seconds=8.0 if quick else 30.0, latency_s=4.0 if quick else 15.0)
            )
    return [
        {**figure, "value": statistics.median(run[index]["value"] for run in runs)}
        for index, figure in enumerate(runs[0])
    ]


def measure(
    node: OwnNode, *, seconds: float, latency_s: float, choice: KeyChoice = KeyChoice.HMAC
) -> list[dict[str, Any]]:
    """Measure on a running node."""
    keys = asyncio.run(_prepare(node.data_dir, choice))
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    load = context.Process(
        target=_load_process, args=(theirs, node.url, keys, seconds, latency_s), daemon=True
    )
    load.start()
    theirs.close()
    try:
        _expect(ours, str)
        cpu_before, began = node.cpu_seconds(), time.monotonic()
        full = _expect(ours, Measured)
        cpu_after, cpu_s = node.cpu_seconds(), time.monotonic() - began
        half = _expect(ours, Measured)
    finally:
        load.join(10)
        load.kill()
    figures = [
        ("e2e_durable_trades_per_s", round(full.trades / full.seconds), "1/s"),
        ("e2e_orders_per_s", round(full.orders / full.seconds), "1/s"),
        ("e2e_refused", full.refused + half.refused, "count"),
        ("e2e_full_load_p50_ms", full.answer_p50_us / 1_000, "ms"),
        ("e2e_full_load_p99_ms", full.answer_p99_us / 1_000, "ms"),
        ("e2e_half_load_orders_per_s", round(half.orders / half.seconds), "1/s"),
        ("e2e_p50_ms", half.answer_p50_us / 1_000, "ms"),
        ("e2e_p99_ms", half.answer_p99_us / 1_000, "ms"),
        ("e2e_trade_p50_ms", half.trade_p50_us / 1_000, "ms"),
        ("e2e_trade_p99_ms", half.trade_p99_us / 1_000, "ms"),
    ]
    for host in sorted(cpu_after):
        used_s = cpu_after[host] - cpu_before.get(host, 0.0)
        figures.append((f"e2e_cpu_{host}", round(100 * used_s / cpu_s), "% of a core"))
    return [{"name": name, "value": value, "unit": unit} for name, value, unit in figures]


async def _prepare(data_dir: Path, choice: KeyChoice) -> list[Credentials]:
    async with connect_node(data_dir) as node:
        await ensure_market(node, MARKET)
        stamp = time.time_ns()
        return [
            await new_trader(node, f"load-{stamp}-{n}", choice, DEPOSITS)
            for n in range(CONNECTIONS)
        ]


def _load_process(
    pipe: Connection, url: str, keys: list[Credentials], seconds: float, latency_s: float
) -> None:
    uvloop.run(_load(pipe, url, keys, seconds, latency_s))


async def _load(
    pipe: Connection, url: str, keys: list[Credentials], seconds: float, latency_s: float
) -> None:
    load = Load(seed=1)
    await load.open(url, keys, log_on=keys[0].key_type == "ed25519")
    pipe.send("loaded")
    full = await load.saturate(WARM_UP_S, seconds)
    pipe.send(full)
    rate = max(1.0, full.orders / full.seconds * LATENCY_SHARE)
    pipe.send(await load.offer(rate, WARM_UP_S, latency_s))
    await load.close()


def _expect(pipe: Connection, kind: type[T]) -> T:
    """Return the next message of the load process.

    Raises:
        LoadFailedError: it ended instead; its traceback is on standard error.
    """
    try:
        message = pipe.recv()
    except EOFError as error:
        raise LoadFailedError("the load process ended before its time") from error
    assert isinstance(message, kind), message
    return message


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="durable trades a second, end to end")
    parser.add_argument("--quick", action="store_true", help="8 s instead of 30 s")
    parser.add_argument("--seconds", type=float, help="at full load")
    parser.add_argument("--logon", action="store_true", help="Ed25519 session logon, no signatures")
    arguments = parser.parse_args()
    seconds = arguments.seconds or (8.0 if arguments.quick else 30.0)
    choice = KeyChoice.ED25519 if arguments.logon else KeyChoice.HMAC
    with own_node() as node:
        for figure in measure(node, seconds=seconds, latency_s=seconds / 2, choice=choice):
            print(msgspec.json.encode(figure).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
