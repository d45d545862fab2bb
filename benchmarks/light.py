"""What a light process costs: python -m benchmarks.light [--quick]. Medians of three."""

import gc
import json
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable

from supervision.process import Behaviour, Pid
from supervision.scheduler import Scheduler

REPEATS = 3
RING_PROCESSES = 5_000


class RingMember(Behaviour):
    """Hands a number to its neighbour until it is used up."""

    __slots__ = ("neighbour",)
    neighbour: Pid

    def handle(self, message: object) -> None:
        assert isinstance(message, int)
        if message:
            self.ctx.send(self.neighbour, message - 1)


class Counter(Behaviour):
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def handle(self, message: object) -> None:
        self.count += 1


def run(quick: bool) -> list[dict[str, object]]:
    """Measure; `quick` does a tenth of the work, for a smoke test."""
    scale = 1 if quick else 10
    ring = _median(lambda: _ring_us(50_000 * scale))
    fan_out = _median(lambda: _fan_out_us(10 * scale))
    return [
        {"name": "light_message_us", "value": ring, "unit": "us", "how": "5000 processes, ring"},
        {"name": "light_fan_out_us", "value": fan_out, "unit": "us", "how": "5000 processes"},
        {
            "name": "spawn_per_s",
            "value": _median(lambda: _spawn_per_s(5_000 * scale)),
            "unit": "1/s",
        },
        {"name": "bytes_per_process", "value": _median(_bytes_per_process), "unit": "B"},
    ]


def _ring_us(messages: int) -> float:
    """A message sent and handled, one turn each: what a message to an idle process costs."""
    scheduler = _scheduler()
    members = [RingMember() for _ in range(RING_PROCESSES)]
    pids = [scheduler.spawn(member) for member in members]
    for index, member in enumerate(members):
        member.neighbour = pids[(index + 1) % RING_PROCESSES]
    tokens = 50
    for token in range(tokens):
        scheduler.send(pids[token * 100], messages // tokens)
    started_at = time.perf_counter_ns()
    handled = scheduler.run()
    return (time.perf_counter_ns() - started_at) / handled / 1_000


def _fan_out_us(rounds: int) -> float:
    """A message sent from outside and handled, several waiting for each process."""
    scheduler = _scheduler()
    pids = [scheduler.spawn(Counter()) for _ in range(RING_PROCESSES)]
    send = scheduler.send
    handled = 0
    started_at = time.perf_counter_ns()
    for _ in range(rounds):
        for _ in range(4):
            for pid in pids:
                send(pid, 1)
        handled += scheduler.run()
    return (time.perf_counter_ns() - started_at) / handled / 1_000


def _spawn_per_s(count: int) -> float:
    scheduler = _scheduler()
    started_at = time.perf_counter_ns()
    for _ in range(count):
        scheduler.spawn(Counter())
    return count * 1_000_000_000 / (time.perf_counter_ns() - started_at)


def _bytes_per_process() -> float:
    count = 2_000
    scheduler = _scheduler()
    gc.collect()
    tracemalloc.start()
    for _ in range(count):
        scheduler.spawn(Counter())
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / count


def _scheduler() -> Scheduler:
    return Scheduler(time.monotonic_ns, random.Random(1))


def _median(measure: Callable[[], float]) -> float:
    return round(statistics.median(measure() for _ in range(REPEATS)), 3)


if __name__ == "__main__":
    print(json.dumps(run(quick="--quick" in sys.argv), indent=1))
