"""Light processes: calls, timers, suspending and rebuilding."""

import pytest

from supervision.process import Behaviour, ExitSignal, Pid, Target
from supervision.reason import (
    KILL,
    NOPROC,
    NORMAL,
    ExitKind,
    ExitReason,
    error_reason,
)
from supervision.table import OVERLOADED, NoProcessError
from tests.unit.supervision.processes import NS_PER_MS, Clock, Probe, make_scheduler

BROKEN = error_reason("broken")
NOBODY = Pid(999_999)


# ------------------------------------------------------------------ calls


class Asker(Probe):
    """Asks when sent (target, request)."""

    def __init__(self, target: Target, *, minds: bool = True) -> None:
        super().__init__()
        self.target = target
        self.minds = minds

    def handle(self, message: object) -> None:
        note = self.seen.append
        if self.minds:
            self.ctx.call(self.target, message, note)
        else:
            self.ctx.call(
                self.target, message, note, on_timeout=lambda: note("timeout"), on_down=note
            )


def test_call_is_answered_once() -> None:
    scheduler = make_scheduler()
    server = Probe()
    asker = Asker(scheduler.spawn(server))
    scheduler.send(scheduler.spawn(asker), "echo")
    scheduler.run()
    assert asker.seen == ["echo"]
    assert scheduler.next_timer_at() is None
    assert not asker.ctx.reply(server.seen[0][1], "again")  # type: ignore[index]
    assert scheduler.late_replies == 1


@pytest.mark.parametrize("minds", [True, False])
def test_late_answer_is_dropped(minds: bool) -> None:
    clock = Clock()
    scheduler = make_scheduler(clock)
    server = Probe()
    server_pid = scheduler.spawn(server)
    asker = Asker(server_pid, minds=minds)
    asker_pid = scheduler.spawn(asker)
    scheduler.send(asker_pid, "silence")
    scheduler.run()
    clock.now_ns = 5_000 * NS_PER_MS - 1
    assert scheduler.run_timers() == 0
    clock.now_ns += 1
    assert scheduler.run_timers() == 1
    scheduler.run()
    scheduler.send(server_pid, lambda ctx: ctx.reply(server.seen[0][1], "late"))  # type: ignore[index]
    scheduler.run()
    assert asker.seen == ([] if minds else ["timeout"])
    assert scheduler.is_alive(asker_pid) is not minds
    assert [reason.kind for reason in asker.ended] == ([ExitKind.TIMEOUT] if minds else [])
    assert scheduler.late_replies == 1


@pytest.mark.parametrize("minds", [True, False])
@pytest.mark.parametrize("reason", [NORMAL, BROKEN, NOPROC])
def test_call_to_one_that_ends_fails(reason: ExitReason, minds: bool) -> None:
    scheduler = make_scheduler()
    server = Probe()
    server_pid = scheduler.spawn(server) if reason is not NOPROC else NOBODY
    asker = Asker(server_pid, minds=minds)
    asker_pid = scheduler.spawn(asker)
    scheduler.send(asker_pid, "silence")
    scheduler.run()
    scheduler.send(server_pid, lambda ctx: ctx.exit(reason))
    scheduler.run()
    assert asker.seen == ([] if minds else [reason])
    assert scheduler.is_alive(asker_pid) is not minds
    assert not any(its_reason.is_normal for its_reason in asker.ended)
    assert scheduler.next_timer_at() is None


def test_call_to_a_full_mailbox_fails_at_once() -> None:
    scheduler = make_scheduler()
    server_pid = scheduler.spawn(Probe(), mailbox_max=1)
    scheduler.suspend(server_pid)
    scheduler.send(server_pid, 1)
    asker = Asker(server_pid, minds=False)
    scheduler.send(scheduler.spawn(asker), "echo")
    scheduler.run()
    assert asker.seen == [OVERLOADED]
    assert scheduler.statistics(server_pid).messages_refused == 1


# ------------------------------------------------------------------ timers


def test_timers_fire_in_order_and_not_before_their_time() -> None:
    clock = Clock()
    scheduler = make_scheduler(clock)
    probe = Probe()
    pid = scheduler.spawn(probe)
    timers = [probe.ctx.send_after(delay_ms, pid, delay_ms) for delay_ms in (30, 10, 20, 10)]
    assert probe.ctx.cancel_timer(timers[2])
    assert not probe.ctx.cancel_timer(timers[2])
    assert scheduler.next_timer_at() == 10 * NS_PER_MS
    for now_ms in (9, 10, 29, 30):
        clock.now_ns = now_ms * NS_PER_MS
        scheduler.run_timers()
        scheduler.run()
        probe.seen.append(f"at {now_ms}")
    assert probe.seen == ["at 9", 10, 10, "at 10", "at 29", 30, "at 30"]
    assert not probe.ctx.cancel_timer(timers[0])
    assert scheduler.next_timer_at() is None


def test_timer_can_cancel_another_that_is_due_too() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe)
    scheduler.add_timer(pid, 0, lambda: probe.ctx.cancel_timer(second))
    second = probe.ctx.send_after(0, pid, "cancelled")
    assert scheduler.run_timers() == 1
    assert scheduler.run() == 0


