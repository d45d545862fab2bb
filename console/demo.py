"""A market with traders that never sleep, for a first look: ordinary clients of the public API.

They live in a process of their own, reconnect for ever, and are content with any answer.
"""

import asyncio
import os
import random
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.client import (
    ConnectionLostError,
    Credentials,
    RequestRefusedError,
    TradingConnection,
    connect,
)
from config.logging import get_logger
from config.schema import NodeConfig
from console.connection import UNREACHABLE, connect_node
from console.demo_strategy import LEVELS, Walk, Wish, quote, take
from console.node import NodePort
from console.provision import ProvisionError, ensure_market, new_trader
from console.users import KeyChoice
from exchange.instrument import Instrument
from exchange.money import UNIT
from exchange.protocol.decimals import amount_text

log = get_logger(__name__)

STATE_FILE: Final = "demo.json"  # in the data directory: the demo's own keys
TICK_SIZE: Final = UNIT // 100
LOT_SIZE: Final = UNIT // 100_000
ANCHOR_TICKS: Final = 50_000 * 100
DEPOSIT_BASE: Final = 10_000 * UNIT
DEPOSIT_QUOTE: Final = 500_000_000 * UNIT
MAKER_SHARE: Final = 0.7  # of all orders
RETRY_S_MIN: Final = 0.25
RETRY_S_MAX: Final = 5.0


class DemoState(msgspec.Struct):
    """What the demo must remember: its keys."""

    symbol: str
    makers: list[Credentials]
    takers: list[Credentials]


