"""The shards of the simulation: the real ones, with poison that their processes choke on."""

from typing import Any

from actors.account_shard import AccountProcess, AccountShard
from actors.directory_shard import DirectoryShard
from actors.market_shard import MarketProcess, MarketShard
from actors.shard import Shard
from exchange.market.events import TradeExecuted


class PoisonError(Exception):
    """What a bug in a decider would raise."""


def client_order_id_of(item: Any) -> str:
    for name in ("place", "order"):
        item = getattr(item, name, item)
    found: str = getattr(item, "client_order_id", "")
    return found


class ChokingAccount(AccountProcess):
    """Fails always on "poison-a", and once in a while ("hiccup-a") on its first try."""

    shard: "SimulatedAccountShard"

    def handle(self, message: Any) -> None:
        if not message[2]:
            name = client_order_id_of(message[1])
            if name.startswith("poison-a") or self.shard.is_hiccup(name, "hiccup-a"):
                self.shard.before_change(self.account)
                self.account.balances.clear()  # half changed: nothing of it may survive
                raise PoisonError(name)
        elif self.is_hard_to_settle(message[1]):
            self.shard.before_change(self.account)
            self.account.balances.clear()
            raise PoisonError(message[3])
        super().handle(message)

    def is_hard_to_settle(self, event: Any) -> bool:
        """Once in a while a fill fails on its first try."""
        every = self.shard.settings.hiccup_trades_every
        if type(event) is not TradeExecuted or not every or event.trade_id % every:
            return False
        name = f"settle-{self.account.account_id}-{event.symbol}-{event.trade_id}"
        return self.shard.is_hiccup(name, "settle")


class ChokingMarket(MarketProcess):
    """Fails always on "poison-m", on "hiccup-m" once."""

    shard: "SimulatedMarketShard"

    def handle(self, message: Any) -> None:
        name = client_order_id_of(message[1])
        if name.startswith("poison-m") or self.shard.is_hiccup(name, "hiccup-m"):
            self.market.accounts.clear()
            raise PoisonError(name)
        super().handle(message)


class HiccupMixin:
    """Remembers what already failed once."""

    hiccuped: dict[str, None]
    settings: "SimulatedShards"

    def is_hiccup(self, name: str, prefix: str) -> bool:
        if name.startswith(prefix) and name not in self.hiccuped:
            self.hiccuped[name] = None
            return True
        return False


class SimulatedAccountShard(HiccupMixin, AccountShard):
    def behaviour_of(self, entity: int) -> AccountProcess:
        process = super().behaviour_of(entity)
        return ChokingAccount(self, process.account)


class SimulatedMarketShard(HiccupMixin, MarketShard):
    def behaviour_of(self, entity: int) -> MarketProcess:
        return ChokingMarket(self, self.market)


class SimulatedShards:
    """Makes shards; planted bugs replace its classes."""

    account_shard: type[SimulatedAccountShard] = SimulatedAccountShard
    market_shard: type[SimulatedMarketShard] = SimulatedMarketShard

    def __init__(self) -> None:
        self.hiccup_trades_every = 0  # 0: no fill fails
        self._hiccuped: dict[str, None] = {}

    def new(self, shard_id: str, core: Any, context: Any, account_shards: int) -> Shard:
        kind = shard_id.partition("/")[0]
        if kind == "directory":
            return DirectoryShard(shard_id, core)
        shard: SimulatedAccountShard | SimulatedMarketShard
        if kind == "account":
            shard = self.account_shard(shard_id, core, context, account_shards)
        else:
            shard = self.market_shard(shard_id, core, account_shards)
        shard.hiccuped = self._hiccuped
        shard.settings = self
        return shard

    def heal(self) -> None:
        """Planted bugs may stop misbehaving here."""
