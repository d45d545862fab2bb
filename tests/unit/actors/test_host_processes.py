"""Hosts as OS processes: real processes, a clock that is passed in, messages that are recorded."""

import multiprocessing
import multiprocessing.process
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from thespian.actors import Actor, ActorAddress

from actors.control import (
    HostSpec,
    Ping,
    Pong,
    Ready,
    Reply,
    Report,
    Start,
    Started,
    Stop,
    ToHost,
    decode_to_host,
    run_dir,
    write_exit_record,
)
from actors.host_processes import HostForkError, HostHandle, HostProcesses
from actors.timers import ActorTimers
from supervision.reason import SHUTDOWN, ExitReason

HANG_MS, PING_MS = 1_000, 100


class Actors:
    """Starts processes that only wait, and keeps what they are sent."""

    def __init__(self) -> None:
        self.sent: list[ToHost] = []
        self.processes: list[multiprocessing.process.BaseProcess] = []
        self.can_fork = True

    def create(
        self, actor_class: type[Actor]
    ) -> tuple[ActorAddress, multiprocessing.process.BaseProcess]:
        if not self.can_fork:
            raise HostForkError("no process left")
        process = multiprocessing.get_context("fork").Process(target=signal.pause, daemon=True)
        process.start()
        self.processes.append(process)
        return ActorAddress(len(self.processes)), process

    def send(self, targetAddr: ActorAddress, msg: object) -> None:  # noqa: N803
        assert isinstance(msg, bytes)
        self.sent.append(decode_to_host(msg))


