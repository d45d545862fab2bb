"""The supervisor does what Erlang/OTP's does: restarts, strategies, starting and stopping."""

import pytest

from supervision.reason import NORMAL, SHUTDOWN, ExitKind, ExitReason, error_reason
from supervision.report import ChildState, ReportKind
from supervision.spec import AutoShutdown, Restart, Shutdown, Strategy, SupervisorSpec
from tests.unit.supervision.worlds import BROKEN, LightWorld, World, handle_of, running

CRASH = error_reason("crash")
KILLED_BY_OTHERS = ExitReason(ExitKind.KILLED)
SHUTDOWN_WITH_TERM = ExitReason(ExitKind.SHUTDOWN, "term")


def kinds(world: World) -> list[ReportKind]:
    """Return the reports but those of progress."""
    return [report.kind for report in world.reports if report.kind is not ReportKind.PROGRESS]


@pytest.mark.parametrize(
    ("restart", "reason", "is_restarted", "is_reported"),
    [
        (Restart.PERMANENT, NORMAL, True, True),
        (Restart.PERMANENT, SHUTDOWN, True, True),
        (Restart.PERMANENT, SHUTDOWN_WITH_TERM, True, True),
        (Restart.PERMANENT, CRASH, True, True),
        (Restart.PERMANENT, KILLED_BY_OTHERS, True, True),
        (Restart.TRANSIENT, NORMAL, False, False),
        (Restart.TRANSIENT, SHUTDOWN, False, False),
        (Restart.TRANSIENT, SHUTDOWN_WITH_TERM, False, False),
        (Restart.TRANSIENT, CRASH, True, True),
        (Restart.TRANSIENT, KILLED_BY_OTHERS, True, True),
        (Restart.TEMPORARY, NORMAL, False, False),
        (Restart.TEMPORARY, SHUTDOWN, False, False),
        (Restart.TEMPORARY, CRASH, False, True),
        (Restart.TEMPORARY, KILLED_BY_OTHERS, False, True),
    ],
)
def test_restart_type_and_reason_decide_whether_a_child_comes_back(
    world: World, restart: Restart, reason: ExitReason, is_restarted: bool, is_reported: bool
) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a", restart=restart),)))
    world.exit_child("a", reason)
    world.settle()
    assert (running(world) == ["a"]) is is_restarted
    assert (ReportKind.CHILD_TERMINATED in kinds(world)) is is_reported
    has_spec = bool(world.supervisor.which_children())
    assert has_spec is (is_restarted or restart is not Restart.TEMPORARY)


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        (Strategy.ONE_FOR_ONE, ["-b", "+b"]),
        (Strategy.REST_FOR_ONE, ["-b", "-c", "+b", "+c"]),
        (Strategy.ONE_FOR_ALL, ["-b", "-c", "-a", "+a", "+b", "+c"]),
    ],
)
def test_strategy_decides_who_goes_along_and_order_is_kept(
    world: World, strategy: Strategy, log: list[str]
) -> None:
    children = tuple(world.child(name) for name in "abc")
    world.start(SupervisorSpec("s", strategy, children=children))
    assert world.log == ["+a", "+b", "+c"]
    world.log.clear()
    world.exit_child("b", CRASH)
    world.settle()
    assert world.log == log
    assert running(world) == ["a", "b", "c"]
    assert kinds(world) == [ReportKind.CHILD_TERMINATED]


def test_children_stop_in_reverse_start_order(world: World) -> None:
    world.start(SupervisorSpec("s", children=tuple(world.child(name) for name in "abc")))
    world.log.clear()
    world.shut_down()
    assert world.log == ["-c", "-b", "-a"]
    assert world.ended == [SHUTDOWN]
    assert kinds(world) == []


def test_failed_first_start_stops_the_started_and_is_not_tried_again(world: World) -> None:
    world.script.starts["c"] = ["fail"]
    world.start(SupervisorSpec("s", children=tuple(world.child(name) for name in "abcd")))
    assert world.log == ["+a", "+b", "-b", "-a"]
    detail = ("failed_to_start_child", "c", BROKEN)
    assert world.ended == [ExitReason(ExitKind.SHUTDOWN, detail)]
    assert kinds(world) == [ReportKind.START_ERROR]


def test_failed_restart_is_tried_again_and_every_attempt_counts(world: World) -> None:
    world.start(SupervisorSpec("s", restarts_max=3, children=(world.child("a"),)))
    world.script.starts["a"] = ["fail", "fail"]
    world.exit_child("a", CRASH)
    world.settle()
    assert running(world) == ["a"]
    assert world.supervisor.restarts_in_window() == 3
    assert kinds(world) == [ReportKind.CHILD_TERMINATED] + 2 * [ReportKind.START_ERROR]


def test_too_many_failed_restarts_end_the_supervisor_and_all_its_children(world: World) -> None:
    world.start(SupervisorSpec("s", restarts_max=3, children=(world.child("a"), world.child("b"))))
    world.script.starts["b"] = 10 * ["fail"]
    world.log.clear()
    world.exit_child("b", CRASH)
    world.settle()
    assert world.log == ["-b", "-a"]
    assert world.ended == [SHUTDOWN]
    assert len(world.script.starts["b"]) == 7
    assert kinds(world)[-1] is ReportKind.SHUTDOWN


