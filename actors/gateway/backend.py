"""What the gateway needs from the host it runs in. Tests pass a whole exchange in one thread."""

from typing import Protocol

from exchange.account.commands import AccountCommand
from exchange.directory.state import Directory
from storage.ports import ColdReader


class Backend(Protocol):
    """The host's side. Called from the loop thread only; nothing here blocks."""

    host_name: str  # what `reply_to` of commands names
    account_shards: int
    directory: Directory  # this host's replica

    @property
    def cold(self) -> ColdReader: ...

    def now_ns(self) -> int:
        """Return Unix time in ns."""

    def submit(self, shard: str, command: AccountCommand, favoured: bool) -> bool:
        """Queue a command for an account's shard; False: the queue is full, nothing was queued.

        Cancels and reads are `favoured`: they are taken when orders no longer are.
        """

    def subscribe_user(self, account_id: int, after: int) -> None:
        """Ask for an account's user events after number `after` (-1: from now on).

        Answered by Gateway.on_user_subscribed, then events follow.
        """

    def unsubscribe_user(self, account_id: int) -> None: ...

    def follow_market(self, symbol: str) -> None:
        """Ask for a market's full state and then every update. May be asked again after a gap."""

    def directory_lag_ns(self) -> int:
        """Return how long ago the replica was last known to be current."""
