"""The shard of a bucket of accounts: one process an account, and the shard's ledger."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from actors import wire
from actors.batch import encode
from actors.reads import WaitingReads
from actors.shard import Shard
from actors.user_feeds import UserFeeds
from exchange.account import snapshot
from exchange.account.answers import answer
from exchange.account.commands import AccountCommand, ReadAccount
from exchange.account.decider import TradingContext, decide, evolve
from exchange.account.events import (
    AccountFrozen,
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
    RequestRefused,
)
from exchange.account.ledger import ShardLedger
from exchange.account.state import Account
from exchange.answers import Refused
from exchange.faults import CommandQuarantined
from exchange.ids import market_shard
from exchange.market.events import TradeExecuted
from exchange.reject import RejectReason
from storage.codec import decode_account_entry
from supervision.process import Behaviour

ENCODED_AT_ONCE_MAX = 32  # requests and closed orders of an account: some microseconds
RESUME_WINDOW_EVENTS = 20_000  # of the stream's end: from these they are rebuilt in recovery

SUSPENDED_COMMANDS_MAX = 1_000  # waiting for an account that is being rebuilt; beyond: overloaded

decode_command = msgspec.msgpack.Decoder(AccountCommand).decode

# The symbol of events that are messages to a market.
_TO_MARKET: dict[type[Any], Any] = {
    OrderSubmitted: lambda event: event.symbol,
    ReplaceSubmitted: lambda event: event.order.symbol,
    CancelRequested: lambda event: event.symbol,
    CancelAllRequested: lambda event: event.symbol,
    AmendRequested: lambda event: event.symbol,
}


class AccountProcess(Behaviour):
    """One account. It decides and evolves; its shard journals and sends."""

    def __init__(self, shard: "AccountShard", account: Account) -> None:
        self.shard = shard
        self.account = account

    def handle(self, message: Any) -> None:
        """Take (raw, decoded, source, number); source "" says that it is a command."""
        raw, item, source, number = message
        shard, account = self.shard, self.account
        shard.before_change(account)
        if source:
            evolve(account, item)
            shard.consumed(account, item, raw, source, number)
            return
        events = decide(account, item, shard.context)
        for event in events:
            evolve(account, event)
        for event in events:
            shard.decided(account, event)
        reply = answer(account, item, events, shard.shard_id, shard.position)
        if reply is not None:
            shard.answer(reply_to_of(item), reply)


def reply_to_of(command: Any) -> str:
    """Return the host that waits for the answer to `command`."""
    reply_to: str = command.place.reply_to if hasattr(command, "place") else command.reply_to
    return reply_to


class AccountShard(Shard):
    """Accounts whose number falls into this bucket."""

    message_decoders: ClassVar = {"market": decode_account_entry}

    def __init__(self, shard_id: str, host: Any, context: TradingContext, shards: int) -> None:
        super().__init__(shard_id, host)
        self.context = context
        self.ledger = ShardLedger()
        self.accounts: dict[int, Account] = {}
        self.reads = WaitingReads(self)
        self._bucket = int(shard_id.partition("/")[2])
        self._shards = shards
        self.feeds = UserFeeds(self)
        self._resume_from_seq = 0
        self._uncopied: dict[int, Account] | None = None  # what a running snapshot has yet to copy
        # Account -> as it was when the snapshot began, encoded or to be encoded.
        self._copied: dict[int, bytes | list[bytes]] = {}
        self._captured: dict[int, snapshot.Capture] = {}
        self._copied_ledger = b""

    # ---------------------------------------------------------------- recovery

    def restore(self, payload: bytes) -> None:
        self.ledger, accounts = snapshot.decode_shard(payload)
        self.accounts = {account.account_id: account for account in accounts}

    def resume_window(self, head_seq: int) -> None:
        """From near the end of the stream the replay keeps user events for gateways that resume."""
        self._resume_from_seq = head_seq - RESUME_WINDOW_EVENTS

    def replay_entry(self, entity: int, raw: Raw) -> tuple[str, ...]:
        event = decode_account_entry(raw)
        account = self.accounts.get(entity)
        if account is None:
            account = self.accounts[entity] = Account(entity)
        if isinstance(event, CommandQuarantined):
            return ()
        evolve(account, event)
        self.ledger.apply(entity, event)
        if self.seq >= self._resume_from_seq:
            self.feeds.replayed(account, event)
        account.just_closed = None
        symbol_of = _TO_MARKET.get(type(event))
        return (market_shard(symbol_of(event)),) if symbol_of is not None else ()

    def targets_of_entry(self, raw: Raw) -> tuple[str, ...]:
        event = decode_account_entry(raw)
        symbol_of = _TO_MARKET.get(type(event))
        return (market_shard(symbol_of(event)),) if symbol_of is not None else ()

    def started(self) -> None:
        for account_id in self.accounts:
            self.start_entity(account_id)

    def behaviour_of(self, entity: int) -> AccountProcess:
        account = self.accounts.get(entity)
        if account is None:
            account = self.accounts[entity] = Account(entity)
        return AccountProcess(self, account)

    def adopt(self, entity: int, twin: "AccountShard") -> None:
        self.accounts[entity] = twin.accounts.get(entity) or Account(entity)

    # ---------------------------------------------------------------- intake

    def entities_of(self, message: Any) -> tuple[int, ...]:
        """Return the accounts here that `message` concerns."""
        if type(message) is TradeExecuted:
            taker, maker = message.taker_account_id, message.maker_account_id
            if taker == maker:
                return (taker,)
            parties = (taker, maker)
            return tuple(party for party in parties if party % self._shards == self._bucket)
        return (message.account_id,)

    def deliver(self, entities: Iterable[int], item: Any) -> None:
        for account_id in entities:
            self.send(account_id, item)

    def deliver_command(self, raw: Raw) -> None:
        command = decode_command(raw)
        if type(command) is ReadAccount:
            self.reads.ask(raw, command)
            return
        request = command.place if hasattr(command, "place") else command
        account_id = request.account_id
        if account_id in self.suspended and self._is_full(account_id):
            self.answer(request.reply_to, Refused(request.request_id, RejectReason.OVERLOADED))
            return
        self.send(account_id, (raw, command, "", 0))

    def _is_full(self, account_id: int) -> bool:
        statistics = self.host.scheduler.statistics(self.entities[account_id])
        return bool(statistics.mailbox_len >= SUSPENDED_COMMANDS_MAX)

    def send(self, account_id: int, item: Any) -> None:
        pid = self.entities.get(account_id)
        if pid is None:
            pid = self.start_entity(account_id)
        self.host.scheduler.send(pid, item)

    def on_item(self, item: Any, sender: str) -> None:
        if type(item) is wire.Synced:
            self.reads.synced(item)
        elif type(item) is wire.SubscribeUser:
            self.feeds.subscribe(item.account_id, sender, item.after)
        elif type(item) is wire.UnsubscribeUser:
            self.feeds.unsubscribe(item.account_id, sender)
        else:
            super().on_item(item, sender)

    def after_turn(self) -> None:
        self.reads.serve()
        self.feeds.after_turn()

    # ---------------------------------------------------------------- what processes do

    def decided(self, account: Account, event: Any) -> None:
        """The account decided `event`, which is folded in."""
        raw = Raw(encode(event))
        account_id = account.account_id
        self.ledger.apply(account_id, event)  # may refuse it: then it must not be in the batch
        self.emit(account_id, raw)
        symbol_of = _TO_MARKET.get(type(event))
        if symbol_of is not None:
            self.emit_to(market_shard(symbol_of(event)), raw)
        if account_id in self.feeds.gateways:
            self.feeds.report(account, event)

    def consumed(self, account: Account, event: Any, raw: Raw, source: str, number: int) -> None:
        """A market's message was folded in."""
        account_id = account.account_id
        self.ledger.apply(account_id, event)  # may refuse it: then it must not be in the batch
        self.emit(account_id, raw)
        if self.holes:
            self.close_hole(source, number, account_id)
        if account_id in self.feeds.gateways:
            self.feeds.report(account, event)
        account.just_closed = None  # reported: an account that stays idle need not keep it

    def forget_peer(self, peer: str) -> None:
        self.feeds.forget_peer(peer)

    # ---------------------------------------------------------------- faults

    def quarantine(self, entity: int, message: Any, error: str) -> None:
        """Do not run `message`: refuse a command, freeze the account whose settlement failed."""
        raw, item, source, number = message
        account = self.accounts[entity]
        now_ns = self.host.clock_ns()
        fault = CommandQuarantined(entity, source, number, bytes(raw), error, now_ns)
        self.emit(entity, Raw(encode(fault)))
        if source:
            event: Any = AccountFrozen(entity, now_ns)
            self.close_hole(source, number, entity)
        else:
            request = item.place if hasattr(item, "place") else item
            event = RequestRefused(
                entity, RejectReason.QUARANTINED, request.received_at_ns, request.identity
            )
            self.answer(request.reply_to, Refused(request.request_id, RejectReason.QUARANTINED))
        evolve(account, event)
        self.decided(account, event)

    # ---------------------------------------------------------------- snapshots

    def before_change(self, account: Account) -> None:
        """A running snapshot must copy the account as it was. All busy ones may do so at once."""
        uncopied = self._uncopied
        if uncopied is not None and uncopied.pop(account.account_id, None) is not None:
            self._copy(account)

    def _copy(self, account: Account) -> None:
        if len(account.identities) + len(account.closed) > ENCODED_AT_ONCE_MAX:
            self._captured[account.account_id] = snapshot.Capture(account)
        else:
            self._copied[account.account_id] = snapshot.encode(account)

    def begin_snapshot(self) -> None:
        """Start copying the state as it is now, between two batches."""
        for capture in self._captured.values():
            capture.drop()
        self._captured = {}
        self._copied = {}
        self._copied_ledger = snapshot.encode_ledger(self.ledger)
        self._uncopied = dict(self.accounts)

    def copy_some(self, monotonic_ns: Callable[[], int], until_ns: int) -> list[bytes] | None:
        """Copy more accounts; return the pieces of the payload when it is complete."""
        uncopied = self._uncopied
        assert uncopied is not None
        copied, captured = self._copied, self._captured
        while captured or uncopied:
            if captured:  # first: they keep what their accounts forget
                account_id = next(iter(captured))
                pieces = captured[account_id].advance()
                if pieces is not None:
                    copied[account_id] = pieces
                    del captured[account_id]
            else:
                self._copy(uncopied.popitem()[1])
            if monotonic_ns() >= until_ns:
                break
        if captured or uncopied:
            return None
        self._uncopied = None
        self._copied = {}
        return snapshot.shard_pieces(self._copied_ledger, copied)
