"""Which host of the node owns which shard. Pure and the same in every host."""

from collections.abc import Sequence

from config.schema import NodeConfig
from exchange.ids import DIRECTORY_SHARD, account_shard
from supervision.placement import place


class NodePlacement:
    """Shards on the hosts of one node: accounts and the directory on account hosts, markets on
    market hosts. With several nodes the leader's assignment takes its place."""

    def __init__(self, account_hosts: Sequence[str], market_hosts: Sequence[str]) -> None:
        self.account_hosts = tuple(account_hosts)
        self.market_hosts = tuple(market_hosts)
        self._hosts: dict[str, str] = {DIRECTORY_SHARD: self.account_hosts[0]}

    @classmethod
    def of(cls, config: NodeConfig) -> "NodePlacement":
        return cls(
            [f"accounts-{n}" for n in range(1, config.hosts.account_hosts + 1)],
            [f"markets-{n}" for n in range(1, config.hosts.market_hosts + 1)],
        )

    def host_of(self, shard: str) -> str:
        host = self._hosts.get(shard)
        if host is None:
            hosts = self.account_hosts if shard.startswith("account/") else self.market_hosts
            host = self._hosts[shard] = place(shard, hosts)
        return host

    def shards_of(self, host: str, account_shards: int) -> list[str]:
        """Return the shards `host` must always run; markets are added as the directory names them."""
        always = [
            DIRECTORY_SHARD,
            *(account_shard(n, account_shards) for n in range(account_shards)),
        ]
        return [shard for shard in always if self.host_of(shard) == host]
