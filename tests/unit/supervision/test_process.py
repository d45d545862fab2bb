"""Light processes: messages, links, monitors, calls, timers, names; as in Erlang."""

import pytest

from supervision.process import Behaviour, Context, Down, ExitSignal, Pid, Target
from supervision.reason import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    ExitKind,
    ExitReason,
    error_reason,
)
from supervision.scheduler import Scheduler, SystemLimitError
from supervision.table import OVERLOADED, NameTakenError, NoProcessError
from tests.unit.supervision.processes import NS_PER_MS, Clock, Probe, make_scheduler

BROKEN = error_reason("broken")
NOBODY = Pid(999_999)


def spawn_linked(scheduler: Scheduler, *, traps: bool) -> tuple[Pid, Probe, Pid, Probe]:
    """Return two linked processes, the first of which may trap exits."""
    first, second = Probe(traps=traps), Probe()
    first_pid = scheduler.spawn(first)
    return first_pid, first, scheduler.spawn(second, link_to=first_pid), second


# ------------------------------------------------------------------ messages


def test_messages_are_handled_in_the_order_they_were_sent() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe)
    assert all(scheduler.send(pid, number) for number in range(200))
    assert scheduler.run() == 200
    assert probe.seen == list(range(200))


def test_message_to_nobody_is_counted_and_dropped() -> None:
    scheduler = make_scheduler()
    assert not scheduler.send(NOBODY, 1)
    assert not scheduler.send("no such name", 1)
    assert scheduler.dead_letters == 2


def test_full_mailbox_refuses_and_counts() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe, mailbox_max=2)
    assert [scheduler.send(pid, number) for number in range(4)] == [True, True, False, False]
    scheduler.run()
    assert probe.seen == [0, 1]
    assert scheduler.statistics(pid).messages_refused == 2
    assert scheduler.send(pid, 4)


def test_no_process_keeps_the_others_waiting_longer_than_a_turn() -> None:
    scheduler = make_scheduler(turn_messages_max=3)
    order: list[str] = []
    busy, other = scheduler.spawn(Probe()), scheduler.spawn(Probe())
    for _ in range(7):
        scheduler.send(busy, lambda _: order.append("busy"))
    scheduler.send(other, lambda _: order.append("other"))
    scheduler.run()
    assert order == ["busy"] * 3 + ["other"] + ["busy"] * 4


def test_run_stops_after_as_many_messages_as_it_was_given() -> None:
    scheduler = make_scheduler()

    def again(ctx: Context) -> None:
        ctx.send(ctx.pid, again)

    scheduler.send(scheduler.spawn(Probe()), again)
    assert scheduler.run(messages_max=1_000) == 1_000
    assert scheduler.run_queue_len() == 1


def test_shuffled_scheduler_keeps_the_order_between_two_processes() -> None:
    scheduler = make_scheduler(is_shuffled=True, turn_messages_max=1)
    order: list[tuple[int, int]] = []
    for sender in range(5):
        pid = scheduler.spawn(Probe())
        for number in range(5):
            scheduler.send(pid, lambda _, pair=(sender, number): order.append(pair))
    assert scheduler.run() == 25
    assert order != sorted(order)
    for sender in range(5):
        assert [pair for pair in order if pair[0] == sender] == [(sender, n) for n in range(5)]


def test_processes_beyond_the_limit_are_not_started() -> None:
    scheduler = make_scheduler(processes_max=2)
    pids = [scheduler.spawn(Probe()) for _ in range(2)]
    with pytest.raises(SystemLimitError):
        scheduler.spawn(Probe())
    scheduler.send_exit(pids[0], KILL, sender=NOBODY)
    assert scheduler.is_alive(scheduler.spawn(Probe()))


# ------------------------------------------------------------------ ends


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, BROKEN])
def test_process_that_exits_terminates_and_handles_nothing_more(reason: ExitReason) -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe)
    scheduler.send(pid, lambda ctx: ctx.exit(reason))
    scheduler.send(pid, "later")
    scheduler.run()
    assert (probe.seen, probe.ended) == ([], [reason])
    assert not scheduler.is_alive(pid)
    assert len(scheduler.crashes) == (reason is BROKEN)


