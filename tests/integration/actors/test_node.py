"""A node of real processes: what dies is started again, what hangs is killed, nothing is left."""

import os
import signal
from pathlib import Path

import pytest

from actors.node import NodeUnreachableError, ask_host, node_status, stop_node
from benchmarks.own_node import free_port
from tests.support.node_process import TIMEOUT_S, NodeProcess, members, wait_until


def test_node_stops_in_reverse_order_and_leaves_no_process(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", "steady", "steady").wait_ready() as node:
        group = node.group
        assert len(members(group)) == 6  # Admin, logger, node supervisor, three hosts
        node.process.send_signal(signal.SIGTERM)
        assert node.wait_exit() == 0
        assert members(group) == []
    assert (tmp_path / "stopped").read_text().split() == ["steady-2", "steady-1", "steady-0"]
    assert node.events[-1] == {"event": "ended", "exit_code": 0, "reason": "stopped"}


def test_node_is_asked_and_stopped_from_outside(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady").wait_ready() as node:
        status = node_status(tmp_path)
        assert (status.phase, [host.name for host in status.hosts]) == ("ready", ["steady-0"])
        assert ask_host(tmp_path, "steady-0", "echo", b"hello").body == b"hello"
        assert ask_host(tmp_path, "steady-0", "unheard").error == "no request 'unheard' here"
        assert ask_host(tmp_path, "absent", "echo").error == "host 'absent' does not run"
        assert stop_node(tmp_path)
        assert node.wait_exit() == 0
        assert not stop_node(tmp_path)
        with pytest.raises(NodeUnreachableError):
            node_status(tmp_path)


def test_killed_host_is_started_again_and_takes_no_other_along(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", "steady").wait_ready() as node:
        first, second = node.pid_of("steady-0"), node.pid_of("steady-1")
        os.kill(first, signal.SIGKILL)
        event = node.wait_event("child_terminated", child="steady-0")
        assert event["reason"] == "killed: signal 9"
        node.wait_restarted("steady-0", first)
        assert node.pid_of("steady-1") == second
        assert node.status().exits == 1
        assert [host.starts for host in node.status().hosts] == [1, 2]


def test_host_whose_supervisor_gives_up_takes_later_hosts_along_and_no_earlier_one(
    tmp_path: Path,
) -> None:
    with NodeProcess(tmp_path, "steady", "steady", "steady", restarts_max=0).wait_ready() as node:
        pids = [node.pid_of(f"steady-{number}") for number in range(3)]
        os.kill(pids[1], signal.SIGKILL)
        node.wait_restarted("steady-1", pids[1])
        node.wait_restarted("steady-2", pids[2])
        assert node.pid_of("steady-0") == pids[0]
        assert (tmp_path / "stopped").read_text().split() == ["steady-2"]


def test_host_told_to_end_by_a_stranger_drains_and_is_started_again(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady").wait_ready() as node:
        first = node.pid_of("steady-0")
        os.kill(first, signal.SIGTERM)
        assert node.wait_event("child_terminated", child="steady-0")["reason"] == "shutdown"
        node.wait_restarted("steady-0", first)


def test_hanging_loop_is_killed_and_started_again(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", hang_deadline_ms=1_000).wait_ready() as node:
        first = node.pid_of("steady-0")
        with pytest.raises(NodeUnreachableError):  # the host sleeps inside this handler
            ask_host(tmp_path, "steady-0", "hang", timeout_s=0.2)
        event = node.wait_event("child_terminated", child="steady-0")
        assert event["reason"] == "killed: hang"
        node.wait_restarted("steady-0", first)


def test_suspended_host_is_killed_and_started_again(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", hang_deadline_ms=1_000).wait_ready() as node:
        first = node.pid_of("steady-0")
        os.kill(first, signal.SIGSTOP)
        node.wait_event("child_terminated", child="steady-0", reason="killed: hang")
        node.wait_restarted("steady-0", first)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("crashing", "error: ValueError: crashes on purpose"), ("returning", "error: returned")],
)
def test_crash_loop_ends_the_node(tmp_path: Path, kind: str, reason: str) -> None:
    with NodeProcess(tmp_path, "steady", kind, restarts_max=2).wait_ready() as node:
        (tmp_path / "crash").touch()
        assert node.wait_exit() == 1
        exits = [
            event["reason"]
            for event in node.events
            if event["event"] == "child_terminated" and event["child"] == f"{kind}-1"
        ]
        assert reason in exits
        assert node.events[-1]["exit_code"] == 1
        assert members(node.group) == []
    # The host before it was stopped in order, not killed.
    assert (tmp_path / "stopped").read_text().split() == ["steady-0"]


def test_failed_first_start_ends_the_node_and_says_why(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", "failing_start") as node:
        assert node.wait_exit() == 1
        assert "ValueError: cannot start" in node.events[-1]["reason"]
        assert members(node.group) == []


def test_node_that_is_still_starting_stops_in_order(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", "endless_start", "steady") as node:
        node.wait_event("report", host="endless_start-1")
        assert [host.phase for host in node.status().hosts] == ["ready", "starting"]
        node.process.send_signal(signal.SIGTERM)
        assert node.wait_exit() == 0
        assert members(node.group) == []
    assert (tmp_path / "stopped").read_text().split() == ["steady-0"]


def test_start_node_returns_when_all_hosts_are_ready_and_leaves_nothing_when_they_are_not(
    tmp_path: Path,
) -> None:
    with NodeProcess(tmp_path / "good", "steady", "steady", call="start") as node:
        node.wait_event("start_node_returned")
        assert [host.phase for host in node.status().hosts] == ["ready", "ready"]
        assert stop_node(tmp_path / "good")
        assert node.wait_exit() == 0
    with NodeProcess(tmp_path / "bad", "steady", "failing_start", call="start") as node:
        assert node.wait_exit() == 1
        assert node.events[-1]["event"] == "refused"
        assert "ValueError: cannot start" in node.events[-1]["reason"]
        assert members(node.group) == []


def test_host_that_does_not_stop_is_killed_at_its_deadline(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "deaf", stop_timeout_ms=300).wait_ready() as node:
        node.process.send_signal(signal.SIGINT)
        assert node.wait_exit() == 0
        assert members(node.group) == []


def test_unknown_kind_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "unheard") as node:
        assert node.wait_exit() == 1
        assert node.events == [
            {"event": "refused", "reason": "Host unheard-0 is of an unknown kind: unheard."}
        ]


def test_second_start_on_the_same_directory_or_port_is_refused(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "a", "steady").wait_ready() as node:
        with NodeProcess(tmp_path / "a", "steady", port=free_port()) as twin:
            assert twin.wait_exit() == 1
            assert twin.events[-1]["reason"] == (
                f"A node is already running on {tmp_path / 'a'} (process {node.process.pid})."
            )
        with NodeProcess(tmp_path / "b", "steady", port=node.port) as neighbour:
            assert neighbour.wait_exit() == 1
            assert f"Port {node.port} on 127.0.0.1" in neighbour.events[-1]["reason"]
        assert node.status().phase == "ready"


@pytest.mark.parametrize(
    "victim", ["admin", "node supervisor", "starter", "starter and supervisor"]
)
def test_death_of_any_part_ends_all_and_the_port_is_free_at_once(
    tmp_path: Path, victim: str
) -> None:
    with NodeProcess(tmp_path, "steady", "steady").wait_ready() as node:
        group, supervisor = node.group, node.node_pid
        if victim == "admin":
            os.kill(_parent(supervisor), signal.SIGKILL)
        if "starter" in victim:
            node.process.send_signal(signal.SIGSTOP)  # both are dead before one can notice
        if "supervisor" in victim:
            os.kill(supervisor, signal.SIGKILL)
        if "starter" in victim:
            node.process.kill()
        assert node.process.wait(TIMEOUT_S) != 0
        if victim != "starter and supervisor":  # else the next start clears what remains
            wait_until(lambda: members(group) == [], "the process group is gone")
        with NodeProcess(tmp_path, "steady", port=node.port).wait_ready() as again:
            assert members(group) == []
            again.process.send_signal(signal.SIGTERM)
            assert again.wait_exit() == 0


def test_hanging_node_supervisor_ends_the_node(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "steady", hang_deadline_ms=1_000).wait_ready() as node:
        os.kill(node.node_pid, signal.SIGSTOP)
        assert node.wait_exit() == 1
        assert node.events[-1]["reason"] == "the node supervisor hung"
        assert members(node.group) == []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
