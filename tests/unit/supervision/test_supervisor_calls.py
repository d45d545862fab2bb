"""The calls of a supervisor answer as Erlang/OTP's do."""

from typing import Any

import pytest

from supervision.port import StartFailed
from supervision.reason import NORMAL, SHUTDOWN, ExitKind, error_reason
from supervision.report import (
    DONE,
    CallResult,
    ChildCounts,
    ChildState,
    Done,
    RefusalCode,
    Refused,
    ReportKind,
)
from supervision.spec import (
    AutoShutdown,
    ChildKind,
    ChildSpec,
    Restart,
    Strategy,
    SupervisorSpec,
)
from supervision.supervisor import OPERATIONS_WAITING_MAX
from tests.unit.supervision.worlds import BROKEN, SlowWorld, World, call, handle_of, running

CRASH = error_reason("crash")
SIMPLE = Refused(RefusalCode.SIMPLE_ONE_FOR_ONE)
NOT_FOUND = Refused(RefusalCode.NOT_FOUND)


def start_simple(world: World, **options: object) -> None:
    """Start a supervisor of dynamic children."""
    template = world.child("t", **options)
    strategy = Strategy.SIMPLE_ONE_FOR_ONE
    world.start(SupervisorSpec("s", strategy, restarts_max=5, children=(template,)))