async def run_demo(config: NodeConfig, *, parent_pid: int = 0) -> None:
    """Trade until cancelled, or until the process `parent_pid` (0: none) is not our parent."""
    state = await _prepare_patiently(config)
    log.info("demo_started", market=state.symbol, orders_per_s=config.demo.orders_per_s)
    url = f"ws://{config.gateway.host}:{config.gateway.ws_port}"
    walk = Walk(ANCHOR_TICKS)
    rng = random.Random()
    rate = config.demo.orders_per_s
    maker_pause_s = len(state.makers) / (rate * MAKER_SHARE)
    taker_pause_s = max(1, len(state.takers)) / (rate * (1 - MAKER_SHARE))
    traders: list[_Trader] = [
        *(_Maker(key, state.symbol, walk, rng, maker_pause_s) for key in state.makers),
        *(_Taker(key, state.symbol, walk, rng, taker_pause_s) for key in state.takers),
    ]
    tasks = [asyncio.create_task(_trade_for_ever(trader, url)) for trader in traders]
    tasks.append(asyncio.create_task(_watch_parent(parent_pid)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # raises what ended it
    finally:
        for task in tasks:
            task.cancel()


async def prepare(node: NodePort, config: NodeConfig) -> DemoState:
    """Put market, traders and money in place where they are absent; return the keys.

    Raises:
        ProvisionError: the node refused.
    """
    demo = config.demo
    symbol = demo.base_asset + demo.quote_asset
    await ensure_market(
        node,
        Instrument(
            symbol=symbol,
            base_asset=demo.base_asset,
            quote_asset=demo.quote_asset,
            tick_size=TICK_SIZE,
            lot_size=LOT_SIZE,
        ),
    )
    path = Path(config.node.data_dir) / STATE_FILE
    state = _read_state(path)
    if state is None or state.symbol != symbol:
        state = DemoState(symbol, [], [])
    deposits = {demo.base_asset: DEPOSIT_BASE, demo.quote_asset: DEPOSIT_QUOTE}
    for keys, role, count in (
        (state.makers, "maker", demo.makers),
        (state.takers, "taker", demo.takers),
    ):
        while len(keys) < count:
            # A fresh name each time: a crash between user and file leaves a user nobody uses.
            name = f"demo-{role}-{secrets.token_hex(4)}"
            keys.append(await new_trader(node, name, KeyChoice.HMAC, deposits))
            _write_state(path, state)
        del keys[count:]
    return state


async def _prepare_patiently(config: NodeConfig) -> DemoState:
    """Wait for the node and prepare; tried again when refused: it may still be starting."""
    pause_s = RETRY_S_MIN
    while True:
        try:
            async with connect_node(Path(config.node.data_dir)) as node:
                return await prepare(node, config)
        except (*UNREACHABLE, ProvisionError) as error:
            log.debug("demo_waits_for_node", reason=str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(RETRY_S_MAX, pause_s * 2)


async def _trade_for_ever(trader: "_Trader", url: str) -> None:
    pause_s = RETRY_S_MIN
    while True:
        try:
            connection = await connect(url, trader.credentials)
        except ConnectionLostError as error:
            log.debug("demo_waits_for_gateway", reason=str(error), pause_s=pause_s)
        except RequestRefusedError as error:
            log.info("demo_trader_refused", reason=str(error), pause_s=pause_s)
        else:
            pause_s = RETRY_S_MIN
            try:
                await trader.trade(connection)
            except (ConnectionLostError, RequestRefusedError) as error:
                log.info("demo_trader_reconnects", reason=str(error), pause_s=pause_s)
            finally:
                await connection.close()
        await asyncio.sleep(pause_s)
        pause_s = min(RETRY_S_MAX, pause_s * 2)


async def _watch_parent(parent_pid: int) -> None:
    """Return when our parent is gone: a demo without a node is of no use to anybody."""
    while not parent_pid or os.getppid() == parent_pid:
        await asyncio.sleep(0.5)


class _Trader:
    """A client that acts now and then."""

    def __init__(
        self,
        credentials: Credentials,
        symbol: str,
        walk: Walk,
        rng: random.Random,
        pause_s: float,
    ) -> None:
        self.credentials = credentials
        self._symbol = symbol
        self._walk = walk
        self._rng = rng
        self._pause_s = pause_s

    async def trade(self, connection: TradingConnection) -> None:
        """Start from no open orders and act until the connection is lost."""
        await _allow_refusal(connection, "openOrders.cancelAll", symbol=self._symbol)
        self.forget()
        while True:
            await self.act(connection)
            await asyncio.sleep(self._rng.expovariate(1 / self._pause_s))

    def forget(self) -> None:
        """All orders are gone."""

    async def act(self, connection: TradingConnection) -> None:
        raise NotImplementedError

    def _order(self, wish: Wish, time_in_force: str) -> dict[str, object]:
        return {
            "symbol": self._symbol,
            "side": wish.side,
            "type": "LIMIT",
            "timeInForce": time_in_force,
            "price": amount_text(wish.price_ticks * TICK_SIZE),
            "quantity": amount_text(wish.quantity_lots * LOT_SIZE),
            "newOrderRespType": "ACK",
        }


class _Maker(_Trader):
    """Keeps orders on several levels of both sides, and moves one after the other."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._slots: dict[int, int] = {}  # place -> order id
        self._next_slot = 0

    def forget(self) -> None:
        self._slots.clear()

    async def act(self, connection: TradingConnection) -> None:
        mid_ticks = self._walk.step(self._rng)
        slot = self._next_slot
        self._next_slot = (slot + 1) % (2 * LEVELS)
        order = self._order(quote(slot, mid_ticks, self._rng), "GTC")
        order_id = self._slots.pop(slot, 0)
        if order_id:
            answer = await _allow_refusal(
                connection,
                "order.cancelReplace",
                cancelReplaceMode="STOP_ON_FAILURE",
                cancelOrderId=order_id,
                **order,
            )
            if answer is not None:
                self._slots[slot] = answer["newOrderResponse"]["orderId"]
                return
        # Filled meanwhile, or never there.
        answer = await _allow_refusal(connection, "order.place", **order)
        if answer is not None:
            self._slots[slot] = answer["orderId"]


class _Taker(_Trader):
    """Crosses the spread, at once or not at all."""

    async def act(self, connection: TradingConnection) -> None:
        order = self._order(take(self._walk.mid_ticks, self._rng), "IOC")
        await _allow_refusal(connection, "order.place", **order)


async def _allow_refusal(connection: TradingConnection, method: str, **params: Any) -> Any:
    """Return the result, or None if the exchange refused: the demo is content with any answer."""
    try:
        return await connection.call(method, **params)
    except RequestRefusedError as error:
        log.debug("demo_refused", method=method, code=error.code)
        return None


def _read_state(path: Path) -> DemoState | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DemoState)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        log.warning("demo_state_unreadable", path=str(path), reason=str(error))
        return None


def _write_state(path: Path, state: DemoState) -> None:
    """Write beside it and rename, readable by us alone: it holds secrets."""
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
