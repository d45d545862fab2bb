"""One node for all tests that only trade on it, and two traders for each of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from benchmarks.client import Credentials
from console.users import KeyChoice
from tests.integration.trading.live_node import LiveNode, until
from tests.integration.trading.trader import SYMBOL, Trader, tradable, trading

MONEY = {"BTC": 10 * 10**8, "USDT": 1_000_000 * 10**8}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Pair:
    """Two traders with 10 BTC and 1000000 USDT each and their user events live.

    Alice signs each request with HMAC; Bob has logged on with Ed25519.
    """

    node: LiveNode
    alice: Trader
    bob: Trader
    alice_key: Credentials
    bob_key: Credentials


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveNode]:
    node = LiveNode(tmp_path_factory.mktemp("node"))
    node.start()
    try:
        asyncio.run(_open_market(node))
        yield node
    finally:
        node.close()


async def _open_market(node: LiveNode) -> None:
    keys = await node.traders({"first": KeyChoice.HMAC}, MONEY)
    async with trading(node.url, keys["first"]) as trader:
        await tradable(trader)


@pytest.fixture
async def pair(node: LiveNode) -> AsyncIterator[Pair]:
    number = next(_numbers)
    names = {f"alice-{number}": KeyChoice.HMAC, f"bob-{number}": KeyChoice.ED25519}
    alice_key, bob_key = (await node.traders(names, MONEY)).values()
    async with trading(node.url, alice_key) as alice, trading(node.url, bob_key) as bob:
        await known(alice)
        await known(bob)
        await bob.call("session.logon")
        await alice.call("userDataStream.subscribe.signature")
        await bob.plain("userDataStream.subscribe")
        try:
            yield Pair(node, alice, bob, alice_key, bob_key)
        finally:
            for trader in (alice, bob):
                if await trader.call("openOrders.status"):
                    await trader.call("openOrders.cancelAll", symbol=SYMBOL)


async def known(trader: Trader) -> None:
    """Return when the key of `trader` has reached the gateway."""
    statuses: list[int] = []

    async def ask() -> None:
        while 200 not in statuses:
            response = await trader.response("account.status", trader.signed())
            statuses.append(response["status"])
            await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    await until(lambda: 200 in statuses, "the key is known")
    await asking
