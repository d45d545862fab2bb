"""A client session of the WebSocket API: a light process whose mailbox gets raw frames.

It keeps who is logged on and which accounts' events it follows. Whatever a client sends can be
refused; an exception here is a bug, ends this session only, and closes its connection with 1011.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from actors.gateway.auth import READ, STREAM, Key
from actors.gateway.calls import Call
from actors.gateway.connection import CLOSE_INTERNAL, CLOSE_POLICY, Connection
from actors.gateway.methods import METHODS
from actors.gateway.trading import ReplaceError
from actors.gateway.user_data import StreamLive, StreamLost, StreamNotice, StreamRefused
from exchange.answers import (
    AccountPosition,
    BalanceChanged,
    ExecutionReport,
    UserEvent,
)
from exchange.directory.commands import KeyType
from exchange.protocol import errors, requests, user_events
from exchange.protocol.errors import DialectError, RequestError
from exchange.protocol.requests import MalformedRequestError, decode_request
from supervision.process import Behaviour
from supervision.reason import ExitReason

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway

SUBSCRIPTIONS_MAX: Final = 100  # accounts of one session
EVENTS_MAX: Final = 10_000  # user events waiting for one session's turn; beyond: close 1008
MALFORMED_WEIGHT: Final = 1
_EVENTS: Final = object()  # in the mailbox: look at the events


@dataclass(slots=True)
class Subscription:
    subscription_id: int
    key_id: str
    is_of_logon: bool


class ApiSession(Behaviour):
    """One connection to /ws-api/v3."""

    def __init__(
        self,
        gateway: "Gateway",
        connection: Connection,
        address: str,
        unit: int,
        returns_limits: bool,
        now_ns: int,
    ) -> None:
        self.gateway = gateway
        self.connection = connection
        self.address = address
        self.unit = unit
        self.returns_limits = returns_limits
        self.connected_at_ns = now_ns
        self.pending = 0
        self.used_weight = 0
        self.logon: Key | None = None
        self.authorized_at_ns = 0
        self.subscriptions: dict[int, Subscription] = {}  # by account
        self._next_subscription_id = 0
        self._events: list[UserEvent] = []

    # ------------------------------------------------------------------ mailbox

    def handle(self, message: object) -> None:
        if type(message) is bytes:
            self._on_frame(message)
        elif type(message) is tuple:
            self._on_answer(*message)
        elif message is _EVENTS:
            self._on_user_events()
        elif type(message) is StreamLive:
            self._on_stream_live(message)
        elif type(message) is StreamLost:
            self.end_subscription(message.account_id)
        else:
            assert type(message) is StreamRefused
            self.end_subscription(message.account_id, is_told=False)
            self._refuse(message.call, RequestError(errors.DISCONNECTED))

    def terminate(self, reason: ExitReason) -> None:
        """Crashed or told to end: nobody else is disturbed."""
        self.connection.close(CLOSE_INTERNAL, "internal error")

    def take(self, message: StreamNotice) -> None:
        self.gateway.send_to(self, message)

    def take_event(self, event: UserEvent) -> None:
        """Add to the events that one message of the mailbox stands for: they come in bursts."""
        events = self._events
        if not events:
            self.gateway.send_to(self, _EVENTS)
        elif len(events) >= EVENTS_MAX:
            self.connection.close(CLOSE_POLICY, "too slow")
            return
        events.append(event)

    def deliver(self, call: Call, answer: object) -> None:
        self.gateway.send_to(self, (call, answer))

    # ------------------------------------------------------------------ requests

    def _on_frame(self, frame: bytes) -> None:
        gateway = self.gateway
        now_ns = gateway.now_ns()
        try:
            request = decode_request(frame)
        except MalformedRequestError as error:
            self._charge_malformed(error, now_ns)
            return
        call = Call(self, request.id, request.method, request.params, now_ns)
        method = METHODS.get(request.method) or SESSION_METHODS.get(request.method)
        try:
            if method is None:
                self.used_weight = gateway.limits.charge(self.address, MALFORMED_WEIGHT, now_ns)
                raise RequestError(errors.UNKNOWN_METHOD)
            handler, permission, weight = method
            self.used_weight = gateway.limits.charge(self.address, weight, now_ns)
            if permission:
                gateway.authenticate(call, permission, self.logon)
            result = handler(gateway, call)
        except RequestError as error:
            self._refuse(call, error)
            return
        if result is not None:
            self._respond(call, result)

    def _charge_malformed(self, error: MalformedRequestError, now_ns: int) -> None:
        refusal = error.error
        try:
            self.used_weight = self.gateway.limits.charge(self.address, MALFORMED_WEIGHT, now_ns)
        except RequestError as limited:
            refusal = limited.error
        limits = self.gateway.limits.fragment(self.used_weight, "") if self.returns_limits else ""
        self.connection.send_text(requests.failure(error.request_id, refusal, limits))

    def _on_answer(self, call: Call, answer: object) -> None:
        if type(answer) is str:
            self._respond(call, answer)
            return
        if type(answer) is DialectError:
            self._refuse(call, RequestError(answer))
            return
        assert call.complete is not None
        try:
            result = call.complete(self.gateway, call, answer)  # type: ignore[arg-type]
        except RequestError as error:
            self._refuse(call, error)
            return
        if result is not None:
            self._respond(call, result)

    def _respond(self, call: Call, result: str) -> None:
        self.connection.send_text(requests.success(call.id, result, self._limits(call)))

    def _refuse(self, call: Call, refusal: RequestError) -> None:
        error = refusal.error
        data = refusal.data if type(refusal) is ReplaceError else ""
        if error is errors.TOO_MANY_REQUESTS:
            retry_ms = self.gateway.limits.retry_at_ns() // 1_000_000
            data = f'{{"serverTime":{call.received_at_ns // 1_000_000},"retryAfter":{retry_ms}}}'
        self.connection.send_text(requests.failure(call.id, error, self._limits(call), data))

    def _limits(self, call: Call) -> str:
        wanted = call.params.get("returnRateLimits")
        if wanted is None:
            wanted = self.returns_limits
        if wanted is False or wanted == "false":
            return ""
        limits = self.gateway.limits
        orders = limits.order_counts(call.account_id) if call.has_placed else ""
        return limits.fragment(self.used_weight, orders)

    # ------------------------------------------------------------------ user events

    def _on_user_events(self) -> None:
        events, self._events = self._events, []
        subscriptions, markets = self.subscriptions, self.gateway.market_data.markets
        send_text, unit = self.connection.send_text, self.unit
        for event in events:
            subscription = subscriptions.get(event.account_id)
            if subscription is None:
                continue  # ended while the event was on its way
            if type(event) is ExecutionReport:
                texts = markets[event.order.symbol].texts
                text = user_events.execution_report(event, texts, unit)
            elif type(event) is AccountPosition:
                text = user_events.account_position(event, unit)
            else:
                assert type(event) is BalanceChanged
                text = user_events.balance_update(event, unit)
            send_text(f'{{"subscriptionId":{subscription.subscription_id},"event":{text}}}')

    def _on_stream_live(self, message: StreamLive) -> None:
        subscription = self.subscriptions.get(message.account_id)
        if subscription is not None:
            self._respond(message.call, f'{{"subscriptionId":{subscription.subscription_id}}}')

    def start_subscription(self, call: Call, key: Key, *, is_of_logon: bool) -> None:
        """Follow the key's account; the reply comes when the stream is live."""
        if key.account_id in self.subscriptions:
            raise RequestError(errors.SUBSCRIPTION_ACTIVE)
        if len(self.subscriptions) >= SUBSCRIPTIONS_MAX:
            raise RequestError(errors.TOO_MANY_SUBSCRIPTIONS)
        subscription_id = self._next_subscription_id
        self._next_subscription_id += 1
        self.subscriptions[key.account_id] = Subscription(subscription_id, key.key_id, is_of_logon)
        self.gateway.user_data.subscribe(key.account_id, self, call, call.received_at_ns)

    def end_subscription(self, account_id: int, *, is_told: bool = True) -> None:
        subscription = self.subscriptions.pop(account_id, None)
        if subscription is None:
            return
        self.gateway.user_data.unsubscribe(account_id, self)
        if is_told:
            text = user_events.stream_terminated(self.gateway.now_ns(), self.unit)
            self.connection.send_text(
                f'{{"subscriptionId":{subscription.subscription_id},"event":{text}}}'
            )

    # ------------------------------------------------------------------ logon

    def log_off(self) -> None:
        self.logon = None
        self.authorized_at_ns = 0
        for account_id, subscription in list(self.subscriptions.items()):
            if subscription.is_of_logon:
                self.end_subscription(account_id)

    def on_key_revoked(self, key_id: str) -> None:
        """Nothing of this session goes on under a revoked key."""
        is_concerned = False
        for account_id, subscription in list(self.subscriptions.items()):
            if subscription.key_id == key_id:
                self.end_subscription(account_id)
                is_concerned = True
        if self.logon is not None and self.logon.key_id == key_id:
            self.log_off()
            is_concerned = True
        if is_concerned:
            limits = self.gateway.limits.fragment(self.used_weight, "")
            self.connection.send_text(
                requests.failure("null", errors.KEY_REJECTED, limits if self.returns_limits else "")
            )

    def status_json(self) -> str:
        unit = self.unit
        key, since = ("null", "null")
        if self.logon is not None:
            key, since = f'"{self.logon.key_id}"', str(self.authorized_at_ns // unit)
        return (
            f'{{"apiKey":{key},"authorizedSince":{since},'
            f'"connectedSince":{self.connected_at_ns // unit},'
            f'"returnRateLimits":{"true" if self.returns_limits else "false"},'
            f'"serverTime":{self.gateway.now_ns() // unit},'
            f'"userDataStream":{"true" if self.subscriptions else "false"}}}'
        )


def _session(call: Call) -> ApiSession:
    assert isinstance(call.port, ApiSession)
    return call.port


def _logon(gateway: "Gateway", call: Call) -> str:
    session = _session(call)
    key = gateway.verified_key(call, 0)
    if key.key_type != KeyType.ED25519:
        raise RequestError(errors.KEY_REJECTED)
    session.logon = key
    session.authorized_at_ns = call.received_at_ns
    return session.status_json()


def _status(_: "Gateway", call: Call) -> str:
    return _session(call).status_json()


def _logout(_: "Gateway", call: Call) -> str:
    session = _session(call)
    session.log_off()
    return session.status_json()


def _subscriptions(_: "Gateway", call: Call) -> str:
    rows = [
        f'{{"subscriptionId":{subscription.subscription_id}}}'
        for subscription in _session(call).subscriptions.values()
    ]
    return f"[{','.join(rows)}]"


def _subscribe(gateway: "Gateway", call: Call) -> None:
    session = _session(call)
    if session.logon is None:
        raise RequestError(errors.NOT_LOGGED_ON)
    gateway.check_current()
    gateway.auth.check_permitted(session.logon, session.address, READ | STREAM)
    session.start_subscription(call, session.logon, is_of_logon=True)


def _subscribe_signed(gateway: "Gateway", call: Call) -> None:
    key = gateway.verified_key(call, READ | STREAM)
    _session(call).start_subscription(call, key, is_of_logon=False)


def _unsubscribe(_: "Gateway", call: Call) -> str:
    session = _session(call)
    wanted = requests.integer(call.params, "subscriptionId")
    accounts = [
        account_id
        for account_id, subscription in session.subscriptions.items()
        if wanted is None or subscription.subscription_id == wanted
    ]
    if wanted is not None and not accounts:
        raise RequestError(errors.SUBSCRIPTION_NOT_ACTIVE)
    for account_id in accounts:
        session.end_subscription(account_id, is_told=False)
    return "{}"


SessionMethod = tuple[Callable[["Gateway", Call], str | None], int, int]
SESSION_METHODS: Final[dict[str, SessionMethod]] = {
    "session.logon": (_logon, 0, 2),
    "session.status": (_status, 0, 2),
    "session.logout": (_logout, 0, 2),
    "session.subscriptions": (_subscriptions, 0, 2),
    "userDataStream.subscribe": (_subscribe, 0, 2),
    "userDataStream.subscribe.signature": (_subscribe_signed, 0, 2),
    "userDataStream.unsubscribe": (_unsubscribe, 0, 2),
}
