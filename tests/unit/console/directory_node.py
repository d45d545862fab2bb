"""A node whose directory is the real one, and whose accounts take every deposit."""

from collections.abc import Sequence
from typing import Any

from exchange.account.commands import AccountCommand, Deposit, Withdraw
from exchange.answers import Answer, DirectoryDone, Refused, Transferred
from exchange.directory.commands import DirectoryCommand
from exchange.directory.decider import decide, evolve
from exchange.directory.events import UserCreated
from exchange.directory.state import Directory
from exchange.instrument import Instrument, MarketStatus
from exchange.reject import RejectReason


class DirectoryNode:
    """NodePort over a directory in memory."""

    def __init__(self) -> None:
        self.kept = Directory()
        self.balances: dict[tuple[int, str], int] = {}

    async def directory(self, command: DirectoryCommand) -> Answer:
        events, reason = decide(self.kept, command)
        if reason is not RejectReason.NONE:
            return Refused(command.request_id, reason)
        for event in events:
            evolve(self.kept, event)
        created = events[0].account_id if isinstance(events[0], UserCreated) else 0
        return DirectoryDone(command.request_id, created)

    async def account(self, command: AccountCommand) -> Answer:
        assert isinstance(command, (Deposit, Withdraw))
        if not self.kept.has_asset(command.asset):
            return Refused(command.request_id, RejectReason.UNKNOWN_ASSET)
        key = (command.account_id, command.asset)
        sign = 1 if isinstance(command, Deposit) else -1
        self.balances[key] = self.balances.get(key, 0) + sign * command.amount
        return Transferred(command.request_id, command.asset, self.balances[key], 0, 0)

    async def markets(self) -> Sequence[tuple[Instrument, MarketStatus]]:
        instruments = self.kept.instruments
        return [(instruments[s], self.kept.status(s)) for s in sorted(instruments)]

    async def snapshot(self) -> dict[str, Any]:
        return {"shards": [{"shard": "directory/0", "seq": 1}]}

    def seal(self, key_id: str, secret: bytes) -> bytes:
        return key_id.encode() + secret
