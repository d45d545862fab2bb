"""Laws of supervision that hold for every history, not only for those we thought of."""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from supervision.reason import KILLED, NORMAL, SHUTDOWN, error_reason
from supervision.report import ChildState
from supervision.restart import RestartWindow
from supervision.spec import Restart, Shutdown, Strategy, SupervisorSpec
from supervision.timers import Timer, TimerHeap
from tests.unit.supervision.worlds import LightWorld, SlowWorld, World, running

NS_PER_SECOND = 1_000_000_000
FIXED_STRATEGIES = [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE]

# ------------------------------------------------------------------ restart windows

restart_times = st.lists(st.integers(0, 3 * NS_PER_SECOND), max_size=60)


@given(st.integers(0, 6), st.integers(1, 5), restart_times)
def test_restart_window_counts_as_the_list_of_otp(
    restarts_max: int, period_s: int, pauses_ns: list[int]
) -> None:
    spec = SupervisorSpec("s", restarts_max=restarts_max, restarts_period_ms=period_s * 1_000)
    window = RestartWindow(spec)
    now_ns = 0
    times_s: list[int] = []  # supervisor.erl, add_restart/3
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        now_s = now_ns // NS_PER_SECOND
        times_s = [now_s] + [time_s for time_s in times_s if time_s >= now_s - period_s]
        assert window.add(now_ns) is (len(times_s) <= restarts_max)
        assert window.count(now_ns) == min(len(times_s), restarts_max + 1)
        if len(times_s) > restarts_max:
            return  # the supervisor has ended


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**12))
def test_restarts_further_apart_than_the_period_go_on_for_ever(
    restarts_max: int, period_s: int, start_ns: int
) -> None:
    spec = SupervisorSpec("s", restarts_max=restarts_max, restarts_period_ms=period_s * 1_000)
    window = RestartWindow(spec)
    pause_ns = (period_s + 1) * NS_PER_SECOND
    assert all(window.add(start_ns + number * pause_ns) for number in range(50))


# ------------------------------------------------------------------ histories

REASONS = [NORMAL, SHUTDOWN, KILLED, error_reason("crash")]
CHILD_IDS = "abcd"

actions = st.one_of(
    st.tuples(st.just("exit"), st.sampled_from(CHILD_IDS), st.sampled_from(REASONS)),
    st.tuples(
        st.sampled_from(["terminate_child", "restart_child", "delete_child", "start_child"]),
        st.sampled_from(CHILD_IDS),
        st.none(),
    ),
    st.tuples(
        st.just("script"),
        st.sampled_from(CHILD_IDS),
        st.lists(st.sampled_from(["fail", "ignore", "ok"]), max_size=3).map(tuple),
    ),
    st.tuples(st.just("wait"), st.sampled_from(CHILD_IDS), st.none()),
)

histories = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(FIXED_STRATEGIES),
        "restarts": st.lists(st.sampled_from(list(Restart)), min_size=4, max_size=4),
        "kills": st.lists(st.booleans(), min_size=4, max_size=4),
        "actions": st.lists(actions, max_size=25),
    }
)


def play(world: World, history: dict[str, object], settle: Callable[[], None]) -> list[object]:
    """Run a history and return the answers to its calls."""
    restarts = dict(zip(CHILD_IDS, history["restarts"], strict=True))  # type: ignore[call-overload]
    kills = dict(zip(CHILD_IDS, history["kills"], strict=True))  # type: ignore[call-overload]

    def child(child_id: str) -> object:
        shutdown = Shutdown.BRUTAL_KILL if kills[child_id] else None
        return world.child(child_id, restart=restarts[child_id], shutdown=shutdown)

    strategy = history["strategy"]
    children = tuple(child(child_id) for child_id in CHILD_IDS)
    world.start(SupervisorSpec("s", strategy, 3, 5_000, children=children))  # type: ignore[arg-type]
    answers: list[object] = []
    for verb, child_id, argument in history["actions"]:  # type: ignore[attr-defined]
        if verb == "exit":
            if child_id in running(world):
                world.exit_child(child_id, argument)
        elif verb == "script":
            world.script.starts[child_id] = list(argument)
        elif verb == "wait":
            world.advance(2_000)
        else:
            target = child(child_id) if verb == "start_child" else child_id
            getattr(world.supervisor, verb)(target, lambda answer: answers.append(type(answer)))
        settle()
    world.settle()
    return answers


@settings(max_examples=150, deadline=None)
@given(histories)
def test_light_and_slow_children_live_the_same_history(history: dict[str, object]) -> None:
    light, slow = LightWorld(), SlowWorld()
    assert play(light, history, light.settle) == play(slow, history, slow.settle)
    assert light.log == slow.log
    assert running(light) == running(slow)
    assert light.ended == slow.ended
    light_reports = [(report.kind, report.spec.child_id) for report in light.reports]
    assert light_reports == [(report.kind, report.spec.child_id) for report in slow.reports]


@settings(max_examples=150, deadline=None)
@given(histories, st.integers(0, 2**32), st.sampled_from([LightWorld, SlowWorld]))
def test_what_runs_and_what_the_supervisor_knows_agree(
    history: dict[str, object], seed: int, make_world: type[LightWorld] | type[SlowWorld]
) -> None:
    """Also when things happen while others are still under way."""
    world = make_world()
    draw = random.Random(seed)
    play(world, history, lambda: world.settle() if draw.random() < 0.5 else None)
    alive = Counter(world.alive())
    assert alive == Counter(running(world))
    states = [info.state for info in world.supervisor.which_children()]
    assert set(states) <= {ChildState.RUNNING, ChildState.STOPPED}
    if world.supervisor.is_over:
        assert world.ended == [SHUTDOWN]
        assert not alive
    world.shut_down()
    assert world.alive() == []
    assert world.ended[-1:] == [SHUTDOWN]


# ------------------------------------------------------------------ timers


@given(st.lists(st.tuples(st.sampled_from(["add", "cancel", "fire"]), st.integers(0, 40))))
def test_timers_fire_as_a_sorted_list_would(steps: list[tuple[str, int]]) -> None:
    heap = TimerHeap()
    naive: list[tuple[int, int]] = []
    timers: list[Timer] = []
    fired: list[int] = []
    now_ns = 0
    for verb, value in steps:
        if verb == "add":
            number = len(timers)
            timers.append(heap.add(now_ns + value, partial(fired.append, number)))
            naive.append((now_ns + value, number))
        elif verb == "cancel" and timers:
            number = value % len(timers)
            expected = any(entry[1] == number for entry in naive)
            assert heap.cancel(timers[number]) is expected
            naive = [entry for entry in naive if entry[1] != number]
        elif verb == "fire":
            now_ns += value
            due = sorted(entry for entry in naive if entry[0] <= now_ns)
            naive = [entry for entry in naive if entry[0] > now_ns]
            fired.clear()
            assert heap.fire_due(now_ns) == len(due)
            assert fired == [number for _, number in due]
        assert len(heap) == len(naive)
        assert heap.next_at_ns() == min((entry[0] for entry in naive), default=None)


def test_cancelled_timers_do_not_pile_up() -> None:
    heap = TimerHeap()
    keep = [heap.add(at_ns, lambda: None) for at_ns in range(10)]
    for at_ns in range(10_000):
        heap.cancel(heap.add(at_ns, lambda: None))
    assert heap.entry_count() <= 2 * len(keep) + 65