class World:
    """HostProcesses with everything around it."""

    def __init__(self, data_dir: Path) -> None:
        run_dir(data_dir).mkdir()
        self.now_ms = 0
        self.actors = Actors()
        self.timers = ActorTimers(lambda: self.now_ms * 1_000_000, lambda delay_ms: None)
        self.exits: list[ExitReason] = []
        self.ready = 0
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.replies: list[Reply] = []
        self.spec = HostSpec(name="h-1", kind="k", data_dir=str(data_dir))
        self.hosts = HostProcesses(
            self.actors,
            Actor,
            self.timers,
            lambda: self.now_ms * 1_000_000,
            hang_deadline_ms=HANG_MS,
            ping_period_ms=PING_MS,
            stop_timeout_ms=5_000,
            on_report=lambda name, event: self.reports.append((name, event)),
            on_reply=self.replies.append,
        )

    def launch(self) -> HostHandle:
        return self.hosts.launch(self.spec, self.became_ready, self.exits.append)

    def became_ready(self) -> None:
        self.ready += 1

    def pass_time(self, ms: int, step_ms: int = PING_MS) -> None:
        for _ in range(ms // step_ms):
            self.now_ms += step_ms
            self.timers.run_due(is_wakeup=True)

    def wait_exit(self) -> None:
        """Reap when the kernel says that a process has ended."""
        assert select.select(self.hosts.pidfds(), [], [], 10)[0]
        self.hosts.reap()

    def pings(self) -> list[int]:
        return [message.number for message in self.actors.sent if isinstance(message, Ping)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    for process in world.actors.processes:
        process.kill()
        process.join()


def test_host_is_started_with_a_new_incarnation_each_time(world: World) -> None:
    handles = [world.launch(), world.launch()]
    starts = [message for message in world.actors.sent if isinstance(message, Start)]
    assert [start.spec.incarnation for start in starts] == [
        handle.incarnation for handle in handles
    ]
    assert 0 < handles[0].incarnation < handles[1].incarnation


def test_ready_is_told_once_and_only_by_this_incarnation(world: World) -> None:
    handle = world.launch()
    world.hosts.receive(Ready(handle.incarnation - 1))
    assert world.ready == 0
    world.hosts.receive(Started(handle.incarnation, 1))
    world.hosts.receive(Ready(handle.incarnation))
    world.hosts.receive(Ready(handle.incarnation))
    assert world.ready == 1
    assert [state.phase for state in world.hosts.states()] == ["ready"]


def test_silent_host_is_killed_after_the_deadline_and_not_before(world: World) -> None:
    world.launch()
    world.pass_time(HANG_MS)
    assert world.exits == []
    world.pass_time(PING_MS)
    world.wait_exit()
    assert [str(reason) for reason in world.exits] == ["killed: hang"]
    assert world.hosts.states() == []


def test_answering_host_lives_on(world: World) -> None:
    handle = world.launch()
    for _ in range(30):
        world.pass_time(PING_MS)
        world.hosts.receive(Pong(handle.incarnation, world.pings()[-1], 3))
    assert world.hosts.states()[0].frames_refused == 3
    assert world.pings() == list(range(1, 31))
    assert world.exits == []


def test_answers_of_a_former_incarnation_do_not_keep_a_host_alive(world: World) -> None:
    handle = world.launch()
    for _ in range(HANG_MS // PING_MS + 1):
        world.pass_time(PING_MS)
        world.hosts.receive(Pong(handle.incarnation - 1, 1, 0))
    world.wait_exit()
    assert [str(reason) for reason in world.exits] == ["killed: hang"]


def test_pings_that_wait_are_bounded(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hosts._hang_deadline_ns = 10**12
    world.launch()
    world.pass_time(50 * PING_MS)
    assert len(world.pings()) == 10
    world.actors.processes[0].kill()


def test_nobody_is_killed_for_a_pause_of_the_supervisor_itself(world: World) -> None:
    world.launch()
    world.pass_time(60_000, step_ms=60_000)
    assert world.pings() == [1]  # asked, not killed
    world.pass_time(HANG_MS + PING_MS)  # but it must answer from now on
    world.wait_exit()
    assert [str(reason) for reason in world.exits] == ["killed: hang"]


def test_exit_is_told_once_with_the_signal(world: World) -> None:
    world.launch()
    pid = world.actors.processes[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    world.wait_exit()
    world.hosts.reap()
    assert [str(reason) for reason in world.exits] == ["killed: signal 15"]
    assert world.hosts.pidfds() == []


@pytest.mark.parametrize(
    ("reason", "error", "told"),
    [
        ("shutdown", "", "shutdown"),
        ("error", "ValueError: x", "error: ValueError: x"),
        ("returned", "", "error: returned"),
    ],
)
def test_exit_record_gives_the_reason(world: World, reason: str, error: str, told: str) -> None:
    world.launch()
    start = world.actors.sent[0]
    assert isinstance(start, Start)
    write_exit_record(start.spec, reason, error)
    world.actors.processes[0].kill()
    world.wait_exit()
    assert [str(reason) for reason in world.exits] == [told]


def test_stop_names_its_incarnation_and_unknown_handles_are_told(world: World) -> None:
    handle = world.launch()
    assert world.hosts.ask_to_stop(handle)
    assert world.actors.sent[-1] == Stop(handle.incarnation)
    assert world.hosts.kill(handle, "supervisor")
    world.wait_exit()
    assert not world.hosts.ask_to_stop(handle)
    assert not world.hosts.kill(handle, "supervisor")
    assert world.exits != [SHUTDOWN]


def test_fork_failure_is_an_exit_told_later(world: World) -> None:
    world.actors.can_fork = False
    world.launch()
    assert world.exits == []
    world.pass_time(1_000)
    assert [str(reason) for reason in world.exits] == ["error: no process left"]


def test_reports_and_replies_are_handed_on(world: World) -> None:
    handle = world.launch()
    world.hosts.receive(Report(handle.incarnation, {"lag": 3}))
    world.hosts.receive(Report(handle.incarnation - 1, {"lag": 4}))
    world.hosts.receive(Reply(5, b"body"))
    assert world.reports == [("h-1", {"lag": 3})]
    assert world.replies == [Reply(5, b"body")]
