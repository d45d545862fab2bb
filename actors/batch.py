"""The batch of a shard: what one turn did, and what waits for it to be durable."""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from actors.outbox import Lane

encode = msgspec.msgpack.Encoder().encode


class Batch:
    """What a shard did in one turn: events for the record, and what waits for its durability."""

    __slots__ = (
        "answers",
        "applied",
        "entities",
        "entries",
        "feeds",
        "moved",
        "numbered",
        "outbox",
    )

    def __init__(self) -> None:
        self.applied: dict[str, int] = {}  # source -> what may be acknowledged once this is durable
        self.entries: list[Raw] = []
        self.entities: list[int] = []
        self.moved: dict[str, int] = {}  # source -> applied up to
        self.outbox: dict[str, int] = {}  # target -> first number used
        self.numbered: list[tuple[Lane, int, Raw]] = []
        self.answers: list[tuple[str, Raw]] = []  # (host, encoded answer)
        self.feeds: list[Callable[[], None]] = []  # what else is to be done once durable

    @property
    def is_empty(self) -> bool:
        return not (self.entries or self.moved or self.answers or self.feeds)
