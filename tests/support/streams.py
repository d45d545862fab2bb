"""A market, its accounts and their streams: real deciders and folds, records as hosts have them."""

import random
from typing import Any

import msgspec

from exchange.account.events import Deposited, Withdrawn
from exchange.account.fold import evolve as account_evolve
from exchange.account.state import Account
from exchange.directory.events import MarketAdded
from exchange.ids import DIRECTORY_SHARD, account_shard, market_shard
from exchange.market.events import TradeExecuted
from exchange.orders import OrderState, TimeInForce
from storage.codec import encode_body, encode_event
from storage.memory import MemoryStreams
from storage.ports import BatchRecord
from tests.support.market_flow import BUY, INSTRUMENT, NOW_NS, SELL, SYMBOL, Trader, open_market
from tests.support.market_flow import play as market_play

ACCOUNT_SHARDS = 2
FUNDS = {"BTC": 10**15, "USDT": 10**17}
MID_TICKS = 10_000


class StreamedExchange:
    """What happens is folded at once and stands in a stream when `flush` was called."""

    def __init__(self, accounts: int = 4, seed: int = 1) -> None:
        self.streams = MemoryStreams()
        self.market = open_market()
        self.accounts = {number: Account(number) for number in range(1, accounts + 1)}
        self.traders = {number: Trader(number) for number in self.accounts}
        self.trades: list[TradeExecuted] = []
        self.transfers: list[Deposited | Withdrawn] = []
        # (account, order id) -> state, of all accepted orders; accounts themselves forget in time.
        self.orders: dict[tuple[int, int], OrderState] = {}
        self.now_ns = NOW_NS
        self._random = random.Random(seed)
        self._steps = 0
        self._open: dict[str, list[tuple[int, bytes]]] = {}
        self._heads: dict[str, int] = {}
        self._emit(DIRECTORY_SHARD, 0, MarketAdded(INSTRUMENT, NOW_NS))
        for account_id in self.accounts:
            for asset, amount in FUNDS.items():
                identity = f"deposit {account_id} {asset}".encode()
                self.happen(account_id, Deposited(account_id, asset, amount, NOW_NS, identity))
        self.flush()

    def happen(self, account_id: int, event: Any) -> None:
        """An event of an account: fold it, note it."""
        account_evolve(self.accounts[account_id], event)
        if isinstance(event, Deposited | Withdrawn):
            self.transfers.append(event)
        self._emit(account_shard(account_id, ACCOUNT_SHARDS), account_id, event)

    def send(self, account_id: int, message: Any) -> list[Any]:
        """An account's message: to its stream, through the market, and what follows to all."""
        self.happen(account_id, message)
        events = market_play(self.market, message, self.now_ns)
        for event in events:
            self._emit(market_shard(SYMBOL), 0, event)
            if type(event) is TradeExecuted:
                self.trades.append(event)
                parties = {event.taker_account_id: None, event.maker_account_id: None}
            else:
                parties = {event.account_id: None}
            for party in parties:
                self.happen(party, event)
        return events

    def flush(self) -> None:
        """Write one record a shard with what happened since."""
        for shard, entries in self._open.items():
            if shard not in self._heads:
                self.streams.take_epoch(shard, "host")
            first = self._heads.get(shard, 0) + 1
            last = self._heads[shard] = first + len(entries) - 1
            body = encode_body([raw for _, raw in entries], {}, {}, [who for who, _ in entries])
            (outcome,) = self.streams.append_group([BatchRecord(shard, 1, first, last, b"", body)])
            assert outcome is None
        self._open = {}
        for account_id, account in self.accounts.items():
            for order in [*account.orders.values(), *account.closed_orders()]:
                if order.order_id:
                    self.orders[account_id, order.order_id] = order.as_state()

    def trade_at_random(self, steps: int, flush_every: int = 5) -> None:
        """Orders of all kinds, cancels and amends of random accounts around one price."""
        for _ in range(steps):
            self._steps += 1
            self.now_ns += self._random.choice((0, 1_000_000, 3_000_000_000))
            self._act(self._random.choice(sorted(self.accounts)), self._steps)
            if self._steps % flush_every == 0:
                self.flush()
        self.flush()

    def balances(self) -> dict[tuple[int, str], int]:
        """Return (account, asset) -> available and held together."""
        return {
            (account_id, asset): balance.available + balance.held
            for account_id, account in self.accounts.items()
            for asset, balance in account.balances.items()
        }

    def _act(self, account_id: int, step: int) -> None:
        dice, trader = self._random, self.traders[account_id]
        side = dice.choice((BUY, SELL))
        price = MID_TICKS + dice.randrange(-3, 4)
        what = dice.random()
        mine = [order for order in self.accounts[account_id].orders.values() if order.order_id]
        identity = b"step %d" % step
        if what < 0.6:
            tif = dice.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))
            order = trader.limit(side, price, dice.randrange(1, 20), tif)
            self._send_now(account_id, order)
        elif what < 0.7:
            protect = MID_TICKS + (500 if side is BUY else -500)
            self._send_now(account_id, trader.market(side, dice.randrange(1, 10), protect))
        elif what < 0.75:
            protect = MID_TICKS + (500 if side is BUY else -500)
            amount = dice.randrange(1, 10) * 10_000_000 + 123
            order = trader.market_for(side, amount, protect, lots_held=20)
            self._send_now(account_id, order)
        elif what < 0.85 and mine:
            cancel = trader.cancel(order_id=dice.choice(mine).order_id)
            self._send_now(account_id, cancel, identity=identity)
        elif what < 0.9 and mine:
            resting = dice.choice(mine)
            if resting.quantity_lots - resting.executed_lots > 1:
                amend = trader.amend(resting.order_id, resting.quantity_lots - 1, f"amended-{step}")
                self._send_now(account_id, amend, identity=identity)
        elif what < 0.92:
            self._send_now(account_id, trader.cancel_all(), identity=identity)
        else:
            self.happen(account_id, Withdrawn(account_id, "USDT", 5, self.now_ns, identity))

    def _send_now(self, account_id: int, message: Any, **fields: Any) -> None:
        stamped = msgspec.structs.replace(message, received_at_ns=self.now_ns, **fields)
        self.send(account_id, stamped)

    def _emit(self, shard: str, entity: int, event: Any) -> None:
        self._open.setdefault(shard, []).append((entity, encode_event(event)))
