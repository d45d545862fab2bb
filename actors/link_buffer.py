"""What waits to leave for one peer host, gathered so that batches form by themselves.

Messages of a kind and target that wait together leave as one item, however others were put in
between. Order is kept within a kind and target; a plain item (`put`) keeps its place against
everything before and after it, so a subscription's confirmation precedes its first event.

Nothing here is the only copy of anything that was promised: each kind has a bound, beyond it an
adder answers False, and who called knows what to do (refuse, refill from the journal, start anew).
"""

from collections import deque

from msgspec import Raw

from actors.wire import (
    Answers,
    AnyItem,
    Commands,
    DirectoryFeed,
    MarketData,
    Numbered,
    UserEvents,
    Watermark,
)

# Kinds of groups; the values index counters.
_ITEM, _COMMANDS, _ANSWERS, _NUMBERED, _MARKET_DATA, _USER_EVENTS = range(6)
_KINDS = 6


class Group:
    """Messages that will leave as one item, or one plain item."""

    __slots__ = ("_item_weight", "first", "item", "kind", "messages", "source", "target")

    def __init__(
        self,
        kind: int,
        source: str,
        target: str,
        first: int,
        messages: list[Raw],
        item: AnyItem | None = None,
    ) -> None:
        self.kind, self.source, self.target, self.first = kind, source, target, first
        self.messages, self.item = messages, item
        self._item_weight = 0 if item is None else _weight(item)

    @property
    def weight(self) -> int:
        """How much of a frame, and of the bound, it takes: the number of messages."""
        return self._item_weight or len(self.messages)

    def build(self) -> AnyItem:
        """Return the item that carries the group."""
        if self.item is not None:
            return self.item
        kind = self.kind
        if kind == _COMMANDS:
            return Commands(self.target, self.messages)
        if kind == _ANSWERS:
            return Answers(self.messages)
        if kind == _NUMBERED:
            return Numbered(self.source, self.target, self.first, self.messages)
        if kind == _MARKET_DATA:
            return MarketData(self.source, self.messages)
        return UserEvents(self.source, self.messages)