def test_crash_ends_one_process_and_is_reported_with_what_was_at_hand() -> None:
    scheduler = make_scheduler()
    bystander = Probe()
    pid, other = scheduler.spawn(Probe(), name="poisoned"), scheduler.spawn(bystander)
    error = ValueError("poison")
    for message in (error, "next", "x" * 1_000):
        scheduler.send(pid, message)
    scheduler.send(other, "hello")
    scheduler.run()
    assert bystander.seen == ["hello"]
    (report,) = scheduler.crashes
    assert (report.pid, report.name, report.behaviour) == (pid, "poisoned", "Probe")
    assert (report.error, report.message, report.mailbox_len) == (error, error, 2)
    assert report.mailbox_head[0] == "'next'"
    assert len(report.mailbox_head[1]) < 300
    assert "poison" in report.traceback
    assert not report.is_suspended


def test_crash_in_terminate_is_the_reason_others_see() -> None:
    class BadEnd(Probe):
        def terminate(self, reason: ExitReason) -> None:
            raise ValueError("bad end")

    scheduler = make_scheduler()
    watcher = Probe()
    pid = scheduler.spawn(BadEnd(), monitor_by=scheduler.spawn(watcher))
    scheduler.send(pid, lambda ctx: ctx.exit(NORMAL))
    scheduler.run()
    (down,) = watcher.seen
    assert isinstance(down, Down)
    assert "bad end" in str(down.reason)


def test_failed_start_is_told_and_does_not_terminate() -> None:
    scheduler = make_scheduler()
    watcher = Probe(traps=True)
    watcher_pid = scheduler.spawn(watcher)
    probe = Probe(fails=True)
    pid, reason = scheduler.start(probe, link_to=watcher_pid)
    assert reason is not None
    assert reason.kind is ExitKind.ERROR
    assert probe.ended == []
    scheduler.run()
    assert watcher.seen == [ExitSignal(pid, reason)]


def test_long_chain_of_links_ends_without_recursion() -> None:
    scheduler = make_scheduler()
    pids = [scheduler.spawn(Probe())]
    for _ in range(5_000):
        pids.append(scheduler.spawn(Probe(), link_to=pids[-1]))
    scheduler.send_exit(pids[0], KILL, sender=NOBODY)
    assert scheduler.process_count() == 0


# ------------------------------------------------------------------ links


@pytest.mark.parametrize(
    ("traps", "reason", "is_alive", "has_signal"),
    [
        (False, NORMAL, True, False),
        (False, SHUTDOWN, False, False),
        (False, BROKEN, False, False),
        (True, NORMAL, True, True),
        (True, SHUTDOWN, True, True),
        (True, BROKEN, True, True),
    ],
)
def test_exit_goes_over_links(
    traps: bool, reason: ExitReason, is_alive: bool, has_signal: bool
) -> None:
    scheduler = make_scheduler()
    first_pid, first, second_pid, _ = spawn_linked(scheduler, traps=traps)
    scheduler.send(second_pid, lambda ctx: ctx.exit(reason))
    scheduler.run()
    assert scheduler.is_alive(first_pid) is is_alive
    assert first.seen == ([ExitSignal(second_pid, reason)] if has_signal else [])


def test_link_is_gone_with_one_of_its_ends() -> None:
    scheduler = make_scheduler()
    first_pid, _, second_pid, _ = spawn_linked(scheduler, traps=True)
    assert scheduler.statistics(first_pid).links == 1
    scheduler.send_exit(second_pid, KILL, sender=first_pid)
    assert scheduler.statistics(first_pid).links == 0


def test_normal_exit_signal_ends_only_who_sends_it_to_itself() -> None:
    scheduler = make_scheduler()
    first, second = scheduler.spawn(Probe()), scheduler.spawn(Probe())
    scheduler.send(first, lambda ctx: ctx.send_exit(second, NORMAL))
    scheduler.send(first, lambda ctx: ctx.send_exit(first, NORMAL))
    scheduler.run()
    assert (scheduler.is_alive(first), scheduler.is_alive(second)) == (False, True)


