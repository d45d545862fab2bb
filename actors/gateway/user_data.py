"""Which sessions want the user events of which account, and how far each account's stream came.

Events of an account are numbered densely; what comes twice is dropped, a gap ends subscriptions
with eventStreamTerminated, so that a client starts again and never misses one unknowingly.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from actors.gateway.backend import Backend
from actors.gateway.calls import Call
from exchange.answers import AccountPosition, UserEvent

ASK_AGAIN_NS: Final = 1_000_000_000
GIVE_UP_NS: Final = 10_000_000_000


@dataclass(frozen=True, slots=True)
class StreamLost:
    """Told to a session: events of this account were missed."""

    account_id: int


@dataclass(frozen=True, slots=True)
class StreamLive:
    """Told to a session: the subscription that `call` asked for is live."""

    call: Call
    account_id: int


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """Told to a session: nobody confirmed what `call` asked for."""

    call: Call
    account_id: int


StreamNotice = StreamLost | StreamLive | StreamRefused


class EventTaker(Protocol):
    """A session as this module sees it."""

    def take(self, message: StreamNotice) -> None:
        """Put it into the session's mailbox."""

    def take_event(self, event: UserEvent) -> None: ...


@dataclass(slots=True)
class _Feed:
    last_seq: int = -1  # -1: not live yet
    takers: dict[EventTaker, None] = field(default_factory=dict)
    waiting: list[tuple[EventTaker, Call]] = field(default_factory=list)
    asked_at_ns: int = 0


class UserData:
    """Bounded by the connections: each has one subscription per account."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._feeds: dict[int, _Feed] = {}
        self._unanswered: dict[int, None] = {}  # accounts whose subscription is not confirmed

    def subscribe(self, account_id: int, taker: EventTaker, call: Call, now_ns: int) -> None:
        """Answered by StreamLive in the taker's mailbox, or by a refusal of the call."""
        feed = self._feeds.get(account_id)
        if feed is None:
            feed = self._feeds[account_id] = _Feed(waiting=[(taker, call)])
            self._ask(account_id, feed, now_ns)
            return
        if account_id in self._unanswered:
            feed.waiting.append((taker, call))
            return
        taker.take(StreamLive(call, account_id))
        feed.takers[taker] = None

    def unsubscribe(self, account_id: int, taker: EventTaker) -> None:
        feed = self._feeds.get(account_id)
        if feed is None:
            return
        feed.takers.pop(taker, None)
        feed.waiting = [(other, call) for other, call in feed.waiting if other is not taker]
        self._drop_if_unused(account_id, feed)

    def resubscribe(self, shard_accounts: int, shard_index: int, now_ns: int) -> None:
        """The host of shard `shard_index` (of `shard_accounts`) is new: continue where we were."""
        for account_id, feed in list(self._feeds.items()):
            if account_id % shard_accounts == shard_index:
                self._ask(account_id, feed, now_ns)

    def on_subscribed(self, account_id: int, user_seq: int, *, has_gap: bool) -> None:
        feed = self._feeds.get(account_id)
        if feed is None:
            self._backend.unsubscribe_user(account_id)
            return
        if has_gap:
            for taker in feed.takers:
                taker.take(StreamLost(account_id))
            feed.takers = {}
        if has_gap or feed.last_seq < 0:
            feed.last_seq = user_seq
        self._unanswered.pop(account_id, None)
        waiting, feed.waiting = feed.waiting, []
        for taker, call in waiting:
            taker.take(StreamLive(call, account_id))
            feed.takers[taker] = None
        self._drop_if_unused(account_id, feed)

    def on_event(self, event: UserEvent) -> None:
        feed = self._feeds.get(event.account_id)
        if feed is None or event.user_seq < feed.last_seq:
            return
        # A position has the number of the report before it: it is state, twice does no harm.
        if event.user_seq == feed.last_seq and type(event) is not AccountPosition:
            return
        feed.last_seq = event.user_seq
        for taker in feed.takers:
            taker.take_event(event)

    def on_tick(self, now_ns: int) -> None:
        for account_id in list(self._unanswered):
            feed = self._feeds[account_id]
            expired = [
                (taker, call)
                for taker, call in feed.waiting
                if now_ns - call.received_at_ns >= GIVE_UP_NS
            ]
            for taker, call in expired:
                feed.waiting.remove((taker, call))
                taker.take(StreamRefused(call, account_id))
            if not feed.takers and not feed.waiting:
                self._drop_if_unused(account_id, feed)
            elif now_ns - feed.asked_at_ns >= ASK_AGAIN_NS:
                self._ask(account_id, feed, now_ns)

    def _ask(self, account_id: int, feed: _Feed, now_ns: int) -> None:
        self._unanswered[account_id] = None
        feed.asked_at_ns = now_ns
        self._backend.subscribe_user(account_id, feed.last_seq)

    def _drop_if_unused(self, account_id: int, feed: _Feed) -> None:
        if not feed.takers and not feed.waiting:
            del self._feeds[account_id]
            self._unanswered.pop(account_id, None)
            self._backend.unsubscribe_user(account_id)
