"""Traders that never give up: what was not answered is sent again, the same to the last byte.

Every answer is kept, so that afterwards it can be asked whether the exchange kept its word.
"""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.client import Credentials, Signer
from tests.integration.trading.live_node import TIMEOUT_S, LiveNode, until
from tests.integration.trading.trader import (
    SYMBOL,
    Json,
    LostError,
    Trader,
    limit_order,
    signed,
    trading,
)

LANES = 2  # of one trader: each has a connection and one request on its way
OPEN_MAX = 30  # orders of a lane; beyond, it cancels
# Not done, or not known whether done: the same request again gets the one true answer.
AGAIN = frozenset({-1000, -1001, -1006, -1007, -1008})
REFUSALS = frozenset({-2010, -2011, -1021})  # answers that a trader can get for good
PATIENCE_S = 40.0  # for one answer, over all tries


@dataclass
class Record:
    """What a trader was told."""

    placed: dict[int, Json] = field(default_factory=dict)  # answers by order id
    canceled: dict[int, Json] = field(default_factory=dict)
    refused: list[Json] = field(default_factory=list)
    lost: int = 0  # connections
    repeated: int = 0  # requests sent again on answers of AGAIN


class Player:
    """One trader with several connections, in a closed loop."""

    def __init__(self, node: LiveNode, name: str, credentials: Credentials, seed: int) -> None:
        self.name = name
        self.credentials = credentials
        self.record = Record()
        self.answers = 0
        self._url = node.url
        self._seed = seed
        self._numbers = 0

    async def play(self, stop: asyncio.Event) -> None:
        """Trade until told to stop and everything sent is answered."""
        async with asyncio.TaskGroup() as lanes:
            for lane in range(LANES):
                lanes.create_task(self._lane(random.Random(f"{self._seed}-{lane}"), stop))

    async def _lane(self, chance: random.Random, stop: asyncio.Event) -> None:
        signer = Signer(self.credentials)
        connections = _Connections(self._url, self.credentials, self.record)
        open_ids: list[int] = []
        async with connections:
            while not stop.is_set():
                if len(open_ids) > OPEN_MAX or (open_ids and chance.random() < 0.25):
                    order_id = open_ids.pop(chance.randrange(len(open_ids)))
                    params = {"symbol": SYMBOL, "orderId": order_id}
                    method = "order.cancel"
                else:
                    params = self._order(chance)
                    method = "order.place"
                request = signed(signer, {**params, "recvWindow": 60_000})
                response = await connections.answer(method, request)
                self.answers += 1
                self._keep(method, response, open_ids)

    def _order(self, chance: random.Random) -> Json:
        self._numbers += 1
        side = chance.choice(("BUY", "SELL"))
        cents = chance.randrange(-4, 5) + (2 if side == "SELL" else -2)
        return limit_order(
            side,
            f"{30_000 + cents}",
            f"0.{chance.randrange(100, 900):05d}",
            timeInForce=chance.choice(("GTC", "GTC", "GTC", "IOC")),
            newClientOrderId=f"{self.name}-{self._numbers}",
            newOrderRespType="FULL",
        )

    def _keep(self, method: str, response: Json, open_ids: list[int]) -> None:
        record = self.record
        if response["status"] != 200:
            assert response["error"]["code"] in REFUSALS, response
            record.refused.append(response)
            return
        result = response["result"]
        order_id = result["orderId"]
        if method == "order.cancel":
            assert order_id not in record.canceled, f"canceled twice: {response}"
            record.canceled[order_id] = result
            return
        assert order_id not in record.placed, f"one order for two requests: {response}"
        record.placed[order_id] = result
        if result["status"] in ("NEW", "PARTIALLY_FILLED"):
            open_ids.append(order_id)


class _Connections:
    """One connection at a time, and another when it is lost."""

    def __init__(self, url: str, credentials: Credentials, record: Record) -> None:
        self._url = url
        self._credentials = credentials
        self._record = record
        self._stack = contextlib.AsyncExitStack()
        self._trader: Trader | None = None

    async def __aenter__(self) -> "_Connections":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._stack.aclose()

    async def answer(self, method: str, request: Json) -> Json:
        """Return the answer to a request, however often it takes to send it."""
        deadline = time.monotonic() + PATIENCE_S
        response: Json = {}
        while True:
            assert time.monotonic() < deadline, f"never answered: {method} {request}: {response}"
            try:
                trader = self._trader or await self._connect()
                response = await trader.response(method, request)
            except (LostError, OSError, TimeoutError):
                self._trader = None
                self._record.lost += 1
                await asyncio.sleep(0.02)
                continue
            if response["status"] == 200 or response["error"]["code"] not in AGAIN:
                return response
            self._record.repeated += 1
            await asyncio.sleep(0.02)

    async def _connect(self) -> Trader:
        await self._stack.aclose()
        # The handshake of a gateway that is being killed ends in any of many ways: all are OSError
        # or our own LostError.
        self._trader = await self._stack.enter_async_context(trading(self._url, self._credentials))
        return self._trader


class Crowd:
    """Several players, and how much they have been told so far."""

    def __init__(self, node: LiveNode, keys: dict[str, Credentials]) -> None:
        self.players = [
            Player(node, name, credentials, seed)
            for seed, (name, credentials) in enumerate(keys.items())
        ]
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Crowd":
        self._task = asyncio.create_task(self._play())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Stop in order: every request is answered, or the test fails."""
        self._stop.set()
        assert self._task is not None
        if kind is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            return
        await self._task

    @property
    def answers(self) -> int:
        return sum(player.answers for player in self.players)

    async def more_answers(self, count: int, timeout_s: float = TIMEOUT_S) -> None:
        """Return when that many more requests were answered."""
        assert self._task is not None
        task, target = self._task, self.answers + count
        await until(
            lambda: self.answers >= target or task.done(), f"{count} more answers", timeout_s
        )
        if task.done():
            await task  # tells why

    async def _play(self) -> None:
        async with asyncio.TaskGroup() as group:
            for player in self.players:
                group.create_task(player.play(self._stop))
