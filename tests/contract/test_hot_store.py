"""Every promise of HotStore, for every adapter."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.ports import (
    BatchRecord,
    CorruptError,
    FencedError,
    Head,
    HotReader,
    HotStore,
    SequenceConflictError,
    Snapshot,
)
from tests.contract.hot_stores import SUBJECTS, Subject

SHARD = "account/0"


@pytest.fixture(params=sorted(SUBJECTS))
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    return SUBJECTS[request.param](tmp_path)


@pytest.fixture
async def store(subject: Subject) -> AsyncIterator[HotStore]:
    opened = await subject.open()
    yield opened
    await opened.close()


def record(
    first_seq: int, last_seq: int, *, shard: str = SHARD, epoch: int = 1, payload: bytes = b"events"
) -> BatchRecord:
    batch_id = f"{shard}:{first_seq}".encode()
    return BatchRecord(shard, epoch, first_seq, last_seq, batch_id, payload)


async def read_all(store: HotReader, shard: str = SHARD, after_seq: int = 0) -> list[BatchRecord]:
    return [found async for found in store.read(shard, after_seq)]


async def fill(store: HotStore, records: int, shard: str = SHARD) -> list[BatchRecord]:
    """Append `records` records of 10 events each under a new epoch."""
    head = await store.take_epoch(shard, "host")
    made = [
        record(
            head.seq + 10 * index + 1,
            head.seq + 10 * index + 10,
            shard=shard,
            epoch=head.epoch,
            payload=b"payload %d" % index,
        )
        for index in range(records)
    ]
    for one in made:
        assert await store.append([one]) == [None]
    return made


async def test_unknown_shard_has_no_head_no_records_and_no_snapshots(store: HotStore) -> None:
    assert await store.head("market/NONE") == Head(0, 0, b"")
    assert await read_all(store, "market/NONE") == []
    assert await store.snapshots("market/NONE") == []
    assert await store.shards() == []
    await store.trim("market/NONE", 100)


async def test_what_was_appended_is_read_back_in_order(store: HotStore) -> None:
    made = await fill(store, 5)
    assert await read_all(store) == made
    assert await store.head(SHARD) == Head(50, 1, made[-1].batch_id)


async def test_reading_starts_with_the_record_that_ends_after_the_position(store: HotStore) -> None:
    made = await fill(store, 5)
    assert await read_all(store, after_seq=20) == made[2:]
    assert await read_all(store, after_seq=25) == made[2:]
    assert await read_all(store, after_seq=50) == []
    assert await read_all(store, after_seq=99) == []


async def test_streams_that_need_many_pages_are_read_whole(store: HotStore) -> None:
    await store.take_epoch(SHARD, "host")
    payload = bytes(1_000_000)
    for seq in range(1, 10):
        assert await store.append([record(seq, seq, payload=payload)]) == [None]
    assert [found.last_seq for found in await read_all(store)] == list(range(1, 10))


async def test_payloads_keep_every_byte(store: HotStore) -> None:
    await store.take_epoch(SHARD, "host")
    payload = bytes(range(256)) + b"\xc1\x00"
    await store.append([record(1, 1, payload=payload), record(2, 2, payload=b"")])
    assert [found.payload for found in await read_all(store)] == [payload, b""]


async def test_epochs_rise_by_one_and_keep_the_position(store: HotStore) -> None:
    made = await fill(store, 2)
    assert await store.take_epoch(SHARD, "other") == Head(20, 2, made[-1].batch_id)
    assert await store.take_epoch(SHARD, "other") == Head(20, 3, made[-1].batch_id)


async def test_former_owner_is_fenced_and_nothing_is_written(store: HotStore) -> None:
    made = await fill(store, 2)
    await store.take_epoch(SHARD, "other")
    (outcome,) = await store.append([record(21, 30, epoch=1)])
    assert isinstance(outcome, FencedError)
    assert await read_all(store) == made


@pytest.mark.parametrize("epoch", [0, 2, 99])
async def test_epoch_that_nobody_took_is_fenced(store: HotStore, epoch: int) -> None:
    await store.take_epoch(SHARD, "host")
    (outcome,) = await store.append([record(1, 1, epoch=epoch)])
    assert isinstance(outcome, FencedError)
    (outcome,) = await store.append([record(1, 1, shard="account/9", epoch=0)])
    assert isinstance(outcome, FencedError)


@pytest.mark.parametrize(("first_seq", "last_seq"), [(22, 30), (20, 30), (11, 20), (1, 10)])
async def test_record_that_does_not_continue_the_stream_is_refused(
    store: HotStore, first_seq: int, last_seq: int
) -> None:
    made = await fill(store, 2)
    (outcome,) = await store.append([record(first_seq, last_seq)])
    assert isinstance(outcome, SequenceConflictError)
    assert await read_all(store) == made


async def test_record_without_events_is_refused(store: HotStore) -> None:
    await store.take_epoch(SHARD, "host")
    (outcome,) = await store.append([record(1, 0)])
    assert isinstance(outcome, SequenceConflictError)


async def test_one_refused_record_does_not_hold_up_its_group(store: HotStore) -> None:
    for shard in ("account/0", "account/1", "account/2"):
        await store.take_epoch(shard, "host")
    await store.take_epoch("account/1", "twin")
    group = [record(1, 7, shard=f"account/{number}") for number in range(3)]
    outcomes = await store.append(group)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], FencedError)
    assert outcomes[2] is None
    assert [await read_all(store, one.shard) for one in group] == [[group[0]], [], [group[2]]]


async def test_group_of_none_and_group_of_refused_change_nothing(store: HotStore) -> None:
    await store.take_epoch(SHARD, "host")
    assert await store.append([]) == []
    (outcome,) = await store.append([record(5, 6)])
    assert isinstance(outcome, SequenceConflictError)
    assert await store.head(SHARD) == Head(0, 1, b"")


async def test_groups_under_way_at_once_are_appended_in_their_order(store: HotStore) -> None:
    await store.take_epoch(SHARD, "host")
    outcomes = await asyncio.gather(*(store.append([record(seq, seq)]) for seq in range(1, 40)))
    assert outcomes == [[None]] * 39
    assert len(await read_all(store)) == 39


async def test_shards_are_listed_sorted_with_their_heads(store: HotStore) -> None:
    for shard in ("market/B", "account/1", "market/A"):
        await fill(store, 1, shard)
    assert await store.shards() == ["account/1", "market/A", "market/B"]
    heads = await store.heads()
    assert list(heads) == ["account/1", "market/A", "market/B"]
    assert heads["market/A"] == await store.head("market/A") == Head(10, 1, b"market/A:1")


async def test_stream_is_read_while_it_grows(store: HotStore) -> None:
    await store.take_epoch(SHARD, "host")
    last_seq = 600

    async def write() -> None:
        for seq in range(1, last_seq + 1):
            assert await store.append([record(seq, seq)]) == [None]

    writing = asyncio.create_task(write())
    position = 0
    while position < last_seq:
        async for found in store.read(SHARD, position):
            assert found.first_seq == position + 1
            position = found.last_seq
        await asyncio.sleep(0)
    await writing


async def test_bit_flip_in_a_payload_is_corrupt_from_that_record_on(
    store: HotStore, subject: Subject
) -> None:
    made = await fill(store, 5)
    await subject.flip_bit_of_record(SHARD, 30)
    with pytest.raises(CorruptError):
        await read_all(store)
    assert await read_all(store, after_seq=30) == made[3:]


async def test_missing_record_in_the_middle_is_corrupt(store: HotStore, subject: Subject) -> None:
    await fill(store, 5)
    await subject.lose_record(SHARD, 30)
    with pytest.raises(CorruptError):
        await read_all(store)


async def test_missing_record_at_the_end_is_corrupt(store: HotStore, subject: Subject) -> None:
    await fill(store, 5)
    await subject.lose_record(SHARD, 50)
    with pytest.raises(CorruptError):
        await read_all(store)
    with pytest.raises(CorruptError):
        await read_all(store, after_seq=40)


async def test_two_newest_snapshots_are_kept_newest_first(store: HotStore) -> None:
    await fill(store, 5)
    for seq in (10, 30, 20, 50):
        await store.put_snapshot(Snapshot(SHARD, seq, 1, b"state %d" % seq))
    assert await store.snapshots(SHARD) == [
        Snapshot(SHARD, 50, 1, b"state 50"),
        Snapshot(SHARD, 30, 1, b"state 30"),
    ]


async def test_snapshot_of_the_same_position_replaces(store: HotStore) -> None:
    await fill(store, 1)
    await store.put_snapshot(Snapshot(SHARD, 10, 1, b"first"))
    await store.put_snapshot(Snapshot(SHARD, 10, 2, b"second"))
    assert await store.snapshots(SHARD) == [Snapshot(SHARD, 10, 2, b"second")]


async def test_snapshots_of_shards_with_similar_names_are_kept_apart(store: HotStore) -> None:
    await fill(store, 1, "account/1")
    await fill(store, 1, "account/11")
    await store.put_snapshot(Snapshot("account/1", 10, 1, b"one"))
    await store.put_snapshot(Snapshot("account/11", 10, 1, b"eleven"))
    assert await store.snapshots("account/1") == [Snapshot("account/1", 10, 1, b"one")]


async def test_snapshot_ahead_of_its_stream_is_refused(store: HotStore) -> None:
    await fill(store, 1)
    with pytest.raises(SequenceConflictError):
        await store.put_snapshot(Snapshot(SHARD, 11, 1, b"never durable"))
    assert await store.snapshots(SHARD) == []


async def test_damaged_snapshot_gives_way_to_the_older_one(
    store: HotStore, subject: Subject
) -> None:
    await fill(store, 2)
    await store.put_snapshot(Snapshot(SHARD, 10, 1, b"older"))
    await store.put_snapshot(Snapshot(SHARD, 20, 1, b"newer"))
    await subject.flip_bit_of_snapshot(SHARD, 20)
    assert await store.snapshots(SHARD) == [Snapshot(SHARD, 10, 1, b"older")]


async def test_trim_forgets_up_to_the_position(store: HotStore) -> None:
    made = await fill(store, 5)
    for seq in (40, 50):
        await store.put_snapshot(Snapshot(SHARD, seq, 1, b"state"))
    await store.trim(SHARD, 25)
    assert await read_all(store, after_seq=20) == made[2:]
    with pytest.raises(CorruptError):
        await read_all(store, after_seq=19)


async def test_trim_never_goes_above_the_older_snapshot(store: HotStore) -> None:
    made = await fill(store, 5)
    for seq in (30, 50):
        await store.put_snapshot(Snapshot(SHARD, seq, 1, b"state"))
    await store.trim(SHARD, 50)
    assert await read_all(store, after_seq=30) == made[3:]


async def test_trim_needs_two_intact_snapshots(store: HotStore, subject: Subject) -> None:
    made = await fill(store, 5)
    await store.trim(SHARD, 50)
    await store.put_snapshot(Snapshot(SHARD, 40, 1, b"state"))
    await store.trim(SHARD, 50)
    await store.put_snapshot(Snapshot(SHARD, 50, 1, b"state"))
    await subject.flip_bit_of_snapshot(SHARD, 50)
    await store.trim(SHARD, 50)
    assert await read_all(store) == made


async def test_stream_goes_on_after_everything_was_trimmed(store: HotStore) -> None:
    await fill(store, 300)
    for _ in range(2):
        head = await store.take_epoch(SHARD, "host")
        await store.append([record(head.seq + 1, head.seq + 1, epoch=head.epoch)])
        await store.put_snapshot(Snapshot(SHARD, head.seq + 1, head.epoch, b"state"))
    await store.trim(SHARD, 3_001)
    assert [found.last_seq for found in await read_all(store, after_seq=3_001)] == [3_002]
    (outcome,) = await store.append([record(3_003, 3_003, epoch=3)])
    assert outcome is None


async def test_everything_is_there_after_opening_anew(subject: Subject) -> None:
    store = await subject.open()
    made = await fill(store, 20)
    await store.put_snapshot(Snapshot(SHARD, 200, 1, b"state"))
    await store.close()
    await store.close()
    store = await subject.open()
    assert await read_all(store) == made
    assert await store.snapshots(SHARD) == [Snapshot(SHARD, 200, 1, b"state")]
    assert await store.take_epoch(SHARD, "host") == Head(200, 2, made[-1].batch_id)
    await store.close()