def test_restarts_within_the_period_end_the_supervisor_when_above_the_intensity(
    world: World,
) -> None:
    spec = SupervisorSpec(
        "s", restarts_max=2, restarts_period_ms=5_000, children=(world.child("a"),)
    )
    world.start(spec)
    for _ in range(2):
        world.exit_child("a", CRASH)
        world.settle()
    world.advance(6_000)
    for _ in range(2):
        world.exit_child("a", CRASH)
        world.settle()
    assert running(world) == ["a"]
    world.advance(5_000)  # exactly one period: these two still count
    world.exit_child("a", CRASH)
    world.settle()
    assert world.ended == [SHUTDOWN]


def test_intensity_nought_ends_the_supervisor_at_the_first_crash(world: World) -> None:
    world.start(SupervisorSpec("s", restarts_max=0, children=(world.child("a"),)))
    world.exit_child("a", CRASH)
    world.settle()
    assert world.ended == [SHUTDOWN]


def test_restart_of_a_group_counts_once(world: World) -> None:
    children = tuple(world.child(name) for name in "abcde")
    world.start(SupervisorSpec("s", Strategy.ONE_FOR_ALL, restarts_max=1, children=children))
    world.exit_child("a", CRASH)
    world.settle()
    assert running(world) == list("abcde")
    assert world.supervisor.restarts_in_window() == 1


def test_one_for_all_drops_temporary_and_starts_finished_and_terminated_ones(
    world: World,
) -> None:
    children = (
        world.child("finished", restart=Restart.TRANSIENT),
        world.child("gone", restart=Restart.TEMPORARY),
        world.child("terminated"),
        world.child("crashes"),
    )
    world.start(SupervisorSpec("s", Strategy.ONE_FOR_ALL, children=children))
    world.exit_child("finished", NORMAL)
    world.supervisor.terminate_child("terminated", lambda _: None)
    world.settle()
    assert running(world) == ["gone", "crashes"]
    world.exit_child("crashes", CRASH)
    world.settle()
    assert running(world) == ["finished", "terminated", "crashes"]
    assert world.supervisor.count_children().specs == 3


def test_one_for_all_tries_all_again_when_a_sibling_fails(world: World) -> None:
    children = tuple(world.child(name) for name in "abc")
    world.start(SupervisorSpec("s", Strategy.ONE_FOR_ALL, restarts_max=5, children=children))
    world.log.clear()
    world.script.starts["b"] = ["fail"]
    world.exit_child("c", CRASH)
    world.settle()
    assert world.log == ["-c", "-b", "-a", "+a", "-a", "+a", "+b", "+c"]
    assert world.supervisor.restarts_in_window() == 2


def test_rest_for_one_tries_again_only_from_the_one_that_failed(world: World) -> None:
    children = tuple(world.child(name) for name in "abcd")
    world.start(SupervisorSpec("s", Strategy.REST_FOR_ONE, restarts_max=5, children=children))
    world.log.clear()
    world.script.starts["c"] = ["fail"]
    world.exit_child("b", CRASH)
    world.settle()
    assert world.log == ["-b", "-d", "-c", "+b", "+c", "+d"]
    assert world.supervisor.restarts_in_window() == 2


def test_ignored_start_keeps_the_spec_without_a_process(world: World) -> None:
    world.script.starts["a"] = ["ignore"]
    world.script.starts["t"] = ["ignore"]
    temporary = world.child("t", restart=Restart.TEMPORARY)
    world.start(SupervisorSpec("s", children=(world.child("a"), temporary, world.child("b"))))
    states = {info.child_id: info.state for info in world.supervisor.which_children()}
    assert states == {"b": ChildState.RUNNING, "a": ChildState.STOPPED}
    assert kinds(world) == []