def test_kill_cannot_be_trapped_and_is_seen_as_killed() -> None:
    scheduler = make_scheduler()
    watcher = Probe(traps=True)
    watcher_pid = scheduler.spawn(watcher)
    victim = Probe(traps=True)
    pid = scheduler.spawn(victim, link_to=watcher_pid)
    scheduler.send_exit(pid, KILL, sender=watcher_pid)
    scheduler.run()
    assert victim.ended == []
    assert watcher.seen == [ExitSignal(pid, KILLED)]


def test_parent_exit_ends_a_trapping_process_after_it_has_cleaned_up() -> None:
    scheduler = make_scheduler()
    parent_pid = scheduler.spawn(Probe())
    child = Probe(traps=True)
    child_pid = scheduler.spawn(child, link_to=parent_pid)
    scheduler.send(parent_pid, lambda ctx: ctx.exit(SHUTDOWN))
    scheduler.run()
    assert not scheduler.is_alive(child_pid)
    assert child.ended == [SHUTDOWN]


def test_unlink_takes_a_waiting_signal_back() -> None:
    scheduler = make_scheduler()
    first_pid, first, second_pid, _ = spawn_linked(scheduler, traps=True)
    scheduler.send(first_pid, lambda ctx: ctx.unlink(second_pid))
    scheduler.send_exit(second_pid, KILL, sender=first_pid)
    scheduler.run()
    assert first.seen == []


def test_link_to_nobody_is_an_exit_signal() -> None:
    scheduler = make_scheduler()
    trapping, other = Probe(traps=True), Probe()
    trapping_pid, other_pid = scheduler.spawn(trapping), scheduler.spawn(other)
    for pid in (trapping_pid, other_pid):
        scheduler.send(pid, lambda ctx: ctx.link(NOBODY))
    scheduler.run()
    assert trapping.seen == [ExitSignal(NOBODY, NOPROC)]
    assert not scheduler.is_alive(other_pid)
    assert scheduler.start(Probe(), link_to=NOBODY)[1] == NOPROC


# ------------------------------------------------------------------ monitors and names


def test_monitor_tells_once_and_noproc_if_there_is_nobody() -> None:
    scheduler = make_scheduler()
    watcher = Probe()
    watcher_pid, watched = scheduler.spawn(watcher), scheduler.spawn(Probe(), name="watched")
    ref = scheduler.monitor(watcher_pid, "watched")
    scheduler.send_exit(watched, BROKEN, sender=watcher_pid)
    late = scheduler.monitor(watcher_pid, "watched")
    scheduler.run()
    assert watcher.seen == [Down(ref, "watched", BROKEN), Down(late, "watched", NOPROC)]


def test_demonitor_takes_a_waiting_down_back() -> None:
    scheduler = make_scheduler()
    watcher = Probe()
    watcher_pid, watched = scheduler.spawn(watcher), scheduler.spawn(Probe())
    ref = scheduler.monitor(watcher_pid, watched)
    scheduler.send_exit(watched, KILL, sender=watcher_pid)
    scheduler.demonitor(watcher_pid, ref)
    scheduler.run()
    assert watcher.seen == []


def test_name_is_unique_until_its_process_ends() -> None:
    scheduler = make_scheduler()
    probe = Probe()
    pid = scheduler.spawn(probe, name="one")
    with pytest.raises(NameTakenError):
        scheduler.spawn(Probe(), name="one")
    with pytest.raises(NameTakenError):
        scheduler.register("two", pid)
    assert scheduler.send("one", "by name")
    scheduler.run()
    assert probe.seen == ["by name"]
    scheduler.send_exit(pid, KILL, sender=pid)
    assert scheduler.whereis("one") is None
    assert scheduler.process_count() == 0
    assert scheduler.whereis("one") != scheduler.spawn(Probe(), name="one")


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
