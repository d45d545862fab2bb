"""The gateway without sockets: sessions, calls under way, streams. The host feeds it.

Everything comes in through the `on_*` methods and through mailboxes of sessions; `run` lets the
sessions work and writes once to each connection that has something to say. One thread.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from actors.gateway.auth import Authenticator, Key, check_timing, session_identity
from actors.gateway.backend import Backend
from actors.gateway.calls import Call
from actors.gateway.connection import CLOSE_POLICY, Connection, Outbox, Wire
from actors.gateway.limits import Limits
from actors.gateway.market_data import MarketData, MarketView
from actors.gateway.pending import PendingCalls
from actors.gateway.session import ApiSession
from actors.gateway.stream_session import StreamSession
from actors.gateway.user_data import UserData
from actors.secrets import SecretVault
from config.schema import GatewaySettings
from exchange.answers import Answer, MarketDataMessage, Refused, UserEvent
from exchange.directory.events import (
    DirectoryEvent,
    InstrumentUpdated,
    KeyCreated,
    KeyRevoked,
    MarketAdded,
)
from exchange.ids import account_shard, market_shard
from exchange.protocol import errors
from exchange.protocol.errors import RequestError
from exchange.protocol.requests import symbol as required_symbol
from exchange.protocol.texts import MarketTexts
from storage.ports import StoreError
from supervision.light import LightStart, LightSupervisor
from supervision.process import Pid
from supervision.report import Done, SupervisorReport
from supervision.scheduler import Scheduler
from supervision.spec import ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec

POSITIONS_MAX: Final = 100_000  # accounts whose last writes are remembered
TASKS_MAX: Final = 1_000  # reads of history under way
MAILBOX_MAX: Final = 10_000
MILLISECOND_NS: Final = 1_000_000
_NO_POSITIONS: Final[tuple[tuple[str, int], ...]] = ()

Session = ApiSession | StreamSession


class Gateway:
    """Ties sessions, the exchange behind the backend, and the streams together."""

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        settings: GatewaySettings,
        vault: SecretVault,
        *,
        first_request_id: int = 0,
        on_report: Callable[[SupervisorReport], None] | None = None,
    ) -> None:
        """`first_request_id`: of this life of the gateway, above all of the lives before, so that
        no answer to them is taken for ours; ns of the start will do."""
        self.backend = backend
        self.host_name = backend.host_name
        self.now_ns = backend.now_ns
        self.settings = settings
        self.scheduler = scheduler
        self._send = scheduler.send
        self.auth = Authenticator(backend.directory, vault)
        self.limits = Limits(settings.request_weight_per_minute_max)
        self.pending = PendingCalls(backend, settings, first_request_id)
        self.market_data = MarketData(backend)
        self.user_data = UserData(backend)
        self.outbox = Outbox()
        self._supervisor = LightSupervisor(SESSIONS, on_report or _ignore_report)
        scheduler.spawn(self._supervisor, name="sessions")
        self.sessions: dict[Session, Pid] = {}
        self.wake: Callable[[], None] = _do_nothing  # asks the owner for a `run` soon
        self._lag_max_ns = settings.directory_lag_ms_max * MILLISECOND_NS
        self._shards = [
            str(account_shard(index, backend.account_shards))
            for index in range(backend.account_shards)
        ]
        # account -> market shard -> number of its last message that the account has caused
        self._positions: dict[int, dict[str, int]] = {}
        self._tasks: dict[asyncio.Task[str], Call] = {}
        now_ns = backend.now_ns()
        for symbol in backend.directory.instruments:
            instrument = backend.directory.instrument(symbol)
            assert instrument is not None
            self.market_data.add(instrument, now_ns)

    # ------------------------------------------------------------------ from the host

    def run(self) -> None:
        """Let sessions handle what is in their mailboxes, then write."""
        self.scheduler.run()
        self.outbox.flush()

    def on_answer(self, answer: Answer) -> None:
        call = self.pending.answered(answer)
        if call is None:
            return
        after: int = getattr(answer, "after", 0)
        if after:
            self._note_position(call, answer, after)
        call.port.deliver(call, answer)

    def on_market_data(self, shard: str, message: MarketDataMessage) -> None:
        self.market_data.on_message(shard.removeprefix("market/"), message, self.now_ns())

    def on_user_event(self, event: UserEvent) -> None:
        self.user_data.on_event(event)

    def on_user_subscribed(self, account_id: int, user_seq: int, has_gap: bool) -> None:
        self.user_data.on_subscribed(account_id, user_seq, has_gap=has_gap)

    def on_account_host_changed(self, shard: str) -> None:
        """The shard has a new owner or host: ask it for the user events again."""
        self.pending.ask_shard(shard)
        index = int(shard.removeprefix("account/"))
        self.user_data.resubscribe(self.backend.account_shards, index, self.now_ns())

    def on_directory_changed(self, event: DirectoryEvent) -> None:
        """The replica was changed by `event`."""
        if isinstance(event, MarketAdded | InstrumentUpdated):
            self.market_data.add(event.instrument, self.now_ns())
        elif isinstance(event, KeyCreated | KeyRevoked):
            self.auth.forget(event.key_id)
            if isinstance(event, KeyRevoked):
                for session in self.sessions:
                    if isinstance(session, ApiSession):
                        session.on_key_revoked(event.key_id)

    def on_tick(self, now_ns: int) -> None:
        """Call it every 50 ms or so: time-outs, depth intervals, candles."""
        self.pending.on_tick(now_ns)
        self.user_data.on_tick(now_ns)
        self.market_data.on_tick(now_ns)

    # ------------------------------------------------------------------ sessions

    def open_api_session(
        self, wire: Wire, address: str, unit: int, returns_limits: bool
    ) -> ApiSession:
        connection = Connection(wire, self.outbox, self.settings.outbound_bytes_max)
        session = ApiSession(self, connection, address, unit, returns_limits, self.now_ns())
        self._start(session)
        return session

    def open_stream_session(self, wire: Wire, unit: int, is_combined: bool) -> StreamSession:
        connection = Connection(wire, self.outbox, self.settings.outbound_bytes_max)
        session = StreamSession(
            self,
            connection,
            unit=unit,
            is_combined=is_combined,
            requests_per_s_max=self.settings.stream_requests_per_s_max,
            streams_max=self.settings.streams_per_connection_max,
        )
        self._start(session)
        return session

    def close_session(self, session: Session) -> None:
        """The connection is gone: forget everything of it."""
        pid = self.sessions.pop(session, None)
        if pid is None:
            return
        session.connection.is_closed = True
        if isinstance(session, ApiSession):
            self.pending.forget_port(session)
            for account_id in list(session.subscriptions):
                session.end_subscription(account_id, is_told=False)
        else:
            session.leave_all()
        self._supervisor.supervisor.terminate_child(pid, _ignore_result)

    def send_to(self, session: Session, message: object) -> None:
        """Put a message into a session's mailbox; when it is full the connection is closed."""
        if not self._send(session.ctx.pid, message):
            session.connection.close(CLOSE_POLICY, "too many requests")
        self.wake()

    # ------------------------------------------------------------------ for methods

    def check_current(self) -> None:
        """Fail closed: keys may have been revoked since the replica was current."""
        if self.backend.directory_lag_ns() > self._lag_max_ns:
            raise RequestError(errors.DISCONNECTED)

    def verified_key(self, call: Call, permission: int) -> Key:
        """Return the key that signed the call."""
        self.check_current()
        key = self.auth.permitted_key(call.params, call.port.address, permission)
        call.identity = self.auth.verify(key, call.params, call.received_at_ns)
        return key

    def authenticate(self, call: Call, permission: int, logon: Key | None) -> None:
        """Find out whose call it is: by its signature, or by the session's logon."""
        params = call.params
        if (
            logon is not None
            and "signature" not in params
            and params.get("apiKey") in (None, logon.key_id)
        ):
            self.check_current()
            self.auth.check_permitted(logon, call.port.address, permission)
            check_timing(params, call.received_at_ns)
            call.identity = session_identity(logon.account_id, call.method, params)
            key = logon
        else:
            key = self.verified_key(call, permission)
        call.account_id = key.account_id
        call.shard = self._shards[key.account_id % len(self._shards)]

    def market_of(self, call: Call) -> MarketView:
        """Return the market that the call names; raise RequestError -1102, -1100 or -1121."""
        symbol = call.params.get("symbol")
        view = self.market_data.markets.get(symbol) if type(symbol) is str else None
        if view is None:
            required_symbol(call.params)
            raise RequestError(errors.BAD_SYMBOL)
        call.texts = view.texts
        return view

    def texts_of(self, symbol: str) -> MarketTexts:
        return self.market_data.markets[symbol].texts

    def default_fees(self, account_id: int) -> tuple[int, int]:
        """Return the fee rates to show for an account as a whole: those of the first market."""
        for symbol in self.backend.directory.instruments:
            return self.backend.directory.fee_rates(account_id, symbol)
        return (0, 0)

    def positions_of(self, account_id: int) -> tuple[tuple[str, int], ...]:
        """Return what a read of the account must at least have seen."""
        positions = self._positions.get(account_id)
        return tuple(positions.items()) if positions else _NO_POSITIONS

    def start_task(self, call: Call, work: Coroutine[Any, Any, str]) -> None:
        """Complete a call by a coroutine that reads history. Raises RequestError: overloaded."""
        if len(self._tasks) >= TASKS_MAX:
            work.close()
            raise RequestError(errors.SERVER_BUSY)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = call
        task.add_done_callback(self._on_task_done)

    async def close(self) -> None:
        """Stop reads of history that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ helpers

    def _on_task_done(self, task: asyncio.Task[str]) -> None:
        call = self._tasks.pop(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            call.port.deliver(call, task.result())
        elif isinstance(error, RequestError):
            call.port.deliver(call, error.error)
        elif isinstance(error, StoreError):
            call.port.deliver(call, errors.DISCONNECTED)
        else:
            call.port.deliver(call, errors.UNKNOWN)
            task.get_loop().call_exception_handler(
                {"message": f"read of history failed: {call.method}", "exception": error}
            )

    def _note_position(self, call: Call, answer: Answer, after: int) -> None:
        if type(answer) is Refused:
            if call.texts is None:
                return
            shard: str = market_shard(call.texts.symbol)
        else:
            shard = answer.shard  # type: ignore[union-attr]
        positions = self._positions.get(call.account_id)
        if positions is None:
            if len(self._positions) >= POSITIONS_MAX:
                # The one remembered longest: its writes have long arrived.
                del self._positions[next(iter(self._positions))]
            positions = self._positions[call.account_id] = {}
        if after > positions.get(shard, 0):
            positions[shard] = after

    def _start(self, session: Session) -> None:
        def started(outcome: object) -> None:
            assert isinstance(outcome, Done) and isinstance(outcome.handle, int), outcome
            self.sessions[session] = Pid(outcome.handle)

        self._supervisor.supervisor.start_child((session,), started)


def _session_process(session: Session) -> LightStart:
    return LightStart(session, mailbox_max=MAILBOX_MAX)


# Temporary: a client whose session crashed connects again; nobody else can start it for him.
SESSIONS: Final = SupervisorSpec(
    "sessions",
    Strategy.SIMPLE_ONE_FOR_ONE,
    children=(
        ChildSpec(
            "session",
            _session_process,
            restart=Restart.TEMPORARY,
            shutdown=Shutdown.BRUTAL_KILL,
        ),
    ),
)


def _do_nothing() -> None:
    """No owner yet: tests call `run` themselves."""


def _ignore_result(_: object) -> None:
    """A session that has ended already is what was wanted."""


def _ignore_report(_: SupervisorReport) -> None:
    """Nobody listens; the scheduler keeps the latest crashes anyway."""
