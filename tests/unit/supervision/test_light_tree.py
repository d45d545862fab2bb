"""Supervisors that are processes: trees, calls by message, and what the links between them do."""

from functools import partial

import pytest

from supervision.light import (
    CountChildren,
    DeleteChild,
    GetChildspec,
    LightStart,
    LightSupervisor,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from supervision.process import Behaviour, Context, Pid
from supervision.reason import KILL, NORMAL, SHUTDOWN, ExitKind, error_reason
from supervision.report import ChildCounts, Done, RefusalCode, Refused, SupervisorReport
from supervision.scheduler import Scheduler
from supervision.spec import ChildKind, ChildSpec, Restart, Strategy, SupervisorSpec
from tests.unit.supervision.processes import NS_PER_MS, Clock, Probe, make_scheduler


class Tree:
    """root (one_for_one) -> left, right (rest_for_one) -> two named leaves each."""

    def __init__(
        self, scheduler: Scheduler, *, leaf: type[Behaviour] = Probe, root_restarts_max: int = 1
    ) -> None:
        self.scheduler = scheduler
        self.reports: list[SupervisorReport] = []
        self.leaf = leaf
        self.root = self.supervisor(
            "root",
            *(self.branch(name) for name in ("left", "right")),
            restarts_max=root_restarts_max,
        )

    def branch(self, name: str) -> ChildSpec:
        def start() -> LightStart:
            leaves = [self.leaf_spec(f"{name}-{number}") for number in (1, 2)]
            supervisor = self.supervisor(
                name, *leaves, strategy=Strategy.REST_FOR_ONE, restarts_max=1
            )
            return LightStart(supervisor, name=name)

        return ChildSpec(name, start, kind=ChildKind.SUPERVISOR)

    def leaf_spec(self, name: str) -> ChildSpec:
        return ChildSpec(name, lambda: LightStart(self.leaf(), name=name))

    def supervisor(self, name: str, *children: ChildSpec, **options: object) -> LightSupervisor:
        spec = SupervisorSpec(name, children=children, **options)  # type: ignore[arg-type]
        return LightSupervisor(spec, self.reports.append)

    def pids(self, *names: str) -> list[Pid | None]:
        return [self.scheduler.whereis(name) for name in names]

    def crash(self, name: str) -> None:
        self.scheduler.send(name, ValueError("crash"))
        self.scheduler.run(messages_max=10_000)


NAMES = ("left", "left-1", "left-2", "right", "right-1", "right-2")


def test_tree_starts_depth_first_and_ends_without_a_trace() -> None:
    scheduler = make_scheduler()
    tree = Tree(scheduler)
    pid = scheduler.spawn(tree.root)
    scheduler.run()
    pids = tree.pids(*NAMES)
    assert pids == sorted(pid for pid in pids if pid is not None)
    ended: list[bool] = []
    tree.root.supervisor.shutdown(lambda: ended.append(True))
    scheduler.run()
    assert ended == [True]
    scheduler.send_exit(pid, KILL, sender=pid)
    assert scheduler.process_count() == 0


def test_crash_stays_within_its_branch_until_that_gives_up() -> None:
    scheduler = make_scheduler()
    tree = Tree(scheduler)
    scheduler.spawn(tree.root)
    before = dict(zip(NAMES, tree.pids(*NAMES), strict=True))
    tree.crash("left-2")
    after = dict(zip(NAMES, tree.pids(*NAMES), strict=True))
    assert [name for name in NAMES if before[name] != after[name]] == ["left-2"]
    tree.crash("left-1")  # the second within the period: left gives up, root starts it anew
    again = dict(zip(NAMES, tree.pids(*NAMES), strict=True))
    assert [name for name in NAMES if after[name] != again[name]] == ["left", "left-1", "left-2"]
    assert None not in again.values()


def test_supervisor_that_gives_up_takes_the_whole_tree_when_the_root_does() -> None:
    scheduler = make_scheduler()
    tree = Tree(scheduler)
    watcher = Probe()
    scheduler.spawn(tree.root, monitor_by=scheduler.spawn(watcher))
    for _ in range(4):
        tree.crash("right-1")
    assert scheduler.process_count() == 1
    assert [down.reason for down in watcher.seen] == [SHUTDOWN]  # type: ignore[attr-defined]


def test_killed_supervisor_takes_its_children_along_and_is_restarted() -> None:
    scheduler = make_scheduler()
    # As in Erlang the first restart meets the old names: who traps exits ends a turn later.
    tree = Tree(scheduler, leaf=TrapsExits, root_restarts_max=2)
    root_pid = scheduler.spawn(tree.root)
    (left,) = tree.pids("left")
    assert left is not None
    scheduler.send_exit(left, KILL, sender=root_pid)
    scheduler.run()
    assert None not in tree.pids(*NAMES)
    assert scheduler.process_count() == 7


class TrapsExits(Probe):
    def started(self, ctx: Context) -> None:
        ctx.trap_exit()


class Stubborn(Probe):
    def started(self, ctx: Context) -> None:
        ctx.trap_exit()

    def parent_exited(self, signal: object) -> None:
        self.seen.append(signal)


def test_parent_exit_stops_the_tree_in_order_each_with_its_time() -> None:
    clock = Clock()
    scheduler = make_scheduler(clock)
    tree = Tree(scheduler, leaf=Stubborn)
    parent = scheduler.spawn(Probe())
    scheduler.spawn(tree.root, link_to=parent)
    scheduler.send(parent, lambda ctx: ctx.exit(SHUTDOWN))
    scheduler.run()
    for ended in (["right-2"], ["right-1", "right"], ["left-2"], ["left-1", "left"]):
        assert None not in tree.pids(*ended)
        clock.now_ns += 5_000 * NS_PER_MS
        scheduler.run_timers()
        scheduler.run()
        assert set(tree.pids(*ended)) == {None}
    assert scheduler.process_count() == 0


def test_branch_that_fails_to_start_fails_the_tree() -> None:
    class Failing(Probe):
        def started(self, ctx: Context) -> None:
            if ctx.whereis("right-2") == ctx.pid:
                raise ValueError("no start")
            ctx.trap_exit()

    scheduler = make_scheduler()
    tree = Tree(scheduler, leaf=Failing)
    watcher = Probe()
    scheduler.spawn(tree.root, monitor_by=scheduler.spawn(watcher))
    scheduler.run()
    assert scheduler.process_count() == 1
    (down,) = watcher.seen
    reason = down.reason  # type: ignore[attr-defined]
    assert reason.kind is ExitKind.SHUTDOWN
    assert reason.detail[:2] == ("failed_to_start_child", "right")
    assert reason.detail[2].detail[:2] == ("failed_to_start_child", "right-2")


def test_start_that_raises_or_takes_a_used_name_is_a_failed_start() -> None:
    scheduler = make_scheduler()
    reports: list[SupervisorReport] = []
    root = LightSupervisor(SupervisorSpec("root"), reports.append)
    scheduler.spawn(root)
    scheduler.spawn(Probe(), name="taken")
    answers: list[object] = []
    for start in (lambda: 1 // 0, lambda: LightStart(Probe(), name="taken")):
        root.supervisor.start_child(ChildSpec("a", start), answers.append)
    details = [answer.detail.detail for answer in answers]  # type: ignore[attr-defined]
    assert [detail.partition(":")[0] for detail in details] == [
        "ZeroDivisionError",
        "NameTakenError",
    ]


def test_calls_by_message_are_answered() -> None:
    scheduler = make_scheduler()
    root = LightSupervisor(SupervisorSpec("root"), lambda _: None)
    root_pid = scheduler.spawn(root, name="root")
    client = Probe()
    client_pid = scheduler.spawn(client)

    def ask(request: object) -> object:
        question = partial(
            Context.call, target="root", request=request, on_reply=client.seen.append
        )
        scheduler.send(client_pid, question)
        scheduler.run()
        return client.seen.pop()

    child = ChildSpec("a", Probe)
    done = ask(StartChild(child))
    assert isinstance(done, Done)
    assert scheduler.is_alive(done.handle)  # type: ignore[arg-type]
    assert ask(CountChildren()) == ChildCounts(1, 1, 0, 1)
    assert ask(GetChildspec("a")) == child
    assert ask(WhichChildren()) == scheduler.get_state(root_pid)
    assert ask(DeleteChild("a")) == Refused(RefusalCode.RUNNING)
    assert ask(TerminateChild("a")) == Done()
    assert isinstance(ask(RestartChild("a")), Done)
    assert ask("nonsense") == Refused(RefusalCode.UNKNOWN_CALL, "nonsense")
    scheduler.send("root", "ignored")
    scheduler.run()
    assert scheduler.is_alive("root")


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TEMPORARY])
def test_many_dynamic_children_are_cheap_to_count_and_all_stop(restart: Restart) -> None:
    scheduler = make_scheduler()
    template = ChildSpec("t", lambda *_: Probe(), restart=restart)
    spec = SupervisorSpec("s", Strategy.SIMPLE_ONE_FOR_ONE, children=(template,))
    root = LightSupervisor(spec, lambda _: None)
    scheduler.spawn(root)
    answers: list[Done] = []
    for number in range(5_000):
        root.supervisor.start_child((number,), answers.append)  # type: ignore[arg-type]
    assert root.supervisor.count_children() == ChildCounts(1, 5_000, 0, 5_000)
    for answer in answers[:1_000]:
        root.supervisor.terminate_child(answer.handle, lambda _: None)
    scheduler.run()
    assert scheduler.process_count() == 4_001
    root.supervisor.shutdown(lambda: None)
    scheduler.run()
    assert scheduler.process_count() == 1


def test_child_that_unlinked_itself_is_stopped_all_the_same() -> None:
    scheduler = make_scheduler()
    root = LightSupervisor(
        SupervisorSpec("s", children=(ChildSpec("a", lambda: LightStart(Probe(), name="a")),)),
        lambda _: None,
    )
    root_pid = scheduler.spawn(root)
    scheduler.send("a", lambda ctx: ctx.unlink(root_pid))
    scheduler.send("a", lambda ctx: ctx.exit(error_reason("unseen")))
    scheduler.run()
    answers: list[object] = []
    root.supervisor.terminate_child("a", answers.append)
    scheduler.run()
    assert answers == [Done()]
    assert NORMAL not in [report.reason for report in scheduler.crashes]
