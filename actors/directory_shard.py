"""The directory's shard: commands of operators, messages to markets, a feed to every host."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from actors import wire
from actors.batch import encode
from actors.shard import ENTITY, Shard
from exchange.answers import DirectoryDone, Refused
from exchange.directory import snapshot
from exchange.directory.commands import DirectoryCommand
from exchange.directory.decider import decide, evolve
from exchange.directory.events import InstrumentUpdated, MarketAdded, MarketStatusSet, UserCreated
from exchange.directory.state import Directory, full_events
from exchange.faults import CommandQuarantined
from exchange.ids import market_shard
from exchange.reject import RejectReason
from storage.codec import decode_directory_entry
from supervision.process import Behaviour

TRY_AGAIN_NS = 130_000_000
RECENT_EVENTS_MAX = 10_000  # for followers that are a little behind; the others get all

decode_command = msgspec.msgpack.Decoder(DirectoryCommand).decode


class DirectoryProcess(Behaviour):
    """The directory. It decides and evolves; its shard journals and feeds."""

    def __init__(self, shard: "DirectoryShard", directory: Directory) -> None:
        self.shard = shard
        self.directory = directory

    def handle(self, message: Any) -> None:
        """Take (raw, decoded, source, number)."""
        _, command, _, _ = message
        shard, directory = self.shard, self.directory
        events, reason = decide(directory, command)
        created_id = 0
        for event in events:
            evolve(directory, event)
            if type(event) is UserCreated:
                created_id = event.account_id
        for event in events:
            shard.decided(event)
        if reason is RejectReason.NONE:
            shard.answer(command.reply_to, DirectoryDone(command.request_id, created_id))
        else:
            shard.answer(command.reply_to, Refused(command.request_id, reason))


class DirectoryShard(Shard):
    """The one shard that every host follows."""

    message_decoders: ClassVar = {}

    def __init__(self, shard_id: str, host: Any) -> None:
        super().__init__(shard_id, host)
        self.directory = Directory()
        self._recent: deque[tuple[int, Raw]] = deque(maxlen=RECENT_EVENTS_MAX)  # (seq, event)
        self._followers: dict[str, int] = {}  # host -> the seq it was last told
        self._asked: dict[str, int] = {}  # host -> after, since the last turn
        self._refused: dict[str, tuple[int, int]] = {}  # links were full: host -> (after, ask at)
        self._capture: bytes | None = None

    # ---------------------------------------------------------------- recovery

    def restore(self, payload: bytes) -> None:
        self.directory = snapshot.decode(payload)

    def replay_entry(self, entity: int, raw: Raw) -> tuple[str, ...]:
        event = decode_directory_entry(raw)
        if isinstance(event, CommandQuarantined):
            return ()
        evolve(self.directory, event)
        return targets_of(event)

    def targets_of_entry(self, raw: Raw) -> tuple[str, ...]:
        return targets_of(decode_directory_entry(raw))

    def started(self) -> None:
        self.start_entity(ENTITY)

    def behaviour_of(self, entity: int) -> DirectoryProcess:
        return DirectoryProcess(self, self.directory)

    def adopt(self, entity: int, twin: "DirectoryShard") -> None:
        self.directory = twin.directory

    # ---------------------------------------------------------------- intake

    def deliver_command(self, raw: Raw) -> None:
        self.host.scheduler.send(self.entities[ENTITY], (raw, decode_command(raw), "", 0))

    def on_item(self, item: Any, sender: str) -> None:
        if type(item) is wire.Follow:
            self._asked[sender] = item.after
        else:
            super().on_item(item, sender)

    def forget_peer(self, peer: str) -> None:
        self._followers.pop(peer, None)
        self._refused.pop(peer, None)

    def decided(self, event: Any) -> None:
        raw = Raw(encode(event))
        self.emit(ENTITY, raw)
        self._recent.append((self.position, raw))
        for target in targets_of(event):
            self.emit_to(target, raw)

    def after_turn(self) -> None:
        """Tell followers what is new, and who asked where the stream stands."""
        position = self.position
        if self._refused:
            self._ask_refused()
        for host, after in self._asked.items():
            self._followers[host] = after
        for host, after in self._followers.items():
            if after < position or host in self._asked:
                self._followers[host] = position
                self.batch.feeds.append(
                    partial(self._send, host, after, self._feed(after, position))
                )
        self._asked.clear()

    def _feed(self, after: int, upto: int) -> wire.DirectoryFeed:
        oldest = self._recent[0][0] if self._recent else upto + 1
        if 0 < after <= upto and after >= oldest - 1:
            events = [raw for seq, raw in self._recent if seq > after]
            return wire.DirectoryFeed(after, upto, False, events)
        events = [Raw(encode(event)) for event in full_events(self.directory)]
        return wire.DirectoryFeed(0, upto, True, events)

    def _send(self, host: str, after: int, feed: wire.DirectoryFeed) -> None:
        if not self.host.link(host).put(feed):
            # It asks again, but perhaps always when its link is full of what is sent as regularly.
            self._followers.pop(host, None)
            self._refused[host] = after, self.host.monotonic_ns() + TRY_AGAIN_NS

    def _ask_refused(self) -> None:
        now_ns = self.host.monotonic_ns()
        for host, (after, ask_at_ns) in list(self._refused.items()):
            if now_ns >= ask_at_ns:
                del self._refused[host]
                self._asked.setdefault(host, after)

    # ---------------------------------------------------------------- faults and snapshots

    def quarantine(self, entity: int, message: Any, error: str) -> None:
        """Do not run the command: it is refused."""
        raw, command, source, number = message
        fault = CommandQuarantined(entity, source, number, bytes(raw), error, self.host.clock_ns())
        self.emit(entity, Raw(encode(fault)))
        self.answer(command.reply_to, Refused(command.request_id, RejectReason.QUARANTINED))

    def begin_snapshot(self) -> None:
        """Encode the directory as it is now: it is small and changes seldom."""
        self._capture = snapshot.encode(self.directory)

    def copy_some(self, monotonic_ns: Callable[[], int], until_ns: int) -> list[bytes] | None:
        capture, self._capture = self._capture, None
        assert capture is not None
        return [capture]


def targets_of(event: Any) -> tuple[str, ...]:
    """Return the markets that `event` is a message to."""
    if type(event) is MarketAdded or type(event) is InstrumentUpdated:
        return (market_shard(event.instrument.symbol),)
    if type(event) is MarketStatusSet:
        return (market_shard(event.symbol),)
    return ()
