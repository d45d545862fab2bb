"""What a message costs between two hosts: the link itself, and each transport under it.

`run` is for `python -m benchmarks`; `python -m benchmarks.link` prints the table of the transports.
Each transport runs between two processes; "CPU" is of both together, all threads, per data frame
and its acknowledgement. Variants are interleaved and medians taken, so that a busy machine
disturbs all alike.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from actors.link import Link
from actors.transport.port import Transport
from actors.transport.stream import StreamTransport
from actors.transport.zeromq import ZeroMqTransport
from actors.wire import decode_frame
from benchmarks.plain_socket import PlainSocketTransport

SECRET = b"benchmarks need no secret either"
MESSAGE_BYTES = 150
BATCHES = (200, 10)  # messages a frame: at load, and at a few thousand orders/s
TRANSPORTS: dict[str, Callable[[str], Transport]] = {
    "plain": PlainSocketTransport,
    "stream": lambda endpoint: StreamTransport(endpoint, SECRET),
    "zeromq": lambda endpoint: ZeroMqTransport(endpoint, SECRET),
}
_ACKNOWLEDGE, _ECHO, _TELL_CPU = b"A", b"E", b"T"


def run(quick: bool) -> list[dict[str, object]]:
    """Return the named figures; `quick` takes about three seconds, else twenty."""
    results: list[dict[str, object]] = [
        _figure("host_batch_us_per_item", link_us_per_message(quick), "us")
    ]
    for (name, batch, pattern), (cpu_us, wall_us) in transports(quick).items():
        label = f"transport_{name}_{batch}_{pattern}"
        results.append(_figure(f"{label}_cpu_us_per_frame", cpu_us, "us"))
        results.append(_figure(f"{label}_us_per_frame", wall_us, "us"))
    return results


def _figure(name: str, value: float, unit: str) -> dict[str, object]:
    return {"name": name, "value": round(value, 2), "unit": unit}


def link_us_per_message(quick: bool) -> float:
    """Put, frame, encode, decode and take, both ends, in batches of 200 over nothing."""
    raw = msgspec.Raw(msgspec.msgpack.encode(bytes(MESSAGE_BYTES - 2)))
    to_right: list[bytes] = []
    to_left: list[bytes] = []
    left = Link("left", "right", 1, to_right.append, _ignore)
    right = Link("right", "left", 2, to_left.append, _ignore)

    def exchange() -> None:
        while to_right or to_left:
            for data in to_right:
                for frame in right.on_frame(decode_frame(data), 0):
                    right.durable(frame.seq, frame.incarnation)
            to_right.clear()
            right.flush(0)
            for data in to_left:
                left.on_frame(decode_frame(data), 0)
            to_left.clear()
            left.flush(0)

    left.tick(0)
    right.tick(0)
    exchange()
    rounds: list[float] = []
    for _ in range(20 if quick else 100):
        began = time.process_time()
        for _ in range(20):
            for number in range(200):
                left.put_numbered("account/0", "market/BTCUSDT", number, raw)
            left.flush(0)
            exchange()
        rounds.append((time.process_time() - began) / 4_000)
    return statistics.median(rounds) * 1e6


def _ignore(peer: str) -> None:
    """Nobody restarts here."""


# ------------------------------------------------------------------ transports


def transports(quick: bool) -> dict[tuple[str, int, str], tuple[float, float]]:
    """Return, by transport, messages a frame and pattern: CPU and wall µs per frame."""
    return uvloop.run(_transports(rounds=3 if quick else 25, frames=60 if quick else 400))


async def _transports(rounds: int, frames: int) -> dict[tuple[str, int, str], tuple[float, float]]:
    samples: dict[tuple[str, int, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        pairs = {name: await _Pair.start(name, Path(directory)) for name in TRANSPORTS}
        try:
            for _ in range(rounds):
                for batch in BATCHES:
                    data = _frame_bytes(batch)
                    for pattern in ("stream", "pingpong"):
                        for name, pair in pairs.items():
                            sample = await pair.measure(data, pattern, frames)
                            samples.setdefault((name, batch, pattern), []).append(sample)
        finally:
            for pair in pairs.values():
                pair.close()
    return {
        key: (
            statistics.median(cpu for cpu, _ in many),
            statistics.median(wall for _, wall in many),
        )
        for key, many in samples.items()
    }


def _frame_bytes(batch: int) -> bytes:
    return bytes(batch * MESSAGE_BYTES)


class _Pair:
    """This process and a child, connected both ways by one kind of transport."""

    def __init__(self, transport: Transport, child: subprocess.Popen[bytes]) -> None:
        self._transport, self._child = transport, child
        self._answers = 0
        self._last = b""
        self._answered = asyncio.Event()

    @classmethod
    async def start(cls, name: str, directory: Path) -> "_Pair":
        ours, theirs = f"ipc://{directory}/{name}-parent", f"ipc://{directory}/{name}-child"
        transport = TRANSPORTS[name](ours)
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.link", "child", name, theirs, ours]
        )
        pair = cls(transport, child)
        await transport.start(pair._on_message)
        transport.set_peer("child", theirs)
        while not pair._answers:  # until the connection is up, both ways
            transport.send("child", _ECHO)
            await asyncio.sleep(0.05)
        return pair

    def _on_message(self, data: bytes) -> None:
        self._answers += 1
        self._last = data
        self._answered.set()

    async def measure(self, data: bytes, pattern: str, frames: int) -> tuple[float, float]:
        """Return CPU of both processes and wall time, in µs per frame."""
        kind, window = (_ACKNOWLEDGE, 2) if pattern == "stream" else (_ECHO, 1)
        data = kind + data
        send = self._transport.send
        child_before = await self._child_cpu_s()
        self._answers = 0
        sent = 0
        cpu, wall = time.process_time(), time.perf_counter()
        while self._answers < frames:
            while sent < frames and sent - self._answers < window:
                send("child", data)
                sent += 1
            self._answered.clear()
            await self._answered.wait()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        cpu += await self._child_cpu_s() - child_before
        return cpu / frames * 1e6, wall / frames * 1e6

    async def _child_cpu_s(self) -> float:
        self._answered.clear()
        self._transport.send("child", _TELL_CPU)
        await self._answered.wait()
        return float(self._last)

    def close(self) -> None:
        self._transport.close()
        self._child.terminate()
        self._child.wait()


async def _child(name: str, listen_at: str, parent: str) -> None:
    transport = TRANSPORTS[name](listen_at)

    def on_message(data: bytes) -> None:
        kind = data[:1]
        if kind == _ECHO:
            transport.send("parent", data)
        elif kind == _ACKNOWLEDGE:
            transport.send("parent", data[:40])
        else:
            transport.send("parent", repr(time.process_time()).encode())

    await transport.start(on_message)
    transport.set_peer("parent", parent)
    await asyncio.Event().wait()


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        uvloop.run(_child(*sys.argv[2:5]))
        return
    quick = "--quick" in sys.argv
    print(f"link: {link_us_per_message(quick):.2f} us a message, both ends")
    results = transports(quick)
    print("messages/frame  pattern   transport  CPU us/frame  against plain  wall us/frame")
    for batch in BATCHES:
        for pattern in ("stream", "pingpong"):
            plain_us = results["plain", batch, pattern][0]
            for name in TRANSPORTS:
                cpu_us, wall_us = results[name, batch, pattern]
                print(
                    f"{batch:14}  {pattern:8}  {name:9}  {cpu_us:12.1f}"
                    f"  {cpu_us / plain_us - 1:+13.0%}  {wall_us:13.1f}"
                )


if __name__ == "__main__":
    main()
