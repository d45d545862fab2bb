"""Play recorded order flow through the public WebSocket API, then audit the money.

usage: python -m benchmarks.replay FLOW.csv.gz [--url ws://HOST:PORT --data DIR]

Without --url it runs a node of its own. The flow is sent in its order with a bounded number of
requests on their way; the more there are, the more neighbours may overtake each other, as they
would in life. With --in-flight 1 the result is the same each time.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.client import (
    Answer,
    ConnectionLostError,
    TradingConnection,
    connect,
    wait_until_tradable,
)
from benchmarks.flow import FlowError, Operation, Planned, plan, read_flow
from benchmarks.histogram import Histogram
from benchmarks.own_node import own_node
from console import exit_codes
from console.connection import connect_node
from console.operate import audit
from console.provision import ensure_market, new_trader
from console.users import KeyChoice
from exchange.instrument import Instrument
from exchange.money import UNIT

ES_USD = Instrument(
    symbol="ESUSD",
    base_asset="ES",
    quote_asset="USD",
    tick_size=UNIT // 4,
    lot_size=UNIT,
    # The flow has orders at a fiftieth of the price: let them in.
    band_up_e8=1_000 * UNIT,
    band_down_e8=1,
    open_orders_max=100_000,  # one session may have all orders of the flow
    stp_default=0,
)
# Of all sessions together, so that one alone can pay too and the sum of all fits 63 bits.
DEPOSITS_TOTAL = {"ES": 10_000_000 * UNIT, "USD": 4_000_000_000 * UNIT}
PROGRESS_EVERY = 500


class _Fill(msgspec.Struct):
    qty: str


class _Placed(msgspec.Struct):
    fills: list[_Fill] = []


class _Result(msgspec.Struct):
    """The part of an answer that counts: the fills of the order it placed."""

    fills: list[_Fill] = []
    replacement: _Placed | None = msgspec.field(name="newOrderResponse", default=None)


_decode_result = msgspec.json.Decoder(_Result).decode


class Player:
    """Sends planned requests over its connections and counts what comes back."""

    def __init__(self, connections: Sequence[TradingConnection], in_flight_max: int) -> None:
        self._connections = connections
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._has_room = asyncio.Event()
        self.answered = 0
        self.lost = 0
        self.trades = 0
        self.traded_lots = 0
        self.refusals: Counter[tuple[str, int, str]] = Counter()
        self.latency_us = Histogram()

    async def play(self, planned: Sequence[Planned], progress: "ProgressBar") -> float:
        """Send everything and return how many seconds it took until the last answer."""
        began_ns = time.perf_counter_ns()
        for number, (session, method, params) in enumerate(planned):
            while self._in_flight >= self._in_flight_max:
                self._has_room.clear()
                await self._has_room.wait()
            self._in_flight += 1
            self._send(self._connections[session], method, params)
            if number % PROGRESS_EVERY == 0:
                progress.show(self.answered)
                await asyncio.sleep(0)
        while self._in_flight:
            self._has_room.clear()
            await self._has_room.wait()
        progress.show(self.answered)
        return (time.perf_counter_ns() - began_ns) / 1e9

    def _send(self, connection: TradingConnection, method: str, params: dict[str, Any]) -> None:
        sent_ns = time.perf_counter_ns()

        def on_answer(answer: Answer) -> None:
            self.latency_us.record((time.perf_counter_ns() - sent_ns) // 1_000)
            self._in_flight -= 1
            self._has_room.set()
            self.answered += 1
            if answer.error is not None:
                self.refusals[method, answer.error.code, answer.error.msg] += 1
            elif answer.status == 0:
                self.lost += 1
            elif method != "order.cancel":
                self._count_fills(_decode_result(answer.result))

        connection.request(method, params, on_answer)

    def _count_fills(self, result: _Result) -> None:
        fills = result.fills if result.replacement is None else result.replacement.fills
        self.trades += len(fills)
        for fill in fills:
            self.traded_lots += int(fill.qty.partition(".")[0])


class ProgressBar:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
        )
        self._task = self._progress.add_task("replay", total=total)

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int) -> None:
        self._progress.update(self._task, completed=done)


async def replay(
    operations: Sequence[Operation], url: str, data_dir: Path, sessions: int, in_flight_max: int
) -> tuple[list[dict[str, Any]], int]:
    """Play the flow on the node at `url`, audit it, and return figures and an exit code."""
    run = secrets.token_hex(3)
    async with connect_node(data_dir) as node:
        await ensure_market(node, ES_USD)
        deposits = {asset: total // sessions for asset, total in DEPOSITS_TOTAL.items()}
        keys = [
            await new_trader(node, f"replay-{run}-{n}", KeyChoice.HMAC, deposits)
            for n in range(sessions)
        ]
        connections = [await connect(url, key) for key in keys]
        for connection in connections:
            await wait_until_tradable(connection, ES_USD.symbol, "0.25", "1")
        player = Player(connections, in_flight_max)
        planned = list(plan(operations, ES_USD, sessions))
        with ProgressBar(len(planned)) as progress:
            seconds = await player.play(planned, progress)
        for connection in connections:
            await connection.close()
    figures = _figures(player, seconds)
    outcome = await asyncio.to_thread(audit, data_dir)
    figures.append({"name": "replay_audit_clean", "value": not outcome.code, "unit": "bool"})
    if player.lost:
        return figures, exit_codes.UNREACHABLE
    return figures, outcome.code


def _figures(player: Player, seconds: float) -> list[dict[str, Any]]:
    latency = player.latency_us
    rows = [
        ("replay_orders_per_s", round(player.answered / seconds), "1/s"),
        ("replay_trades_per_s", round(player.trades / seconds), "1/s"),
        ("replay_requests", player.answered, "count"),
        ("replay_requests_lost", player.lost, "count"),
        ("replay_trades", player.trades, "count"),
        ("replay_traded_lots", player.traded_lots, "lots"),
        ("replay_p50_ms", latency.percentile(50) / 1_000, "ms"),
        ("replay_p99_ms", latency.percentile(99) / 1_000, "ms"),
        ("replay_max_ms", latency.value_max / 1_000, "ms"),
    ]
    for (method, code, message), count in sorted(player.refusals.items()):
        rows.append((f"replay_refused {method} {code} {message}", count, "count"))
    return [{"name": name, "value": value, "unit": unit} for name, value, unit in rows]


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("flow", type=Path, help="the recorded flow (CSV, gzip or not)")
    parser.add_argument("--url", help="of the WebSocket port; without it: a node of our own")
    parser.add_argument("--data", type=Path, default=Path("data"), help="of the node at --url")
    parser.add_argument("--sessions", type=int, default=16, help="connections and accounts")
    parser.add_argument("--in-flight", type=int, default=256, help="requests on their way")
    parser.add_argument("--limit", type=int, default=0, help="operations to play; 0: all")
    arguments = parser.parse_args()
    if not arguments.flow.exists():
        print(f"skipped: there is no {arguments.flow}")
        return exit_codes.OK
    try:
        operations = list(read_flow(arguments.flow))[: arguments.limit or None]
    except (FlowError, OSError) as error:
        print(error, file=sys.stderr)
        return exit_codes.CONFIG
    load = (arguments.sessions, arguments.in_flight)
    try:
        if arguments.url:
            figures, code = asyncio.run(replay(operations, arguments.url, arguments.data, *load))
        else:
            with own_node() as node:
                figures, code = asyncio.run(replay(operations, node.url, node.data_dir, *load))
    except ConnectionLostError as error:
        print(error, file=sys.stderr)
        return exit_codes.UNREACHABLE
    for figure in figures:
        print(msgspec.json.encode(figure).decode())
    return code


if __name__ == "__main__":
    sys.exit(main())
