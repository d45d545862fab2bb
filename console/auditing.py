"""Read the streams of a data directory, whether its node runs or not, and audit the money."""

import asyncio
from pathlib import Path
from typing import Final

from actors.audit import AuditUnreadableError, EntityDownError, audit_streams
from actors.client import published_config
from config.schema import NodeConfig
from exchange.audit import AuditReport
from storage.factory import open_hot_reader
from storage.ports import HotReader

__all__ = ["AuditUnreadableError", "audit_data_dir"]

TRIES: Final = 10  # an entity that is being rebuilt is done in milliseconds
PAUSE_S: Final = 0.2


async def audit_data_dir(data_dir: Path) -> AuditReport:
    """Fold all streams of `data_dir` and check them.

    Raises:
        NodeUnreachableError (actors.client): no node has ever been started there.
        AuditUnreadableError: no journals, or messages of a market are neither in its stream nor
            applied, or a process that crashed stays down.
        StoreError: a store cannot be read.
    """
    config = published_config(data_dir)
    readers = _open_readers(config)
    if not readers:
        raise AuditUnreadableError(f"there are no journals in {data_dir}")
    try:
        for _ in range(TRIES - 1):
            try:
                return await audit_streams(readers, config.hosts.account_shards)
            except EntityDownError:
                await asyncio.sleep(PAUSE_S)
        return await audit_streams(readers, config.hosts.account_shards)
    finally:
        for reader in readers:
            await reader.close()


def _open_readers(config: NodeConfig) -> list[HotReader]:
    """Open the files of all hosts that own shards; one that has none yet has no file."""
    hosts = [f"accounts-{n}" for n in range(1, config.hosts.account_hosts + 1)]
    hosts += [f"markets-{n}" for n in range(1, config.hosts.market_hosts + 1)]
    urls = [config.hot_url(host) for host in hosts]
    return [open_hot_reader(url) for url in urls if Path(url.partition(":")[2]).exists()]
