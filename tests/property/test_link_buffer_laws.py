"""Laws of the outgoing buffer: whatever is put and taken, nothing is lost, doubled or overtaken."""

from collections import defaultdict

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.link_buffer import Group, LinkBuffer
from actors.wire import (
    Answers,
    AnyItem,
    Commands,
    Follow,
    MarketData,
    Numbered,
    UserEvents,
    Watermark,
)

Key = tuple[str, str]

steps = st.lists(
    st.tuples(
        st.sampled_from(["command", "answer", "numbered", "data", "user", "item", "mark", "take"]),
        st.sampled_from(["a", "b"]),
        st.integers(1, 7),
    ),
    min_size=20,
    max_size=60,
)


class Model:
    """A buffer, what was put by kind and target in order, and what came out likewise."""

    def __init__(self) -> None:
        self.buffer = LinkBuffer(items_max=1_000)
        self.put: dict[Key, list[int]] = defaultdict(list)
        self.taken: dict[Key, list[int]] = defaultdict(list)
        self.numbers: dict[str, int] = defaultdict(int)
        self.marks: dict[str, int] = {}
        self.clock = 0

    def add(self, kind: str, target: str) -> None:
        self.clock += 1
        raw = msgspec.Raw(msgspec.msgpack.encode(self.clock))
        buffer = self.buffer
        if kind == "command":
            buffer.put_command(target, raw)
        elif kind == "answer":
            target = ""
            buffer.put_answer(raw)
        elif kind == "numbered":
            self.numbers[target] += 1
            buffer.put_numbered("source", target, self.numbers[target], raw)
        elif kind == "data":
            buffer.put_market_data(target, raw)
        elif kind == "user":
            buffer.put_user_event(target, raw)
        elif kind == "item":
            target = ""
            buffer.put(Follow("", "", self.clock))
        else:
            buffer.put_watermark("source", target, self.clock)
            self.marks[target] = self.clock
            return
        self.put[kind, target].append(self.clock)

    def take(self, weight_max: int) -> list[Group]:
        groups = self.buffer.take(weight_max)
        assert sum(group.weight for group in groups) <= weight_max
        for group in groups:
            self.note(group.build())
        return groups

    def note(self, item: AnyItem) -> None:
        match item:
            case Commands(shard, messages):
                key = ("command", shard)
            case Answers(messages):
                key = ("answer", "")
            case Numbered(_, target, first, messages):
                key = ("numbered", target)
                # The numbers are those under which the messages were put.
                assert len(self.taken[key]) == first - 1
            case MarketData(shard, messages):
                key = ("data", shard)
            case UserEvents(shard, messages):
                key = ("user", shard)
            case Follow(_, _, clock):
                messages = [msgspec.Raw(msgspec.msgpack.encode(clock))]
                key = ("item", "")
            case Watermark(_, target, number):
                assert number == self.marks.pop(target)  # only the newest
                return
            case _:
                raise AssertionError(item)
        self.taken[key].extend(msgspec.msgpack.decode(raw) for raw in messages)


@given(steps)
def test_each_kind_and_target_comes_out_whole_and_in_order(
    steps: list[tuple[str, str, int]],
) -> None:
    model = Model()
    for kind, target, amount in steps:
        if kind == "take":
            model.take(amount)
        else:
            for _ in range(amount):
                model.add(kind, target)
    while model.take(3):
        pass
    assert {key: taken for key, taken in model.taken.items() if taken} == model.put
    assert model.marks == {}
    assert len(model.buffer) == 0


@given(steps)
def test_nothing_moves_across_a_plain_item(steps: list[tuple[str, str, int]]) -> None:
    model = Model()
    for kind, target, _ in steps:
        if kind not in ("take", "mark"):
            model.add(kind, target)
    everything = sum(len(put) for put in model.put.values())
    barrier = 0  # everything put before the last plain item that came out has come out
    seen = 0
    for group in model.buffer.take(1_000):
        before = {key: len(taken) for key, taken in model.taken.items()}
        model.note(group.build())
        for key, taken in model.taken.items():
            fresh = taken[before.get(key, 0) :]
            seen += len(fresh)
            assert all(clock > barrier for clock in fresh)
            if key[0] == "item" and fresh:
                [barrier] = fresh
                assert seen == barrier
    assert seen == everything


@given(steps, st.integers(1, 50))
def test_putting_back_undoes_taking(steps: list[tuple[str, str, int]], weight_max: int) -> None:
    model = Model()
    for kind, target, amount in steps:
        if kind != "take":
            model.add(kind, target)
        else:
            before = len(model.buffer)
            model.buffer.put_back(model.buffer.take(amount + weight_max))
            assert len(model.buffer) == before
    while model.take(weight_max):
        pass
    assert {key: taken for key, taken in model.taken.items() if taken} == model.put
    assert len(model.buffer) == 0