def test_timers_and_calls_end_with_their_process() -> None:
    scheduler = make_scheduler()
    server_pid = scheduler.spawn(Probe())
    asker = Asker(server_pid)
    pid = scheduler.spawn(asker)
    asker.ctx.send_after(60_000, server_pid, "never")
    scheduler.send(pid, "silence")
    scheduler.run()
    assert scheduler.next_timer_at() is not None
    scheduler.send_exit(pid, KILL, sender=pid)
    assert scheduler.next_timer_at() is None


# ------------------------------------------------------------------ suspend, resume, replace


def test_suspended_process_keeps_its_messages_until_it_is_resumed() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe)
    scheduler.send(pid, 1)
    scheduler.suspend(pid)
    scheduler.send(pid, 2)
    assert scheduler.run() == 0
    assert scheduler.statistics(pid).is_suspended
    scheduler.send(pid, 3)
    scheduler.resume(pid)
    scheduler.resume(pid)
    assert scheduler.run() == 3
    assert probe.seen == [1, 2, 3]
    assert scheduler.run_queue_len() == 0


def test_process_that_suspends_itself_stops_after_the_message_at_hand() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe)
    scheduler.send(pid, lambda ctx: ctx.scheduler.suspend(ctx.pid))
    scheduler.send(pid, 1)
    scheduler.run()
    assert probe.seen == []
    scheduler.resume(pid)
    scheduler.run()
    assert probe.seen == [1]


def test_crashed_process_that_suspends_is_rebuilt_with_all_it_had() -> None:
    scheduler = make_scheduler()
    watcher = Probe(traps=True)
    watcher_pid = scheduler.spawn(watcher)
    old = Probe()
    pid = scheduler.spawn(old, name="entity", link_to=watcher_pid, on_crash="suspend")
    error = ValueError("poison")
    for message in (1, error, 2):
        scheduler.send(pid, message)
    scheduler.run()
    (report,) = scheduler.crashes
    assert report.is_suspended
    assert scheduler.mailbox_head(pid, 5) == [error, 2]
    assert (old.seen, old.ended, watcher.seen) == ([1], [], [])
    new = Probe()
    scheduler.replace(pid, new)
    assert scheduler.discard_head(pid) is error
    scheduler.send("entity", 3)
    scheduler.resume(pid)
    scheduler.run()
    assert new.seen == [2, 3]
    assert scheduler.get_state(pid) is new
    scheduler.send(pid, lambda ctx: ctx.exit(NORMAL))
    scheduler.run()
    assert watcher.seen == [ExitSignal(pid, NORMAL)]


def test_crash_hook_may_rebuild_and_resume_at_once() -> None:
    rebuilt: list[Probe] = []

    def rebuild(report: object) -> None:
        rebuilt.append(Probe())
        scheduler.replace(pid, rebuilt[-1])
        if len(rebuilt) == 3:  # on the third time it is not run
            scheduler.discard_head(pid)
        scheduler.resume(pid)

    scheduler = make_scheduler(on_report=rebuild)
    pid = scheduler.spawn(Probe(), on_crash="suspend")
    scheduler.send(pid, ValueError("poison"))
    scheduler.send(pid, "after")
    scheduler.run()
    assert len(rebuilt) == 3
    assert rebuilt[2].seen == ["after"]


def test_replaced_behaviour_gets_no_answers_to_old_questions() -> None:
    scheduler = make_scheduler()
    server = Probe()
    asker = Asker(scheduler.spawn(server))
    pid = scheduler.spawn(asker)
    scheduler.send(pid, "silence")
    scheduler.run()
    new = Probe()
    scheduler.replace(pid, new)
    assert not server.ctx.reply(server.seen[0][1], "old")  # type: ignore[index]
    scheduler.run()
    assert (asker.seen, new.seen) == ([], [])
    assert scheduler.next_timer_at() is None


def test_replaced_behaviour_does_not_run_callbacks_of_the_old_one() -> None:
    scheduler = make_scheduler()
    old, new = Probe(), Probe()
    pid = scheduler.spawn(old, on_crash="suspend")

    def crash() -> None:
        old.seen.append("called")
        raise ValueError("poison")

    for _ in range(2):
        old.ctx.after(0, crash)
    scheduler.run_timers()
    scheduler.run()
    scheduler.send(pid, "kept")
    scheduler.replace(pid, new)
    scheduler.resume(pid)
    scheduler.run()
    assert (old.seen, new.seen) == (["called"], ["kept"])
    assert len(scheduler.crashes) == 1


def test_suspended_process_can_be_killed() -> None:
    scheduler = make_scheduler()
    pid = scheduler.spawn(Probe(traps=True), on_crash="suspend")
    scheduler.send(pid, ValueError("poison"))
    scheduler.run()
    scheduler.send_exit(pid, KILL, sender=pid)
    assert not scheduler.is_alive(pid)
    for verb in (scheduler.resume, scheduler.statistics, scheduler.get_state):
        with pytest.raises(NoProcessError):
            verb(pid)
    assert scheduler.run() == 0


def test_process_killed_within_its_own_turn_handles_nothing_more() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe, on_crash="suspend")
    scheduler.send(pid, lambda ctx: ctx.send_exit(ctx.pid, KILL))
    scheduler.send(pid, 1)
    scheduler.run()
    assert probe.seen == []
    assert scheduler.process_count() == 0


def test_behaviour_that_takes_no_messages_crashes_on_one() -> None:
    scheduler = make_scheduler()
    pid = scheduler.spawn(Behaviour())
    scheduler.send(pid, "?")
    scheduler.run()
    assert "takes no messages" in str(scheduler.crashes[0].reason)
