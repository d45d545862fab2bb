"""kill -9 under load: whatever was acknowledged is there, once, and every unit of money too."""

import asyncio
import signal
from pathlib import Path

from console.users import KeyChoice
from tests.integration.trading.conftest import known
from tests.integration.trading.live_node import LiveNode
from tests.integration.trading.load import Crowd
from tests.integration.trading.promises import check_promises
from tests.integration.trading.trader import tradable, trading
from tests.integration.trading.watchers import Watchers

MONEY = {"BTC": 100 * 10**8, "USDT": 10_000_000 * 10**8}
CHOICES = {
    "ann": KeyChoice.HMAC,
    "ben": KeyChoice.ED25519,
    "cat": KeyChoice.HMAC,
    "dan": KeyChoice.ED25519,
}
SOME = 150  # answers between two disasters


async def _crowd(node: LiveNode) -> Crowd:
    """Start the node with a market and traders who have money."""
    await asyncio.to_thread(node.start)
    keys = await node.traders(CHOICES, MONEY)
    for credentials in keys.values():
        async with trading(node.url, credentials) as trader:
            await known(trader)
            await tradable(trader)
    return Crowd(node, keys)


async def test_hosts_killed_in_turn_lose_and_repeat_nothing(tmp_path: Path) -> None:
    node = LiveNode(tmp_path)
    try:
        crowd = await _crowd(node)
        async with Watchers(node, crowd.players[0].credentials) as watchers, crowd:
            for name in (
                "accounts-1",
                "markets-1",
                "gateway-1",
                "projection",
                "markets-1",
                "accounts-1",
                "gateway-1",
            ):
                await crowd.more_answers(SOME)
                pid = node.signal_host(name, signal.SIGKILL)
                await node.restarted(name, pid)
            await crowd.more_answers(SOME)
        report = await check_promises(node, crowd, MONEY)
        assert report.trades > SOME
        assert all(player.record.lost >= 2 for player in crowd.players)  # both gateways' deaths
        watchers.check()
        assert len(watchers.market) >= 3
        assert len(watchers.user) >= 3
        # A connection may be cut before its first event; the streams themselves must have flowed.
        assert sum(bool(seen.trade_ids and seen.depths) for seen in watchers.market) >= 2
        assert await asyncio.to_thread(node.stop) == 0
    finally:
        node.close()


async def test_account_and_market_hosts_killed_together_lose_and_repeat_nothing(
    tmp_path: Path,
) -> None:
    node = LiveNode(tmp_path)
    try:
        crowd = await _crowd(node)
        async with crowd:
            for _ in range(2):
                await crowd.more_answers(SOME)
                names = ("accounts-1", "markets-1")
                pids = [node.signal_host(name, signal.SIGKILL) for name in names]
                for name, pid in zip(names, pids, strict=True):
                    await node.restarted(name, pid)
            await crowd.more_answers(SOME)
        await check_promises(node, crowd, MONEY)
    finally:
        node.close()


async def test_node_killed_as_a_whole_goes_on_where_it_was(tmp_path: Path) -> None:
    node = LiveNode(tmp_path)
    try:
        crowd = await _crowd(node)
        async with crowd:
            for _ in range(2):
                await crowd.more_answers(SOME)
                await asyncio.to_thread(node.kill_all)
                await asyncio.to_thread(node.start)
            await crowd.more_answers(SOME)
        await check_promises(node, crowd, MONEY)
        assert await asyncio.to_thread(node.stop) == 0
    finally:
        node.close()


async def test_hosts_that_hang_are_killed_and_come_back(tmp_path: Path) -> None:
    node = LiveNode(tmp_path, "[node]\nhang_deadline_ms = 1000\n")
    try:
        crowd = await _crowd(node)
        async with crowd:
            for name in ("accounts-1", "markets-1", "gateway-1"):
                await crowd.more_answers(SOME)
                pid = node.signal_host(name, signal.SIGSTOP)
                await node.restarted(name, pid)
            await crowd.more_answers(SOME)
        await check_promises(node, crowd, MONEY)
    finally:
        node.close()
