"""Calls that wait for an answer of the exchange, by request id.

No answer within a second: ask the account what became of the request, then again each second, and
at ten seconds say that the outcome is unknown. Answers may arrive twice or late: dropped.
"""

from collections import deque
from typing import Final

from actors.gateway.backend import Backend
from actors.gateway.calls import Call
from config.schema import GatewaySettings
from exchange.account.commands import ReadAccount, ReadKind
from exchange.answers import Answer, OutcomePending
from exchange.protocol.errors import DISCONNECTED, SERVER_BUSY, TIMEOUT, RequestError

MILLISECOND: Final = 1_000_000


class PendingCalls:
    """Bounded per connection and in total: beyond it, new requests are refused as overloaded."""

    def __init__(self, backend: Backend, settings: GatewaySettings, first_request_id: int) -> None:
        self._backend = backend
        self._per_port_max = settings.requests_pending_max
        self._total_max = settings.requests_pending_total_max
        self._ask_after_ns = settings.ask_outcome_after_ms * MILLISECOND
        self._timeout_ns = settings.answer_timeout_ms * MILLISECOND
        # A restarted gateway starts elsewhere, so answers to its former life find nothing here.
        self._next_id = first_request_id
        self._calls: dict[int, Call] = {}
        # In the order of their next check; answered ones stay until their turn comes, at most as
        # many as were started within a second.
        self._checks: deque[Call] = deque()
        self.late_answers = 0

    def __len__(self) -> int:
        return len(self._calls)

    def next_request_id(self, call: Call) -> int:
        """Return the id for a call's command. Raises RequestError when too many wait."""
        if call.port.pending >= self._per_port_max or len(self._calls) >= self._total_max:
            raise RequestError(SERVER_BUSY)
        self._next_id += 1
        return self._next_id

    def start(self, call: Call, request_id: int, favoured: bool) -> None:
        """Submit the call's command and wait. Raises RequestError: the exchange is overloaded."""
        assert call.command is not None
        if not self._backend.submit(call.shard, call.command, favoured):
            raise RequestError(SERVER_BUSY)
        call.request_id = request_id
        call.port.pending += 1
        call.after_ns = call.received_at_ns + self._ask_after_ns
        call.deadline_ns = call.received_at_ns + self._timeout_ns
        self._calls[request_id] = call
        self._checks.append(call)

    def answered(self, answer: Answer) -> Call | None:
        """Return the call that `answer` ends; None if it ends none (late, twice, or not yet)."""
        if type(answer) is OutcomePending:
            waiting = self._calls.get(answer.request_id)
            if waiting is not None:
                if not answer.is_known:
                    self._submit_again(waiting)
                elif not waiting.is_asked:
                    self._ask(waiting)  # the request came before: what became of it?
            return None
        call = self._calls.pop(answer.request_id, None)
        if call is None:
            self.late_answers += 1
            return None
        call.port.pending -= 1
        return call

    def on_tick(self, now_ns: int) -> None:
        checks = self._checks
        while checks and checks[0].after_ns <= now_ns:
            call = checks.popleft()
            if self._calls.get(call.request_id) is not call:
                continue
            if call.deadline_ns <= now_ns:
                del self._calls[call.request_id]
                call.port.pending -= 1
                is_read = type(call.command) is ReadAccount
                call.port.deliver(call, DISCONNECTED if is_read else TIMEOUT)
                continue
            self._ask(call)
            call.after_ns = now_ns + self._ask_after_ns
            checks.append(call)

    def ask_shard(self, shard: str) -> None:
        """The account shard was recovered: what it had not answered it may have forgotten."""
        for call in list(self._calls.values()):
            if call.shard == shard:
                self._ask(call)

    def ask_market(self, symbol: str) -> None:
        """The market was recovered: answers to what it had obeyed may be lost."""
        for call in list(self._calls.values()):
            if call.texts is not None and call.texts.symbol == symbol:
                self._ask(call)

    def forget_port(self, port: object) -> None:
        """Drop what a closed connection waited for; called seldom."""
        gone = [call for call in self._calls.values() if call.port is port]
        for call in gone:
            del self._calls[call.request_id]

    def _ask(self, call: Call) -> None:
        command = call.command
        call.is_asked = True
        if type(command) is ReadAccount:
            self._submit_again(call)
            return
        outcome = ReadAccount(
            call.account_id,
            ReadKind.OUTCOME,
            # With the market named, the account waits for what that market did before it answers.
            call.texts.symbol if call.texts is not None else "",
            0,
            "",
            call.identity,
            (),
            self._backend.host_name,
            call.request_id,
        )
        # A full queue is no reason to give up: the next check asks again.
        self._backend.submit(call.shard, outcome, True)

    def _submit_again(self, call: Call) -> None:
        """Send the very same command: its identity makes a second effect impossible."""
        assert call.command is not None
        self._backend.submit(call.shard, call.command, True)
