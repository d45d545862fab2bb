"""A node that answers as its script says and remembers what it was asked."""

from collections.abc import Sequence
from typing import Any

from exchange.account.commands import AccountCommand
from exchange.answers import Answer
from exchange.directory.commands import DirectoryCommand
from exchange.instrument import Instrument, MarketStatus


class ScriptedNode:
    """Gives the answers in order; asked too often it fails."""

    def __init__(
        self,
        *answers: Answer,
        markets: Sequence[tuple[Instrument, MarketStatus]] = (),
    ) -> None:
        self._answers = list(answers)
        self._markets = markets
        self.asked: list[DirectoryCommand | AccountCommand] = []

    async def directory(self, command: DirectoryCommand) -> Answer:
        return self._next(command)

    async def account(self, command: AccountCommand) -> Answer:
        return self._next(command)

    async def markets(self) -> Sequence[tuple[Instrument, MarketStatus]]:
        return self._markets

    async def snapshot(self) -> dict[str, Any]:
        return {"shards": [{"shard": "account/0", "seq": 12}]}

    def seal(self, key_id: str, secret: bytes) -> bytes:
        return key_id.encode() + secret[::-1]

    def _next(self, command: DirectoryCommand | AccountCommand) -> Answer:
        self.asked.append(command)
        return self._answers.pop(0)
