"""Light processes: messages, ends, links, monitors and names; as in Erlang."""

import pytest

from supervision.process import Context, Down, ExitSignal, Pid
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
from supervision.table import NameTakenError
from tests.unit.supervision.processes import Probe, make_scheduler

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
