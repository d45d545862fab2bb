"""How long a killed host is away: kill -9 of the account host whose streams hold a million events.

The streams are filled by trading (benchmarks/cluster.py), with snapshots as configured. Then the
account host is killed, and the clock stops when every shard of it answers again: detection,
restart of the process, snapshot and replay are all in it.
"""

import asyncio
import os
import signal
import statistics
import time
from typing import Any

import msgspec
import uvloop

from actors.client import NodeClient
from actors.node import ask_host, node_status
from benchmarks.cluster import Load, prepare, settled
from benchmarks.own_node import OwnNode, own_node
from exchange.account.commands import ReadAccount, ReadKind

HOST = "accounts-1"
EVENTS = 1_000_000
EVENTS_QUICK = 150_000
POLL_S = 0.05


def events_of(node: OwnNode) -> int:
    """Return how many events the host's streams hold."""
    status = msgspec.msgpack.decode(ask_host(node.data_dir, HOST, "status").body)
    return sum(shard["seq"] for shard in status["shards"])


async def measure(node: OwnNode, events: int, kills: int) -> tuple[list[float], int]:
    """Fill the streams, kill the host some times; return the seconds until it served again each
    time, and how many events its streams held."""
    async with await NodeClient.connect(node.data_dir) as client:
        accounts = await prepare(client)
        load = Load(client, accounts)
        load.start()
        while await asyncio.to_thread(events_of, node) < events:
            await asyncio.sleep(0.2)
        load.stop()
        while load.in_flight:
            await asyncio.sleep(0.002)
        await settled(client, accounts)
        held = await asyncio.to_thread(events_of, node)
        return [await _kill(node, client, accounts) for _ in range(kills)], held


async def _kill(node: OwnNode, client: NodeClient, accounts: list[int]) -> float:
    pid = next(host.pid for host in node_status(node.data_dir).hosts if host.name == HOST)
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    reads = [
        ReadAccount(account, ReadKind.BALANCES, "", 0, "", b"", (), "", 0)
        for account in accounts[: client.config.hosts.account_shards]
    ]
    await asyncio.gather(*(client.account(read, again_s=POLL_S) for read in reads))
    return time.perf_counter() - began


def run(quick: bool) -> list[dict[str, Any]]:
    """Measure on a node of our own. The name says a million; quick fills less, and says so."""
    with own_node() as node:
        events, kills = (EVENTS_QUICK, 1) if quick else (EVENTS, 3)
        seconds, held = uvloop.run(measure(node, events, kills))
    name = "recovery_150k_events_s" if quick else "recovery_1m_events_s"
    return [
        {"name": name, "value": round(statistics.median(seconds), 3), "unit": "s"},
        {"name": "recovery_stream_events", "value": held, "unit": "count"},
    ]


if __name__ == "__main__":
    for figure in run(quick=True):
        print(figure)