def test_restart_that_is_ignored_is_not_tried_again(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    world.script.starts["a"] = ["ignore"]
    world.exit_child("a", CRASH)
    world.settle()
    assert [info.state for info in world.supervisor.which_children()] == [ChildState.STOPPED]
    assert world.supervisor.restarts_in_window() == 1


def test_child_that_does_not_stop_in_time_is_killed_and_reported(world: World) -> None:
    world.script.stops["b"] = "stubborn"
    children = (world.child("a"), world.child("b", shutdown=300), world.child("c"))
    world.start(SupervisorSpec("s", children=children))
    world.log.clear()
    world.shut_down()
    assert world.log == ["-c"]
    world.advance(299)
    assert world.log == ["-c"]
    world.advance(1)
    assert world.log == ["-c", "-a"]
    assert world.ended == [SHUTDOWN]
    assert [report.reason for report in world.reports if report.reason] == [KILLED_BY_OTHERS]
    assert kinds(world) == [ReportKind.SHUTDOWN_ERROR]


def test_brutal_kill_is_not_asked_and_not_reported(world: World) -> None:
    world.script.stops["a"] = "stubborn"
    child = world.child("a", shutdown=Shutdown.BRUTAL_KILL)
    world.start(SupervisorSpec("s", children=(child,)))
    world.shut_down()
    assert world.log == ["+a"]
    assert world.ended == [SHUTDOWN]
    assert kinds(world) == []


def test_infinity_waits_however_long_it_takes(world: World) -> None:
    world.script.stops["a"] = "stubborn"
    child = world.child("a", shutdown=Shutdown.INFINITY)
    world.start(SupervisorSpec("s", children=(child,)))
    world.shut_down()
    world.advance(3_600_000)
    assert world.ended == []
    world.exit_child("a", SHUTDOWN)
    world.settle()
    assert world.ended == [SHUTDOWN]


@pytest.mark.parametrize(
    ("restart", "reason", "is_reported"),
    [
        (Restart.PERMANENT, NORMAL, True),
        (Restart.TRANSIENT, NORMAL, False),
        (Restart.PERMANENT, SHUTDOWN_WITH_TERM, False),
        (Restart.TRANSIENT, CRASH, True),
    ],
)
def test_stopped_child_that_ends_with_another_reason_is_a_shutdown_error(
    world: World, restart: Restart, reason: ExitReason, is_reported: bool
) -> None:
    world.script.stops["a"] = reason
    world.start(SupervisorSpec("s", children=(world.child("a", restart=restart),)))
    world.shut_down()
    assert kinds(world) == ([ReportKind.SHUTDOWN_ERROR] if is_reported else [])


@pytest.mark.parametrize(
    ("auto_shutdown", "ends_after"),
    [(AutoShutdown.ANY_SIGNIFICANT, "a"), (AutoShutdown.ALL_SIGNIFICANT, "ab")],
)
def test_auto_shutdown_ends_the_supervisor_with_its_significant_children(
    world: World, auto_shutdown: AutoShutdown, ends_after: str
) -> None:
    children = (
        world.child("a", restart=Restart.TRANSIENT, significant=True),
        world.child("b", restart=Restart.TEMPORARY, significant=True),
        world.child("c"),
    )
    world.start(SupervisorSpec("s", auto_shutdown=auto_shutdown, children=children))
    for child_id in ends_after:
        assert world.ended == []
        world.exit_child(child_id, NORMAL)
        world.settle()
    assert world.ended == [SHUTDOWN]
    assert sorted(world.log[3:]) == ["-a", "-b", "-c"]


def test_terminating_a_significant_child_is_no_reason_to_end(world: World) -> None:
    child = world.child("a", restart=Restart.TRANSIENT, significant=True)
    world.start(SupervisorSpec("s", auto_shutdown=AutoShutdown.ANY_SIGNIFICANT, children=(child,)))
    world.supervisor.terminate_child("a", lambda _: None)
    world.settle()
    assert world.ended == []


def test_exit_told_twice_is_counted_once(world: World) -> None:
    world.start(SupervisorSpec("s", restarts_max=1, children=(world.child("a"),)))
    handle = handle_of(world, "a")
    world.exit_child("a", CRASH)
    world.settle()
    world.supervisor.child_exited(handle, CRASH)
    world.supervisor.child_exited("nobody knows me", CRASH)
    world.settle()
    assert running(world) == ["a"]
    assert world.supervisor.restarts_in_window() == 1


def test_children_that_exit_together_are_handled_one_after_the_other(world: World) -> None:
    children = tuple(world.child(name) for name in "abc")
    world.start(SupervisorSpec("s", Strategy.REST_FOR_ONE, restarts_max=5, children=children))
    world.exit_child("c", CRASH)
    world.exit_child("b", CRASH)
    world.settle()
    assert running(world) == ["a", "b", "c"]
    assert world.supervisor.restarts_in_window() in (1, 2)
    assert world.log.count("+b") == 2


def test_progress_is_reported_of_every_start(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"), world.child("b"))))
    world.exit_child("a", CRASH)
    world.settle()
    progress = [report for report in world.reports if report.kind is ReportKind.PROGRESS]
    assert [report.spec.child_id for report in progress] == ["a", "b", "a"]
    assert progress[2].handle == handle_of(world, "a")


def test_shutdown_of_a_supervisor_that_gives_up_follows_that_end(world: World) -> None:
    world.script.stops["a"] = "stubborn"
    children = (world.child("a", shutdown=100), world.child("b"))
    world.start(SupervisorSpec("s", restarts_max=0, children=children))
    world.exit_child("b", CRASH)
    world.settle()
    done: list[bool] = []
    world.supervisor.shutdown(lambda: done.append(True))
    assert done == []
    world.advance(100)
    assert done == [True]
    assert world.ended == [SHUTDOWN]
    assert world.supervisor.is_over


def test_light_world_leaves_no_process_behind() -> None:
    world = LightWorld()
    world.start(SupervisorSpec("s", restarts_max=0, children=(world.child("a"), world.child("b"))))
    world.exit_child("a", CRASH)
    world.settle()
    assert world.scheduler.process_count() == 1  # the watcher
