"""A whole exchange behind a gateway, in one thread: real deciders, chained without pipelines.

What the hosts do besides (durability, numbering, links) is done here with counters and lists. A
test may lose commands and answers or hold back history, and decides when they go on.
"""

import hashlib
import hmac
import random
from collections import deque
from typing import Any

import msgspec
from nacl.signing import SigningKey

from actors.gateway.gateway import Gateway
from actors.gateway.session import ApiSession
from actors.gateway.stream_session import StreamSession
from actors.secrets import SecretVault
from config.schema import GatewaySettings
from exchange.account.answers import answer as account_answer
from exchange.account.commands import AccountCommand, Deposit, ReadAccount, ReplaceOrder
from exchange.account.decider import decide as account_decide
from exchange.account.decider import evolve as account_evolve
from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.account.reports import user_events
from exchange.account.state import Account
from exchange.answers import Answer
from exchange.directory.commands import KeyType, Permission
from exchange.directory.events import (
    AssetAdded,
    DirectoryEvent,
    KeyCreated,
    KeyRevoked,
    MarketAdded,
    MarketStatusSet,
    UserCreated,
)
from exchange.directory.fold import evolve as directory_evolve
from exchange.directory.state import Directory
from exchange.history import AccountTrade
from exchange.ids import account_shard, market_shard
from exchange.instrument import Instrument
from exchange.market.answers import answer_of
from exchange.market.decider import decide as market_decide
from exchange.market.decider import evolve as market_evolve
from exchange.market.events import TradeExecuted
from exchange.market.state import Market
from exchange.marketdata.feed import full, quote, take_update
from exchange.money import UNIT
from exchange.orders import Side
from exchange.protocol.signature import signed_payload
from exchange.protocol.texts import MILLISECOND
from supervision.scheduler import Scheduler
from tests.support.recorded_history import History

BTCUSDT = Instrument(
    symbol="BTCUSDT",
    base_asset="BTC",
    quote_asset="USDT",
    tick_size=UNIT // 100,
    lot_size=UNIT // 100_000,
    notional_min=UNIT,
)
START_NS = 1_700_000_000_000_000_000
SECRET = b"s" * 64
ED25519 = SigningKey(b"e" * 32)
ALL = Permission.READ | Permission.TRADE | Permission.STREAM
_TO_MARKET = (
    OrderSubmitted,
    ReplaceSubmitted,
    CancelRequested,
    CancelAllRequested,
    AmendRequested,
)
_ED25519_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")


class TestWire:
    """A socket's place: what was written, decoded; `takes` False is a client that does not read."""

    __test__ = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unread = 0
        self.takes = True
        self.closed: tuple[int, str] | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if not self.takes:
            self.unread += len(data)

    def waiting_bytes(self) -> int:
        return self.unread

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def read_all(self) -> None:
        self.takes, self.unread = True, 0

    def messages(self) -> list[Any]:
        """Return the JSON of all frames written since the last call."""
        data, self.written = b"".join(self.written), []
        found = []
        while data:
            assert data[0] == 0x81
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10], "big"), 10
            found.append(msgspec.json.decode(data[start : start + size]))
            data = data[start + size :]
        return found


