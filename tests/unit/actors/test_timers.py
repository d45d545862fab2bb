"""Timers of an actor, with the clock passed in."""

from actors.timers import ActorTimers


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000
        self.wakes_ms: list[int] = []

    def __call__(self) -> int:
        return self.now_ms * 1_000_000


def _timers() -> tuple[Clock, ActorTimers, list[str]]:
    clock = Clock()
    return clock, ActorTimers(clock, clock.wakes_ms.append), []


def test_timers_run_in_order_of_time_then_age() -> None:
    clock, timers, ran = _timers()
    timers.after(20, lambda: ran.append("late"))
    timers.after(10, lambda: ran.append("first"))
    timers.after(10, lambda: ran.append("second"))
    clock.now_ms += 9
    timers.run_due(is_wakeup=False)
    assert ran == []
    clock.now_ms += 11
    timers.run_due(is_wakeup=True)
    assert ran == ["first", "second", "late"]


def test_cancelled_timer_does_not_run_and_cancelling_twice_does_no_harm() -> None:
    clock, timers, ran = _timers()
    timer = timers.after(10, lambda: ran.append("no"))
    timers.cancel(timer)
    timers.cancel(timer)
    timers.cancel(None)
    clock.now_ms += 10
    timers.run_due(is_wakeup=True)
    assert ran == []


def test_delay_zero_runs_at_the_next_turn_never_in_this_one() -> None:
    _, timers, ran = _timers()

    def first() -> None:
        timers.after(0, lambda: ran.append("second"))

    timers.after(0, first)
    assert ran == []
    timers.run_due(is_wakeup=False)
    assert ran == []
    timers.run_due(is_wakeup=False)
    assert ran == ["second"]


def test_actor_is_woken_only_when_the_earliest_time_comes_closer() -> None:
    clock, timers, _ = _timers()
    timers.after(50, lambda: None)
    timers.after(80, lambda: None)
    timers.after(20, lambda: None)
    assert clock.wakes_ms == [50, 20]
    clock.now_ms += 20
    timers.run_due(is_wakeup=True)
    assert clock.wakes_ms == [50, 20, 30]