def test_started_child_is_last_in_start_order(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    result = call(world, world.supervisor.start_child, world.child("b"))
    assert result == Done(handle_of(world, "b"))
    assert running(world) == ["a", "b"]


def test_child_that_is_there_is_not_started_again(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    start_child = world.supervisor.start_child
    running_one = Refused(RefusalCode.ALREADY_STARTED, handle_of(world, "a"))
    assert call(world, start_child, world.child("a")) == running_one
    assert call(world, world.supervisor.terminate_child, "a") == DONE
    assert call(world, start_child, world.child("a")) == Refused(RefusalCode.ALREADY_PRESENT)


def test_child_whose_start_fails_is_not_kept(world: World) -> None:
    world.start(SupervisorSpec("s"))
    world.script.starts["a"] = ["fail"]
    result = call(world, world.supervisor.start_child, world.child("a"))
    assert result == Refused(RefusalCode.START_FAILED, BROKEN)
    assert world.supervisor.which_children() == []
    assert [report.kind for report in world.reports] == [ReportKind.START_ERROR]


def test_child_that_ignores_is_kept_unless_temporary(world: World) -> None:
    world.start(SupervisorSpec("s"))
    world.script.starts = {"a": ["ignore"], "b": ["ignore"]}
    assert call(world, world.supervisor.start_child, world.child("a")) == DONE
    temporary = world.child("b", restart=Restart.TEMPORARY)
    assert call(world, world.supervisor.start_child, temporary) == DONE
    assert [info.child_id for info in world.supervisor.which_children()] == ["a"]


def test_spec_that_does_not_fit_the_supervisor_is_refused(world: World) -> None:
    world.start(SupervisorSpec("s", auto_shutdown=AutoShutdown.NEVER))
    child = world.child("a", restart=Restart.TEMPORARY, significant=True)
    result = call(world, world.supervisor.start_child, child)
    assert isinstance(result, Refused)
    assert result.code is RefusalCode.BAD_SPEC


def test_terminated_child_can_be_restarted_or_deleted(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    supervisor = world.supervisor
    assert call(world, supervisor.terminate_child, "a") == DONE
    assert call(world, supervisor.terminate_child, "a") == DONE
    assert [info.state for info in supervisor.which_children()] == [ChildState.STOPPED]
    assert call(world, supervisor.restart_child, "a") == Done(handle_of(world, "a"))
    assert call(world, supervisor.restart_child, "a") == Refused(RefusalCode.RUNNING)
    assert call(world, supervisor.delete_child, "a") == Refused(RefusalCode.RUNNING)
    assert call(world, supervisor.terminate_child, "a") == DONE
    assert call(world, supervisor.delete_child, "a") == DONE
    assert supervisor.which_children() == []
    assert supervisor.restarts_in_window() == 0


@pytest.mark.parametrize("method", ["terminate_child", "restart_child", "delete_child"])
def test_unknown_child_is_not_found(world: World, method: str) -> None:
    world.start(SupervisorSpec("s"))
    assert call(world, getattr(world.supervisor, method), "nobody") == NOT_FOUND
    assert world.supervisor.get_childspec("nobody") == NOT_FOUND


def test_terminated_temporary_child_is_forgotten(world: World) -> None:
    child = world.child("a", restart=Restart.TEMPORARY)
    world.start(SupervisorSpec("s", children=(child,)))
    assert call(world, world.supervisor.terminate_child, "a") == DONE
    assert world.supervisor.which_children() == []


def test_restart_child_that_fails_keeps_the_spec(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    call(world, world.supervisor.terminate_child, "a")
    world.script.starts["a"] = ["fail"]
    result = call(world, world.supervisor.restart_child, "a")
    assert result == Refused(RefusalCode.START_FAILED, BROKEN)
    assert [info.state for info in world.supervisor.which_children()] == [ChildState.STOPPED]


def test_children_are_listed_in_reverse_and_counted(world: World) -> None:
    children = (
        world.child("a"),
        world.child("b", kind=ChildKind.SUPERVISOR),
        world.child("c", restart=Restart.TRANSIENT),
    )
    world.start(SupervisorSpec("s", children=children))
    world.exit_child("c", NORMAL)
    world.settle()
    listed = [(info.child_id, info.handle is None) for info in world.supervisor.which_children()]
    assert listed == [("c", True), ("b", False), ("a", False)]
    assert world.supervisor.count_children() == ChildCounts(3, 2, 1, 2)
    assert world.supervisor.get_childspec("b") == children[1]


def test_supervisor_that_has_ended_refuses_calls(world: World) -> None:
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    world.shut_down()
    noproc = Refused(RefusalCode.NOPROC)
    assert call(world, world.supervisor.start_child, world.child("b")) == noproc
    assert call(world, world.supervisor.terminate_child, "a") == noproc


# ------------------------------------------------------------------ simple_one_for_one


def test_dynamic_children_are_started_counted_and_stopped(world: World) -> None:
    start_simple(world)
    results = [call(world, world.supervisor.start_child, (number,)) for number in range(3)]
    handles = [result.handle for result in results if isinstance(result, Done)]
    assert running(world) == handles
    assert world.supervisor.count_children() == ChildCounts(1, 3, 0, 3)
    assert call(world, world.supervisor.terminate_child, handles[1]) == DONE
    assert running(world) == [handles[0], handles[2]]
    assert world.reports == []  # no progress of dynamic children
    world.shut_down()
    assert world.ended == [SHUTDOWN]
    assert world.log == ["+t"] * 3 + ["-t"] * 3


def test_dynamic_child_is_restarted_under_a_new_handle(world: World) -> None:
    start_simple(world)
    first = call(world, world.supervisor.start_child, ())
    assert isinstance(first, Done)
    world.script.starts["t"] = ["fail"]
    world.exit_child(first.handle, CRASH)
    world.settle()
    (handle,) = running(world)
    assert handle != first.handle
    assert world.supervisor.restarts_in_window() == 2
    assert call(world, world.supervisor.terminate_child, first.handle) == NOT_FOUND


@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
def test_dynamic_child_that_ends_normally_is_forgotten(world: World, restart: Restart) -> None:
    start_simple(world, restart=restart)
    result = call(world, world.supervisor.start_child, ())
    assert isinstance(result, Done)
    world.exit_child(result.handle, NORMAL)
    world.settle()
    assert world.supervisor.which_children() == []
    assert world.supervisor.count_children() == ChildCounts(1, 0, 0, 0)


def test_dynamic_children_know_no_ids(world: World) -> None:
    start_simple(world)
    assert call(world, world.supervisor.terminate_child, "t") == SIMPLE
    assert call(world, world.supervisor.terminate_child, 12345) == NOT_FOUND
    assert call(world, world.supervisor.restart_child, "t") == SIMPLE
    assert call(world, world.supervisor.delete_child, "t") == SIMPLE
    assert call(world, world.supervisor.start_child, world.child("u")) == SIMPLE


def test_dynamic_children_are_stopped_together_and_reported_together(world: World) -> None:
    world.script.stops["t"] = "stubborn"
    start_simple(world, shutdown=1_000)
    for _ in range(5):
        call(world, world.supervisor.start_child, ())
    world.shut_down()
    assert world.ended == []
    world.advance(1_000)  # one time-out for all
    assert world.ended == [SHUTDOWN]
    assert [(report.kind, report.count) for report in world.reports] == [
        (ReportKind.SHUTDOWN_ERROR, 5)
    ]


def test_arguments_are_for_dynamic_children_only(world: World) -> None:
    world.start(SupervisorSpec("s"))
    result = call(world, world.supervisor.start_child, ("argument",))
    assert isinstance(result, Refused)
    assert result.code is RefusalCode.BAD_SPEC


# ------------------------------------------------------------------ while a child takes its time


def slow_starter() -> tuple[SlowWorld, ChildSpec]:
    """Return a world where child b never becomes ready."""
    world = SlowWorld()
    world.script.starts["b"] = ["never"]
    return world, world.child("b")


def test_shutdown_does_not_wait_for_a_child_that_is_starting() -> None:
    world, never_ready = slow_starter()
    world.begin(SupervisorSpec("s", children=(world.child("a"), never_ready, world.child("c"))))
    world.settle()
    assert world.outcomes == []
    world.shut_down()
    assert world.ended == [SHUTDOWN, SHUTDOWN]  # of start, which was given up, and of shutdown
    assert world.outcomes == [StartFailed(SHUTDOWN)]
    assert world.log == ["+a", "-b", "-a"]
    assert world.port.alive == {}


def test_calls_wait_in_line_and_are_answered_when_the_supervisor_ends() -> None:
    world, never_ready = slow_starter()
    world.start(SupervisorSpec("s", children=(world.child("a"),)))
    answers: list[CallResult] = []
    world.supervisor.start_child(never_ready, answers.append)
    world.supervisor.terminate_child("a", answers.append)
    world.settle()
    assert answers == []
    states = {info.child_id: info.state for info in world.supervisor.which_children()}
    assert states == {"b": ChildState.STARTING, "a": ChildState.RUNNING}
    world.shut_down()
    assert answers == 2 * [Refused(RefusalCode.NOPROC)]
    assert world.port.alive == {}


def test_calls_beyond_the_bound_are_refused() -> None:
    world, never_ready = slow_starter()
    world.start(SupervisorSpec("s"))
    answers: list[CallResult] = []
    world.supervisor.start_child(never_ready, answers.append)
    for _ in range(OPERATIONS_WAITING_MAX + 2):
        world.supervisor.terminate_child("nobody", answers.append)
    assert answers == [Refused(RefusalCode.BUSY)]


def test_child_that_dies_while_starting_has_failed_to_start() -> None:
    world, never_ready = slow_starter()
    world.begin(SupervisorSpec("s", children=(never_ready,)))
    world.exit_child("b", CRASH)
    world.settle()
    assert [reason.kind for reason in world.ended] == [ExitKind.SHUTDOWN]
    assert world.log == ["-b"]


def test_child_that_waits_for_its_restart_refuses_what_needs_it_stopped() -> None:
    world = SlowWorld()
    world.start(SupervisorSpec("s", restarts_max=5, children=(world.child("a"),)))
    world.script.starts["a"] = ["fail"]
    world.exit_child("a", CRASH)
    while world.supervisor.which_children()[0].state is not ChildState.RESTARTING:
        world.step()
    answers: list[CallResult] = []
    world.supervisor.restart_child("a", answers.append)
    world.supervisor.delete_child("a", answers.append)
    world.supervisor.terminate_child("a", answers.append)
    assert answers == [*2 * [Refused(RefusalCode.RESTARTING)], DONE]
    world.settle()
    assert running(world) == []  # the attempt that was to come did not
    assert world.supervisor.restarts_in_window() == 1


def busy_world(*child_ids: str, **options: Any) -> SlowWorld:
    """Return a world whose supervisor is busy starting child b, until that one ends."""
    world = SlowWorld()
    children = tuple(world.child(child_id) for child_id in child_ids)
    world.start(SupervisorSpec("s", children=children, **options))
    world.script.starts["b"] = ["never"]
    world.supervisor.start_child(world.child("b"), lambda _: None)
    world.settle()
    return world


def test_exit_that_waited_while_its_child_was_restarted_with_another_is_nothing_new() -> None:
    world = busy_world("x", "y", "z", strategy=Strategy.REST_FOR_ONE, restarts_max=5)
    for child_id in "yz":
        world.exit_child(child_id, CRASH)
    world.settle()
    assert running(world) == ["x", "y", "z"]  # nothing is known to have ended...
    world.exit_child("b", CRASH)  # ...to a supervisor that is busy until here
    world.settle()
    assert world.log == ["+x", "+y", "+z", "-y", "-z", "-b", "+y", "+z"]
    assert world.supervisor.restarts_in_window() == 1


def test_first_reason_that_is_told_stands() -> None:
    world = busy_world("x", restarts_max=5)
    handle = handle_of(world, "x")
    for reason in (CRASH, NORMAL):
        world.supervisor.child_exited(handle, reason)
    world.exit_child("b", NORMAL)
    world.settle()
    terminated = [
        report.reason for report in world.reports if report.kind is ReportKind.CHILD_TERMINATED
    ]
    assert terminated == [CRASH]


def test_call_that_waited_while_the_supervisor_gave_up_is_refused() -> None:
    world = busy_world("x", restarts_max=0)
    answers: list[CallResult] = []
    world.exit_child("x", CRASH)
    world.settle()
    world.supervisor.start_child(world.child("c"), answers.append)
    world.exit_child("b", CRASH)
    world.settle()
    assert world.ended == [SHUTDOWN]
    assert answers == [Refused(RefusalCode.NOPROC)]
    assert "+c" not in world.log


def test_child_that_ends_while_its_termination_waits_is_terminated_and_not_restarted() -> None:
    world = busy_world("x", restarts_max=5)
    answers: list[CallResult] = []
    world.supervisor.terminate_child("x", answers.append)
    world.exit_child("x", CRASH)
    world.exit_child("b", CRASH)
    world.settle()
    assert answers == [DONE]
    assert running(world) == []
    assert world.supervisor.restarts_in_window() == 0