class DirectExchange:
    """A Backend with the exchange in it. Two account shards, users 1 to 4, one market."""

    host_name = "gateway-1"
    account_shards = 2

    def __init__(self, *, settings: GatewaySettings | None = None) -> None:
        self.directory = Directory()
        self.cold = History()
        self.accounts: dict[int, Account] = {}
        self.markets: dict[str, Market] = {}
        self.quotes: dict[str, tuple[int, int, int]] = {}
        self.seqs: dict[str, int] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.followed: list[int] = []
        self.clock_ns = START_NS
        self.lag_ns = 0
        self.is_full = False
        self.loses_commands = False  # as if the host had died with them
        self.loses_answers = False
        self.answers: deque[Answer] = deque()
        self.submitted: list[AccountCommand] = []
        self.vault = SecretVault(b"cluster secret of the tests")
        self.scheduler = Scheduler(lambda: self.clock_ns, random.Random(1))
        for name in ("alice", "bob", "carol", "dave"):
            self.evolve(UserCreated(len(self.directory.users) + 1, name, START_NS))
        for code in ("BTC", "USDT"):
            self.evolve(AssetAdded(code, code, START_NS))
        self.gateway: Gateway | None = None
        for account_id in (1, 2, 3, 4):
            self.add_hmac_key(account_id)
            self.fund(account_id, "BTC", 1_000 * UNIT)
            self.fund(account_id, "USDT", 100_000_000 * UNIT)
        self.evolve(
            KeyCreated(
                "ed-1",
                1,
                KeyType.ED25519,
                _ED25519_DER_PREFIX + bytes(ED25519.verify_key),
                ALL,
                (),
                "",
                START_NS,
            )
        )
        self.gateway = Gateway(
            self,
            self.scheduler,
            settings or GatewaySettings(stream_requests_per_s_max=1_000),
            self.vault,
            first_request_id=1_000,
        )
        self.add_market(BTCUSDT)
        self.run()

    # ---------------------------------------------------------------- Backend

    def now_ns(self) -> int:
        return self.clock_ns

    def directory_lag_ns(self) -> int:
        return self.lag_ns

    def submit(self, shard: str, command: AccountCommand, favoured: bool) -> bool:
        if self.is_full and not favoured:
            return False
        self.submitted.append(command)
        if not self.loses_commands:
            self._command(shard, command)
        return True

    def subscribe_user(self, account_id: int, after: int) -> None:
        self.followed.append(account_id)
        assert self.gateway is not None
        self.gateway.on_user_subscribed(account_id, self.account(account_id).user_seq, False)

    def unsubscribe_user(self, account_id: int) -> None:
        self.followed = [other for other in self.followed if other != account_id]

    def follow_market(self, symbol: str) -> None:
        market = self.markets.get(symbol)
        if market is not None and self.gateway is not None:
            take_update(market)
            self.gateway.on_market_data(market_shard(symbol), full(market, 5_000))

    # ---------------------------------------------------------------- TradingContext

    def instrument(self, symbol: str) -> Instrument | None:
        return self.directory.instrument(symbol)

    def fee_rates(self, account_id: int, symbol: str) -> tuple[int, int]:
        return self.directory.fee_rates(account_id, symbol)

    def has_asset(self, code: str) -> bool:
        return self.directory.has_asset(code)

    def has_account(self, account_id: int) -> bool:
        return self.directory.has_account(account_id)

    def protect_ticks(self, symbol: str, side: Side) -> int:
        bid, ask, _ = self.quotes.get(symbol, (0, 0, 0))
        if side is Side.BUY:
            return ask + ask // 20 if ask else 0
        return max(bid - bid // 20, 1) if bid else 0

    # ---------------------------------------------------------------- for tests

    def evolve(self, event: DirectoryEvent) -> None:
        directory_evolve(self.directory, event)
        if getattr(self, "gateway", None) is not None:
            assert self.gateway is not None
            self.gateway.on_directory_changed(event)

    def add_market(self, instrument: Instrument) -> None:
        market = self.markets[instrument.symbol] = Market(instrument.symbol)
        added = MarketAdded(instrument, self.clock_ns)
        for event in market_decide(market, added, self.clock_ns):
            market_evolve(market, event)
        self.evolve(added)

    def set_status(self, event: MarketStatusSet) -> None:
        market = self.markets[event.symbol]
        for fact in market_decide(market, event, self.clock_ns):
            market_evolve(market, fact)
        self.evolve(event)

    def add_hmac_key(
        self,
        account_id: int,
        key_id: str = "",
        permissions: Permission = ALL,
        addresses: tuple[str, ...] = (),
    ) -> str:
        key_id = key_id or f"key-{account_id}"
        sealed = self.vault.seal(key_id, SECRET)
        self.evolve(
            KeyCreated(
                key_id, account_id, KeyType.HMAC, sealed, permissions, addresses, "", START_NS
            )
        )
        return key_id

    def revoke(self, key_id: str) -> None:
        self.evolve(KeyRevoked(key_id, self.clock_ns))

    def fund(self, account_id: int, asset: str, amount: int) -> None:
        identity = f"{account_id} {asset}".encode()
        command = Deposit(account_id, asset, amount, self.clock_ns, identity, "", 0)
        self._command(str(account_shard(account_id, self.account_shards)), command)

    def account(self, account_id: int) -> Account:
        return self.accounts.setdefault(account_id, Account(account_id))

    def run(self) -> None:
        """Publish market data, deliver answers, let the sessions work until nothing moves."""
        gateway = self.gateway
        assert gateway is not None
        while True:
            for symbol, market in self.markets.items():
                update = take_update(market)
                if update is not None:
                    gateway.on_market_data(market_shard(symbol), update)
            waiting, self.answers = self.answers, deque()
            for answer in waiting:
                if not self.loses_answers:
                    gateway.on_answer(answer)
            handled = self.scheduler.run()
            gateway.outbox.flush()
            if not handled and not self.answers:
                return

    def pass_time(self, milliseconds: int, step_ms: int = 50) -> None:
        """Let time pass in steps, with the gateway's ticks."""
        assert self.gateway is not None
        for _ in range(max(milliseconds // step_ms, 1)):
            self.clock_ns += step_ms * 1_000_000
            self.gateway.on_tick(self.clock_ns)
            self.run()

    # ---------------------------------------------------------------- the exchange

    def _command(self, shard: str, command: AccountCommand) -> None:
        request = command.place if isinstance(command, ReplaceOrder) else command
        account = self.account(request.account_id)
        events = account_decide(account, command, self)
        for event in events:
            self._fold(shard, account, event)
        seq = self.seqs.get(shard, 0)
        answer = account_answer(account, command, events, shard, seq)
        if answer is not None and request.reply_to:
            self.answers.append(answer)
        if isinstance(command, ReadAccount):
            return
        for event in events:
            if isinstance(event, _TO_MARKET):
                self._to_market(shard, event)

    def _to_market(self, shard: str, message: Any) -> None:
        submitted = message.order if isinstance(message, ReplaceSubmitted) else message
        market = self.markets[submitted.symbol]
        source = str(market_shard(market.symbol))
        events = market_decide(market, message, self.clock_ns)
        targets = [self._targets(event) for event in events]
        number = self.numbers.get((source, shard), 0)
        after = number + sum(1 for names in targets if shard in names)
        answer = answer_of(market, message, events, source, after)
        if answer is not None:
            self.answers.append(answer)
        for event, names in zip(events, targets, strict=True):
            market_evolve(market, event)
            for name in names:
                self.numbers[source, name] = self.numbers.get((source, name), 0) + 1
        self.quotes[market.symbol] = quote(market)
        for event in events:
            for account_id in self._parties(event):
                target = str(account_shard(account_id, self.account_shards))
                self._fold(target, self.account(account_id), event)

    def _parties(self, event: Any) -> list[int]:
        if type(event) is TradeExecuted:
            return sorted({event.taker_account_id, event.maker_account_id})
        return [event.account_id]

    def _targets(self, event: Any) -> list[str]:
        return sorted(
            {str(account_shard(party, self.account_shards)) for party in self._parties(event)}
        )

    def _fold(self, shard: str, account: Account, event: Any) -> None:
        account_evolve(account, event)
        self.seqs[shard] = self.seqs.get(shard, 0) + 1
        self._remember(account, event)
        self.cold.advance(shard, self.seqs[shard])
        events = user_events(account, event)
        if account.account_id in self.followed:
            assert self.gateway is not None
            for user_event in events:
                self.gateway.on_user_event(user_event)

    def _remember(self, account: Account, event: Any) -> None:
        """Write history as a projection would."""
        for order in [*account.orders.values(), *account.closed_orders()]:
            if order.order_id:
                key = (account.account_id, order.symbol, order.order_id)
                self.cold.found_orders[key] = order.as_state()
        if type(event) is not TradeExecuted:
            return
        for is_taker in (True, False):
            party = event.taker_account_id if is_taker else event.maker_account_id
            if party != account.account_id:
                continue
            is_buyer = (event.taker_side == Side.BUY) is is_taker
            self.cold.found_trades.append(
                AccountTrade(
                    party,
                    event.symbol,
                    event.trade_id,
                    event.taker_order_id if is_taker else event.maker_order_id,
                    event.price_ticks,
                    event.quantity_lots,
                    event.base_amount,
                    event.quote_amount,
                    event.taker_commission if is_taker else event.maker_commission,
                    "BTC" if is_buyer else "USDT",
                    event.at_ns,
                    is_buyer,
                    not is_taker,
                )
            )


class Client:
    """A trader on a session of the gateway, signing as the client libraries do."""

    def __init__(self, exchange: DirectExchange, account_id: int = 1) -> None:
        assert exchange.gateway is not None
        self.exchange = exchange
        self.account_id = account_id
        self.wire = TestWire()
        self.session: ApiSession = exchange.gateway.open_api_session(
            self.wire, "127.0.0.1", MILLISECOND, True
        )
        self.key_id = f"key-{account_id}"
        self.requests = 0
        self.events: list[Any] = []

    def signed(self, **params: Any) -> dict[str, Any]:
        """Return the parameters with key, timestamp and HMAC signature."""
        params.setdefault("apiKey", self.key_id)
        params.setdefault("timestamp", self.exchange.clock_ns // 1_000_000)
        payload = signed_payload(params).encode()
        params["signature"] = hmac.new(SECRET, payload, hashlib.sha256).hexdigest()
        return params

    def send(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Send a request and return the frames that follow."""
        self.requests += 1
        request: dict[str, Any] = {"id": self.requests, "method": method}
        if params is not None:
            request["params"] = params
        return self.send_raw(msgspec.json.encode(request))

    def send_raw(self, frame: bytes) -> Any:
        assert self.exchange.gateway is not None
        self.exchange.gateway.send_to(self.session, frame)
        self.exchange.run()
        return self.wire.messages()

    def ask(self, method: str, **params: Any) -> Any:
        """Send a signed request and return its answer; user events go to `events`."""
        self.exchange.clock_ns += 1_000_000  # an identity of its own
        (answer,) = self.split(self.send(method, self.signed(**params)))
        return answer

    def split(self, messages: list[Any]) -> list[Any]:
        """Keep the user events and return the rest."""
        self.events += [message["event"] for message in messages if "event" in message]
        return [message for message in messages if "event" not in message]

    def new_events(self) -> list[Any]:
        """Return the user events since the last call."""
        self.split(self.wire.messages())
        events, self.events = self.events, []
        return events

    def place(self, side: str, price: str, quantity: str, **params: Any) -> Any:
        return self.ask(
            "order.place",
            symbol="BTCUSDT",
            side=side,
            type=params.pop("type", "LIMIT"),
            timeInForce=params.pop("timeInForce", "GTC"),
            price=price,
            quantity=quantity,
            **params,
        )


class StreamClient:
    """A connection to market streams."""

    def __init__(self, exchange: DirectExchange, *, is_combined: bool = False) -> None:
        assert exchange.gateway is not None
        self.exchange = exchange
        self.wire = TestWire()
        self.session: StreamSession = exchange.gateway.open_stream_session(
            self.wire, MILLISECOND, is_combined
        )

    def send(self, method: str, params: Any = None, request_id: Any = 1) -> Any:
        return self.send_raw(
            msgspec.json.encode({"method": method, "params": params, "id": request_id})
        )

    def send_raw(self, frame: bytes) -> Any:
        assert self.exchange.gateway is not None
        self.exchange.gateway.send_to(self.session, frame)
        self.exchange.run()
        return self.wire.messages()
