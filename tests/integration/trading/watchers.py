"""Those who only look on while hosts die: what streams promise holds from connection to connection.

A watcher that is cut off connects again; a gap is allowed between two connections, never within.
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from benchmarks.client import Credentials
from tests.integration.trading.live_node import LiveNode
from tests.integration.trading.trader import SYMBOL, Json, LostError, Trader, following, trading

NAMES = (f"{SYMBOL.lower()}@trade", f"{SYMBOL.lower()}@depth@100ms")


@dataclass
class Seen:
    """What one connection was told."""

    trade_ids: list[int] = field(default_factory=list)
    depths: list[tuple[int, int]] = field(default_factory=list)  # (U, u)
    fills: list[tuple[int, int]] = field(default_factory=list)  # (order id, trade id)
    is_terminated: bool = False


class Watchers:
    """One connection to the market's streams, one to the user events of a trader."""

    def __init__(self, node: LiveNode, credentials: Credentials) -> None:
        self.market: list[Seen] = []
        self.user: list[Seen] = []
        self._node = node
        self._credentials = credentials
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Watchers":
        self._tasks = [
            asyncio.create_task(self._watch_market()),
            asyncio.create_task(self._watch_user()),
        ]
        return self

    async def __aexit__(self, *_: Any) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError) and outcome is not None:
                raise outcome

    def check(self) -> None:
        """Fail unless every connection saw each thing once, in order, and without a gap."""
        for seen in self.market:
            first = seen.trade_ids[:1]
            expected = list(range(first[0], first[0] + len(seen.trade_ids))) if first else []
            assert seen.trade_ids == expected
            for (_, last), (following_first, following_last) in zip(
                seen.depths, seen.depths[1:], strict=False
            ):
                assert following_first == last + 1, seen.depths
                assert following_last >= following_first
        ends = [seen.depths[-1][1] for seen in self.market if seen.depths]
        assert ends == sorted(ends)
        for seen in self.user:
            assert len(set(seen.fills)) == len(seen.fills), "a fill was told twice"

    async def _watch_market(self) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException):
                async with connect(
                    f"{self._node.url}/stream?streams={'/'.join(NAMES)}", ping_interval=None
                ) as socket:
                    self.market.append(Seen())
                    while True:
                        self._note(self.market[-1], json.loads(await socket.recv())["data"])
            await asyncio.sleep(0.02)

    def _note(self, seen: Seen, event: Json) -> None:
        if event["e"] == "trade":
            seen.trade_ids.append(event["t"])
        elif event["e"] == "depthUpdate":
            seen.depths.append((event["U"], event["u"]))

    async def _watch_user(self) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException, LostError):
                async with trading(self._node.url, self._credentials) as trader:
                    await following(trader)
                    response = await trader.response(
                        "userDataStream.subscribe.signature", trader.signed()
                    )
                    if response["status"] == 200:
                        await self._follow(trader)
            await asyncio.sleep(0.02)

    async def _follow(self, trader: Trader) -> None:
        """Note user events until the stream ends, which a new subscription follows."""
        seen = Seen()
        self.user.append(seen)
        done = 0
        while trader.is_open and not seen.is_terminated:
            for event in trader.events[done:]:
                if event["e"] in ("eventStreamTerminated", "serverShutdown"):
                    seen.is_terminated = True
                elif event["e"] == "executionReport" and event["x"] == "TRADE":
                    seen.fills.append((event["i"], event["t"]))
            done = len(trader.events)
            await asyncio.sleep(0.02)
