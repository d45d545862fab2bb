"""Traders of the simulation: they ask, wait, ask again, and remember what they were told.

They behave as the gateway does: no answer within a second, and they ask the account what became of
the request; it never arrived, and they send it again.
"""

from typing import Any

import msgspec
from msgspec import Raw

from actors import wire
from actors.batch import encode
from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    Deposit,
    PlaceOrder,
    ReadAccount,
    ReadKind,
    ReplaceOrder,
    Withdraw,
)
from exchange.answers import Answer, OrderPlaced, OutcomePending, Refused
from exchange.directory.commands import AddAsset, AddMarket, CreateUser
from exchange.ids import DIRECTORY_SHARD, account_shard, request_identity
from exchange.instrument import Instrument
from exchange.orders import (
    CancelRestriction,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from exchange.reject import RejectReason
from tests.simulation.subscribers import Subscribers
from tests.simulation.world import ACCOUNT_SHARDS, MILLISECOND, SimulatedHost, World

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ACCOUNTS = tuple(range(1, 7))
ASK_AGAIN_NS = 1_000 * MILLISECOND
decode_answer = msgspec.msgpack.Decoder(Answer).decode

# Answers that do not say what became of the request.
UNDECIDED = {RejectReason.READ_TIMEOUT, RejectReason.OVERLOADED, RejectReason.UNAVAILABLE}


def instrument(symbol: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        base_asset=symbol[:-4],
        quote_asset="USDT",
        tick_size=1_000_000,
        lot_size=100_000,
        maker_rate_e8=70_000,
        taker_rate_e8=130_001,
    )


class Request:
    """One request, from when it was first sent until its outcome is known."""

    __slots__ = ("answer", "command", "is_read", "next_ns", "shard")

    def __init__(self, shard: str, command: Any, is_read: bool) -> None:
        self.shard = shard
        self.command = command
        self.is_read = is_read
        self.answer: Any = None
        self.next_ns = 0


class Traders:
    """All sessions of one simulated gateway: a host without shards."""

    def __init__(self, world: World, *, poison: bool = False) -> None:
        self.world = world
        self.random = world.random
        self.host = SimulatedHost(world, "gateway")
        self.core = self.host.core
        world.hosts_without_shards["gateway"] = self.host
        self.requests: dict[int, Request] = {}  # waiting, by request id
        self.done: list[Request] = []
        self.subscribers = Subscribers(self.core, ACCOUNTS, SYMBOLS, ACCOUNT_SHARDS)
        self.has_poison = poison
        self._next_id = 0
        self._names = 0
        self._orders: dict[int, list[tuple[str, int, str]]] = {a: [] for a in ACCOUNTS}
        self.core.handlers[wire.Answers] = self._on_answers
        self.host.on_tick = self.subscribers.tick
        self.host.start()

    # ---------------------------------------------------------------- set-up

    def prepare(self) -> None:
        """Create assets, markets, accounts with money; needs a network without faults."""
        for code in ("BTC", "ETH", "USDT"):
            self._ask_directory(AddAsset(code, code, self.now_ns, "", 0))
        for symbol in SYMBOLS:
            self._ask_directory(AddMarket(instrument(symbol), self.now_ns, "", 0))
        for account in ACCOUNTS:
            self._ask_directory(CreateUser(f"user{account}", self.now_ns, "", 0))
        self._wait()
        for account in ACCOUNTS:
            for asset in ("BTC", "ETH", "USDT"):
                self.deposit(account, asset, 10**13)
        self._wait()
        self.subscribers.start()

    def _wait(self) -> None:
        world = self.world
        end_ns = world.now_ns + 20_000 * MILLISECOND
        while self.requests and world.now_ns < end_ns:
            self.check_waiting()
            world.run_until(world.now_ns + 100 * MILLISECOND)
        assert not self.requests, "the set-up was not answered"
        world.run_until(world.now_ns + 1_500 * MILLISECOND)

    # ---------------------------------------------------------------- what traders do

    @property
    def now_ns(self) -> int:
        return self.core.clock_ns()

    def act(self) -> None:
        """One random request of one random account."""
        account = self.random.choice(ACCOUNTS)
        symbol = self.random.choice(SYMBOLS)
        kinds = (
            (self.place, 50),
            (self.cancel, 18),
            (self.replace, 8),
            (self.amend, 5),
            (self.read, 8),
            (self.cancel_all, 1),
            (self.withdraw, 2),
        )
        kind = self.random.choices([k for k, _ in kinds], [weight for _, weight in kinds])[0]
        kind(account, symbol)

    def trade_for(self, duration_ms: int, every_ms: int) -> None:
        """Act at random times, `every_ms` apart on average."""
        end_ns = self.world.now_ns + duration_ms * MILLISECOND

        def step() -> None:
            self.act()
            self.check_waiting()
            delay = self.random.randint(0, 2 * every_ms * MILLISECOND)
            if self.world.now_ns + delay < end_ns:
                self.world.after(delay, step)

        self.world.after(0, step)
        self.world.run_until(end_ns)

    def settle(self, timeout_ms: int = 60_000) -> None:
        """Wait until every request has its outcome and the world is settled."""
        world = self.world
        end_ns = world.now_ns + timeout_ms * MILLISECOND

        def check() -> None:
            self.check_waiting()
            world.after(200 * MILLISECOND, check)

        check()
        while world.now_ns < end_ns:
            world.run_until(min(end_ns, world.now_ns + 500 * MILLISECOND))
            if not self.requests and world.is_settled:
                world.run_until(world.now_ns + 3_000 * MILLISECOND)
                if not self.requests and world.is_settled:
                    return
        waiting = [request.command for request in self.requests.values()][:3]
        raise AssertionError(f"did not heal: {len(self.requests)} requests wait, such as {waiting}")

    def new_order(self, account: int, symbol: str) -> PlaceOrder:
        chance = self.random
        side = chance.choice((Side.BUY, Side.SELL))
        order_type = chance.choices(
            (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET), (75, 8, 17)
        )[0]
        tif = TimeInForce.GTC
        price = 1_000 + chance.randint(-6, 6)
        lots, amount = chance.randint(1, 20), 0
        if order_type is OrderType.LIMIT:
            tif = chance.choices(list(TimeInForce), (80, 12, 8))[0]
        elif order_type is OrderType.MARKET:
            tif, price = TimeInForce.IOC, 0
            if chance.random() < 0.5:
                lots, amount = 0, chance.randint(10**6, 2 * 10**7)
        self._names += 1
        name = f"c{self._names}"
        if self.has_poison and chance.random() < 0.04:
            kind = chance.choice(("poison-a", "poison-m", "hiccup-a", "hiccup-m"))
            name = f"{kind}-{self._names}"
        return PlaceOrder(
            account,
            symbol,
            side,
            order_type,
            tif,
            price,
            lots,
            amount,
            name,
            SelfTradePrevention.NONE,
            self.now_ns,
            request_identity(name.encode()),
            "gateway",
            0,
        )

    def place(self, account: int, symbol: str) -> None:
        self._ask(account, self.new_order(account, symbol))

    def _some_order(self, account: int, symbol: str) -> tuple[int, str]:
        known = [(i, name) for s, i, name in self._orders[account] if s == symbol]
        if not known or self.random.random() < 0.05:
            return self.random.randint(1, 200), ""
        order_id, name = self.random.choice(known[-8:])
        return (order_id, "") if self.random.random() < 0.5 else (0, name)

    def _identity(self) -> bytes:
        self._names += 1
        return request_identity(b"request", str(self._names).encode())

    def cancel(self, account: int, symbol: str) -> None:
        order_id, name = self._some_order(account, symbol)
        self._ask(
            account,
            CancelOrder(
                account, symbol, order_id, name, f"x{self._names}", CancelRestriction.NONE,
                self.now_ns, self._identity(), "gateway", 0,
            ),
        )  # fmt: skip

    def cancel_all(self, account: int, symbol: str) -> None:
        self._ask(
            account,
            CancelAllOrders(account, symbol, self.now_ns, self._identity(), "gateway", 0),
        )

    def replace(self, account: int, symbol: str) -> None:
        order_id, name = self._some_order(account, symbol)
        mode = self.random.choice(list(ReplaceMode))
        self._ask(
            account,
            ReplaceOrder(
                order_id, name, f"x{self._names}", CancelRestriction.NONE, mode,
                self.new_order(account, symbol),
            ),
        )  # fmt: skip

    def amend(self, account: int, symbol: str) -> None:
        order_id, name = self._some_order(account, symbol)
        self._ask(
            account,
            AmendOrder(
                account, symbol, order_id, name, f"a{self._names}", self.random.randint(1, 8),
                self.now_ns, self._identity(), "gateway", 0,
            ),
        )  # fmt: skip

    def deposit(self, account: int, asset: str, amount: int) -> None:
        self._ask(
            account,
            Deposit(account, asset, amount, self.now_ns, self._identity(), "gateway", 0),
        )

    def withdraw(self, account: int, symbol: str) -> None:
        amount = self.random.randint(1, 10**10)
        self._ask(
            account,
            Withdraw(account, "USDT", amount, self.now_ns, self._identity(), "gateway", 0),
        )

    def read(self, account: int, symbol: str) -> None:
        kind = self.random.choice((ReadKind.BALANCES, ReadKind.OPEN_ORDERS, ReadKind.POSITION))
        self._ask(account, self._read_command(account, kind, symbol, b""), is_read=True)

    def _read_command(self, account: int, kind: ReadKind, symbol: str, identity: bytes) -> Any:
        return ReadAccount(account, kind, symbol, 0, "", identity, (), "gateway", 0)

    # ---------------------------------------------------------------- asking and answers

    def _ask(self, account: int, command: Any, is_read: bool = False) -> None:
        self._send(Request(account_shard(account, ACCOUNT_SHARDS), command, is_read), None)

    def _ask_directory(self, command: Any) -> None:
        self._send(Request(DIRECTORY_SHARD, command, False), None)

    def _send(self, request: Request, outcome_read: Any) -> None:
        self._next_id += 1
        request.next_ns = self.world.now_ns + ASK_AGAIN_NS
        command = with_reply(outcome_read or request.command, self._next_id)
        self.requests[self._next_id] = request
        raw = Raw(encode(command))
        if not self.core.link(self.core.placement.host_of(request.shard)).put_command(
            request.shard, raw
        ):
            request.next_ns = self.world.now_ns + ASK_AGAIN_NS // 4
        self.host._turn_soon()

    def check_waiting(self) -> None:
        """Ask for the outcome of what was not answered for a second."""
        for request_id, request in list(self.requests.items()):
            if self.world.now_ns < request.next_ns:
                continue
            del self.requests[request_id]
            outcome_read = None
            if not request.is_read and request.shard != DIRECTORY_SHARD:
                body = getattr(request.command, "place", request.command)
                symbol = getattr(body, "symbol", "")
                outcome_read = self._read_command(
                    body.account_id, ReadKind.OUTCOME, symbol, body.identity
                )
            self._send(request, outcome_read)

    def _on_answers(self, item: wire.Answers, _sender: str) -> None:
        for raw in item.answers:
            answer = decode_answer(raw)
            request = self.requests.pop(answer.request_id, None)
            if request is None:
                continue  # late: asked again meanwhile
            is_undecided = isinstance(answer, Refused) and answer.reason in UNDECIDED
            if isinstance(answer, OutcomePending) or (is_undecided and not request.is_read):
                is_lost = isinstance(answer, OutcomePending) and not answer.is_known
                if is_lost:
                    self._send(request, None)
                else:
                    self.requests[answer.request_id] = request  # asked again in a while
                continue
            request.answer = answer
            self.done.append(request)
            if isinstance(answer, OrderPlaced):
                body = getattr(request.command, "place", request.command)
                self._orders[body.account_id].append(
                    (answer.symbol, answer.order_id, answer.client_order_id)
                )


def with_reply(command: Any, request_id: int) -> Any:
    """Return the command with this request id, answered to the gateway."""
    if isinstance(command, ReplaceOrder):
        return msgspec.structs.replace(command, place=with_reply(command.place, request_id))
    return msgspec.structs.replace(command, reply_to="gateway", request_id=request_id)
