"""What a host's program sees of its node, and what its end leaves behind."""

import asyncio
import os
from pathlib import Path

import pytest

from actors.control import (
    REPORTS_WAITING_MAX,
    TRACEBACK_CHARS_MAX,
    HostControl,
    HostSpec,
    Outlet,
    Ready,
    Reply,
    Report,
    Request,
    decode_from_host,
    load_program,
    read_exit_record,
    run_dir,
    write_exit_record,
)


def _spec(data_dir: Path, incarnation: int = 7) -> HostSpec:
    return HostSpec(name="h-1", kind="k", data_dir=str(data_dir), incarnation=incarnation)


def test_outlet_wakes_once_for_many_messages_and_keeps_their_order() -> None:
    outlet = Outlet()
    assert outlet.take() == []
    outlet.put(b"1")
    outlet.put(b"2")
    assert os.eventfd_read(outlet.descriptor) == 1
    os.eventfd_write(outlet.descriptor, 1)
    assert outlet.take() == [b"1", b"2"]
    outlet.put(b"3")
    assert outlet.take() == [b"3"]


def test_reports_beyond_the_bound_are_dropped_and_counted_and_answers_are_not() -> None:
    outlet = Outlet()
    for _ in range(REPORTS_WAITING_MAX + 2):
        outlet.put_report(b"report")
    outlet.put(b"answer")
    assert outlet.reports_dropped == 2
    assert outlet.take()[-2:] == [b"report", b"answer"]


async def test_program_tells_readiness_and_reports(tmp_path: Path) -> None:
    outlet = Outlet()
    control = HostControl(_spec(tmp_path), outlet)
    control.ready()
    control.report({"event": "shard_failed", "shard": "market/X"})
    assert [decode_from_host(message) for message in outlet.take()] == [
        Ready(7),
        Report(7, {"event": "shard_failed", "shard": "market/X"}),
    ]


async def test_requests_are_answered_by_plain_and_asynchronous_handlers(tmp_path: Path) -> None:
    outlet = Outlet()
    control = HostControl(_spec(tmp_path), outlet)

    async def later(body: bytes) -> bytes:
        await asyncio.sleep(0)
        return body[::-1]

    def broken(body: bytes) -> bytes:
        raise ValueError("no such shard")

    control.on("echo", lambda body: body)
    control.on("later", later)
    control.on("broken", broken)
    for number, name in enumerate(("echo", "later", "broken", "unheard")):
        control.handle_request(Request(number, name, b"ab"))
    replies: list[object] = []
    while len(replies) < 4:
        await asyncio.sleep(0)
        replies += [decode_from_host(message) for message in outlet.take()]
    assert sorted(replies, key=lambda reply: reply.request_id) == [  # type: ignore[attr-defined]
        Reply(0, b"ab"),
        Reply(1, b"ba"),
        Reply(2, b"", "ValueError: no such shard"),
        Reply(3, b"", "no request 'unheard' here"),
    ]


def test_exit_record_belongs_to_one_incarnation(tmp_path: Path) -> None:
    run_dir(tmp_path).mkdir()
    assert read_exit_record(tmp_path, "h-1", 7) is None
    write_exit_record(_spec(tmp_path), "error", "ValueError: x", "t" * (TRACEBACK_CHARS_MAX + 9))
    record = read_exit_record(tmp_path, "h-1", 7)
    assert record is not None
    assert (record.reason, record.error, record.pid) == ("error", "ValueError: x", os.getpid())
    assert len(record.traceback) == TRACEBACK_CHARS_MAX
    assert read_exit_record(tmp_path, "h-1", 8) is None


def test_damaged_exit_record_is_no_record(tmp_path: Path) -> None:
    run_dir(tmp_path).mkdir()
    (run_dir(tmp_path) / "exit-h-1.json").write_bytes(b'{"name":')
    assert read_exit_record(tmp_path, "h-1", 7) is None


def test_program_is_found_by_kind_and_unknown_kinds_are_not() -> None:
    programs = {"steady": "tests.integration.host_programs:steady"}
    assert load_program("steady", programs).__name__ == "steady"
    with pytest.raises(KeyError):
        load_program("unheard", programs)
