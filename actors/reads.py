"""Reads of an account shard: they wait until what they ask about has arrived.

A read carries the numbers of market messages that its session has seen the effects of (`after`);
reads of orders additionally ask the market for its last number to this shard (`Sync`), behind all
that this shard has sent there. When the shard has applied those numbers, the account answers.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from actors import wire
from exchange.account.commands import ReadAccount, ReadKind
from exchange.answers import Refused
from exchange.ids import market_shard
from exchange.reject import RejectReason

if TYPE_CHECKING:
    from actors.account_shard import AccountShard

READ_TIMEOUT_NS = 2_000_000_000  # of reads that sync; a market may be recovering
AFTER_TIMEOUT_NS = 500_000_000  # of reads that only wait for numbers that are on their way
READS_WAITING_MAX = 10_000  # beyond: refused as overloaded
SYNC_NUMBERS = 1 << 32  # then they begin again; above them stands the epoch


class WaitingRead:
    """One read and what it needs."""

    __slots__ = ("command", "deadline_ns", "is_asked", "needs", "raw")

    def __init__(self, raw: Raw, command: ReadAccount, deadline_ns: int) -> None:
        self.raw = raw
        self.command = command
        self.deadline_ns = deadline_ns
        self.is_asked = False  # whether the markets were asked for their numbers
        self.needs: dict[str, int | None] = {}  # market shard -> number; None: not told yet

    def is_satisfied(self, applied: Callable[[str], int]) -> bool:
        return self.is_asked and all(
            number is not None and applied(source) >= number
            for source, number in self.needs.items()
        )


class WaitingReads:
    """All reads of one shard that wait, by the number of their sync."""

    def __init__(self, shard: "AccountShard") -> None:
        self._shard = shard
        self._waiting: dict[int, WaitingRead] = {}
        self.asked = 0  # reads that had to wait, since the shard was recovered

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, raw: Raw, command: ReadAccount) -> None:
        """Take a read: deliver it now or when it may be answered, or refuse it."""
        shard = self._shard
        syncs = self._markets_to_sync(command)
        if not syncs and not command.after:
            self._deliver(raw, command)
            return
        if len(self._waiting) >= READS_WAITING_MAX:
            self._refuse(command, RejectReason.OVERLOADED)
            return
        timeout_ns = READ_TIMEOUT_NS if syncs else AFTER_TIMEOUT_NS
        read = WaitingRead(raw, command, shard.host.monotonic_ns() + timeout_ns)
        self.asked += 1
        self._waiting[self.asked % SYNC_NUMBERS] = read
        for source, number in command.after:
            read.needs[source] = number
        for market in syncs:
            read.needs[market] = None

    def _ask_markets(self, sync_id: int, read: WaitingRead) -> None:
        """Ask for the numbers, once what came before the read is on its way to the markets."""
        shard = self._shard
        read.is_asked = True
        for market, number in read.needs.items():
            if number is None:
                lane = shard.lanes.get(market)
                sent = lane.last if lane is not None else 0
                # The epoch tells our number from those of this shard before it was recovered.
                item = wire.Sync(shard.shard_id, market, sent, shard.epoch * SYNC_NUMBERS + sync_id)
                shard.host.send_to_shard(market, item)

    def synced(self, item: wire.Synced) -> None:
        """A market told the number of its last message to this shard."""
        epoch, sync_id = divmod(item.sync_id, SYNC_NUMBERS)
        read = self._waiting.get(sync_id) if epoch == self._shard.epoch else None
        if read is not None and item.source in read.needs:
            known = dict(read.command.after).get(item.source, 0)
            read.needs[item.source] = max(item.number, known)

    def serve(self) -> None:
        """Deliver what has what it needs, refuse what waited too long."""
        if not self._waiting:
            return
        now_ns = self._shard.host.monotonic_ns()
        for sync_id, read in list(self._waiting.items()):
            # A suspended account still has commands in its mailbox that the read comes after.
            if not read.is_asked and read.command.account_id not in self._shard.suspended:
                self._ask_markets(sync_id, read)
            if read.is_satisfied(self._shard.applied):
                del self._waiting[sync_id]
                self._deliver(read.raw, read.command)
                self._shard.host.wants_turn = True
            elif now_ns >= read.deadline_ns:
                del self._waiting[sync_id]
                self._refuse(read.command, RejectReason.READ_TIMEOUT)

    def _markets_to_sync(self, command: ReadAccount) -> list[str]:
        if command.kind is ReadKind.BALANCES:
            return []
        if command.symbol:
            return [market_shard(command.symbol)]
        account = self._shard.accounts.get(command.account_id)
        if account is None:
            return []
        return sorted({market_shard(order.symbol) for order in account.orders.values()})

    def _deliver(self, raw: Raw, command: ReadAccount) -> None:
        self._shard.send(command.account_id, (raw, command, "", 0))

    def _refuse(self, command: Any, reason: RejectReason) -> None:
        self._shard.answer(command.reply_to, Refused(command.request_id, reason))