class LinkBuffer:
    """The outgoing buffer of a link. Every adder returns whether the message was taken."""

    def __init__(self, items_max: int) -> None:
        """`items_max` bounds each kind by itself, so that no kind can starve another."""
        assert items_max > 0
        self._items_max = items_max
        self._favoured_max = items_max + items_max // 4
        self._counts = [0] * _KINDS
        self._queue: deque[Group] = deque()
        # Groups that are in the queue and still grow, by kind and then by what they are for.
        self._commands: dict[str, Group] = {}
        self._answers: dict[str, Group] = {}
        self._market_data: dict[str, Group] = {}
        self._user_events: dict[str, Group] = {}
        self._numbered: dict[tuple[str, str], Group] = {}
        # The newest per pair: only facts about now, so older ones need not travel. Bounded by
        # the number of pairs of shards.
        self._watermarks: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        """Return how many messages wait."""
        return sum(self._counts) + len(self._watermarks)

    @property
    def has_messages(self) -> bool:
        """Whether anything waits that must arrive; watermarks alone need not, they are repeated."""
        return bool(self._queue)

    @property
    def has_watermarks(self) -> bool:
        return bool(self._watermarks)

    # -------------------------------------------------------------- adders

    def put(self, item: AnyItem) -> bool:
        """Add a plain item. False: full; whoever sent the request that caused it asks again.

        One that carries messages weighs as many; the first is taken whatever it weighs.
        """
        if isinstance(item, Watermark):
            self.put_watermark(item.source, item.target, item.number)
            return True
        group = Group(_ITEM, "", "", 0, [], item)
        waiting = self._counts[_ITEM]
        if waiting and waiting + group.weight > self._items_max:
            return False
        self._counts[_ITEM] = waiting + group.weight
        self._queue.append(group)
        self._close_groups()
        return True

    def put_command(self, shard: str, command: Raw, favoured: bool = False) -> bool:
        """Add a command. False: overloaded, refuse it. Cancels are favoured: a quarter more."""
        counts = self._counts
        if counts[_COMMANDS] >= (self._favoured_max if favoured else self._items_max):
            return False
        group = self._commands.get(shard)
        if group is None:
            group = self._commands[shard] = self._begin(_COMMANDS, "", shard, 0)
        group.messages.append(command)
        counts[_COMMANDS] += 1
        return True

    def put_answer(self, answer: Raw) -> bool:
        """Add an answer to a request. False: dropped; the gateway asks for the outcome."""
        counts = self._counts
        if counts[_ANSWERS] >= self._items_max:
            return False
        group = self._answers.get("")
        if group is None:
            group = self._answers[""] = self._begin(_ANSWERS, "", "", 0)
        group.messages.append(answer)
        counts[_ANSWERS] += 1
        return True

    def put_numbered(self, source: str, target: str, number: int, message: Raw) -> bool:
        """Add message `number` of `source` to `target`: a cache over the journal of `source`.

        False: full; the caller goes on from its cursor when the target's watermark has moved.
        """
        counts = self._counts
        if counts[_NUMBERED] >= self._items_max:
            return False
        key = (source, target)
        group = self._numbered.get(key)
        if group is None or number != group.first + len(group.messages):
            group = self._numbered[key] = self._begin(_NUMBERED, source, target, number)
        group.messages.append(message)
        counts[_NUMBERED] += 1
        return True

    def put_market_data(self, shard: str, message: Raw) -> bool:
        """Add market data. False: dropped; the next that the follower gets must be a full book."""
        counts = self._counts
        if counts[_MARKET_DATA] >= self._items_max:
            return False
        group = self._market_data.get(shard)
        if group is None:
            group = self._market_data[shard] = self._begin(_MARKET_DATA, shard, "", 0)
        group.messages.append(message)
        counts[_MARKET_DATA] += 1
        return True

    def put_user_event(self, shard: str, event: Raw) -> bool:
        """Add a user event. False: dropped; the subscription has a gap and must start again."""
        counts = self._counts
        if counts[_USER_EVENTS] >= self._items_max:
            return False
        group = self._user_events.get(shard)
        if group is None:
            group = self._user_events[shard] = self._begin(_USER_EVENTS, shard, "", 0)
        group.messages.append(event)
        counts[_USER_EVENTS] += 1
        return True

    def put_watermark(self, source: str, target: str, number: int) -> None:
        """Say that `target` has durably applied `source` up to `number`; replaces an older one."""
        self._watermarks[source, target] = number

    # -------------------------------------------------------------- the link's side

    def take(self, weight_max: int) -> list[Group]:
        """Remove and return the oldest groups, up to `weight_max` messages, in order.

        Watermarks first: they free what the peer keeps. A plain item heavier than `weight_max`
        comes alone.
        """
        groups = self.take_watermarks(weight_max)
        room = weight_max - len(groups)
        queue, counts = self._queue, self._counts
        while queue and room > 0:
            group = queue[0]
            weight = group.weight
            if weight <= room or (group.item is not None and not groups):
                queue.popleft()
                self._close(group)
            elif group.item is not None:
                break
            else:
                group = _split(group, room)
                weight = room
            counts[group.kind] -= weight
            groups.append(group)
            room -= weight
        return groups

    def put_back(self, groups: list[Group]) -> None:
        """Undo a `take`, whatever the bounds. What comes later is not merged into these."""
        for group in reversed(groups):
            if isinstance(group.item, Watermark):
                self._watermarks.setdefault(
                    (group.item.source, group.item.target), group.item.number
                )
                continue
            self._counts[group.kind] += group.weight
            self._queue.appendleft(group)

    def forget(self) -> None:
        """The peer is a new incarnation: drop what was meant for the old one.

        Commands stay: they never left, and are for a shard whoever runs it. Watermarks stay: they
        are as true as before. Answers, feeds and subscriptions belong to sessions that are gone,
        and numbered messages are filled in anew from the watermarks of the restarted shards.
        """
        commands = [group for group in self._queue if group.kind == _COMMANDS]
        waiting = self._counts[_COMMANDS]
        self._queue = deque(commands)
        self._counts = [0] * _KINDS
        self._counts[_COMMANDS] = waiting
        self._close_groups()

    # -------------------------------------------------------------- helpers

    def _begin(self, kind: int, source: str, target: str, first: int) -> Group:
        group = Group(kind, source, target, first, [])
        self._queue.append(group)
        return group

    def _close(self, group: Group) -> None:
        """Make sure that nothing is added to a group that leaves."""
        kind = group.kind
        if kind == _NUMBERED:
            if self._numbered.get((group.source, group.target)) is group:
                del self._numbered[group.source, group.target]
        elif kind == _COMMANDS:
            _remove(self._commands, group.target, group)
        elif kind == _ANSWERS:
            _remove(self._answers, "", group)
        elif kind == _MARKET_DATA:
            _remove(self._market_data, group.source, group)
        elif kind == _USER_EVENTS:
            _remove(self._user_events, group.source, group)

    def _close_groups(self) -> None:
        self._commands.clear()
        self._answers.clear()
        self._market_data.clear()
        self._user_events.clear()
        self._numbered.clear()

    def take_watermarks(self, weight_max: int) -> list[Group]:
        """Remove and return the newest watermarks, as groups of one item."""
        watermarks = self._watermarks
        groups: list[Group] = []
        while watermarks and len(groups) < weight_max:
            key = next(iter(watermarks))
            source, target = key
            mark = Watermark(source, target, watermarks.pop(key))
            groups.append(Group(_ITEM, "", "", 0, [], mark))
        return groups


def _remove(open_groups: dict[str, Group], key: str, group: Group) -> None:
    if open_groups.get(key) is group:
        del open_groups[key]


def _split(group: Group, room: int) -> Group:
    """Cut the oldest `room` messages off the group and return them as a group of their own."""
    head = Group(group.kind, group.source, group.target, group.first, group.messages[:room])
    del group.messages[:room]
    group.first += room
    return head


def _weight(item: AnyItem) -> int:
    if isinstance(item, Numbered | MarketData):
        return max(1, len(item.messages))
    if isinstance(item, DirectoryFeed | UserEvents):
        return max(1, len(item.events))
    if isinstance(item, Commands):
        return max(1, len(item.commands))
    if isinstance(item, Answers):
        return max(1, len(item.answers))
    return 1
