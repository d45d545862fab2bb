"""Which host of the node owns which shard: the same answer in every process."""

from collections.abc import Sequence
from pathlib import Path

from config.schema import NodeConfig
from exchange.ids import DIRECTORY_SHARD, account_shard
from storage.sqlite.control import ControlFile
from supervision.placement import place


class NodePlacement:
    """Shards on the hosts of one node: accounts and the directory on account hosts, markets on
    market hosts. With several nodes the leader's assignment takes its place."""

    def __init__(self, account_hosts: Sequence[str], market_hosts: Sequence[str]) -> None:
        self.account_hosts = tuple(account_hosts)
        self.market_hosts = tuple(market_hosts)
        self._hosts: dict[str, str] = {}

    def host_of(self, shard: str) -> str:
        host = self._hosts.get(shard)
        if host is None:
            is_market = shard.startswith("market/")
            hosts = self.market_hosts if is_market else self.account_hosts
            host = self._hosts[shard] = self.assign(shard, hosts)
        return host

    def assign(self, shard: str, hosts: Sequence[str]) -> str:
        return place(shard, hosts)

    def shards_of(self, host: str, account_shards: int) -> list[str]:
        """Return the shards `host` must always run; markets are added as the directory names
        them."""
        always = [
            DIRECTORY_SHARD,
            *(account_shard(n, account_shards) for n in range(account_shards)),
        ]
        return [shard for shard in always if self.host_of(shard) == host]


class StoredPlacement(NodePlacement):
    """Placement that stays when hosts are added: a shard's stream lies where it was begun."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(
            [f"accounts-{n}" for n in range(1, config.hosts.account_hosts + 1)],
            [f"markets-{n}" for n in range(1, config.hosts.market_hosts + 1)],
        )
        self._control = control_file(config)

    def assign(self, shard: str, hosts: Sequence[str]) -> str:
        return self._control.place([shard], hosts)[shard]


def control_file(config: NodeConfig) -> ControlFile:
    return ControlFile(Path(config.node.data_dir) / "control.db")


def check_layout(config: NodeConfig) -> None:
    """Refuse to start with other shards or fewer hosts than the data directory was made with.

    Raises:
        StoreUnusableError: in one sentence, for the operator.
    """
    control = control_file(config)
    control.identity(config.hosts.account_shards)
    placement = StoredPlacement(config)
    control.require_slots([*placement.account_hosts, *placement.market_hosts])
