"""What the commands need of a running node, and how one command is carried out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from console import exit_codes
from exchange.account.commands import AccountCommand
from exchange.answers import Answer, Refused
from exchange.directory.commands import DirectoryCommand
from exchange.instrument import Instrument, MarketStatus

NOBODY = ""  # `reply_to` of commands built here: the node client puts its own host there
NO_REQUEST = 0  # and its own request id


class NodePort(Protocol):
    """A connection to a node, for operators. Every method raises one of connection.UNREACHABLE
    when no answer comes in time; what was asked may then have been done."""

    async def directory(self, command: DirectoryCommand) -> Answer:
        """Have the directory obey `command`: DirectoryDone or Refused, once it is durable."""

    async def account(self, command: AccountCommand) -> Answer:
        """Have an account obey `command`; the answer, once it is durable."""

    async def markets(self) -> Sequence[tuple[Instrument, MarketStatus]]:
        """Return all markets, by symbol."""

    async def snapshot(self) -> dict[str, Any]:
        """Have every shard write a snapshot; return {"shards": [{"shard": ..., "seq": ...}]}."""

    def seal(self, key_id: str, secret: bytes) -> bytes:
        """Encrypt the HMAC secret of a key under the cluster's secret, as the directory keeps it
        (SecretVault in actors/secrets.py)."""


class Outcome(msgspec.Struct, frozen=True):
    """What a command came to: facts to print, and rows where there is a list."""

    facts: dict[str, Any]
    rows: list[dict[str, Any]] | None = None
    code: int = exit_codes.OK


Ask = Callable[[NodePort], Awaitable[Outcome]]


def refused(answer: Refused) -> Outcome:
    """Return the outcome of a command that the node refused."""
    reason = answer.reason
    return Outcome(
        {"refused": reason.name.lower(), "reason_code": reason.value}, code=exit_codes.REFUSED
    )


def unexpected(answer: Answer) -> Outcome:
    """Return the outcome of an answer that does not fit the question: node and console differ."""
    return Outcome({"unexpected_answer": type(answer).__name__}, code=exit_codes.UNREACHABLE)


def unreachable(error: Exception) -> Outcome:
    """Return the outcome of a question that no node answered."""
    return Outcome({"unreachable": str(error)}, code=exit_codes.UNREACHABLE)


def ask(data_dir: Path, question: Ask) -> Outcome:
    """Connect to the node that runs on `data_dir`, put the question and return its outcome."""
    from console import connection  # here, so that --help does not load a whole node

    async def put() -> Outcome:
        async with connection.connect_node(data_dir) as node:
            return await question(node)

    try:
        return asyncio.run(put())
    except connection.UNREACHABLE as error:
        return unreachable(error)
