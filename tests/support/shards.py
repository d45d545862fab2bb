"""Accounts and markets of one exchange, directly chained, with every delivery under test control.

Real deciders and folds; what the pipelines do (numbering, watermarks) is done here in lists.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from exchange.account import answers as account_answers
from exchange.account import snapshot
from exchange.account.commands import Deposit, PlaceOrder, ReadAccount, ReadKind
from exchange.account.decider import decide, evolve
from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.account.ledger import ShardLedger
from exchange.account.postings import LedgerAccount, postings
from exchange.account.reports import user_events
from exchange.account.state import Account
from exchange.answers import AccountPosition, Answer, UserEvent
from exchange.directory.events import MarketAdded
from exchange.ids import account_shard, market_shard
from exchange.instrument import Instrument
from exchange.market.answers import answer_of
from exchange.market.decider import decide as market_decide
from exchange.market.decider import evolve as market_evolve
from exchange.market.events import TradeExecuted
from exchange.market.state import Market
from exchange.money import UNIT
from exchange.orders import OrderType, SelfTradePrevention, Side, TimeInForce

BTCUSDT = Instrument(
    symbol="BTCUSDT",
    base_asset="BTC",
    quote_asset="USDT",
    tick_size=UNIT // 100,
    lot_size=UNIT // 1000,
    maker_rate_e8=100_003,  # so that commissions round
    taker_rate_e8=200_017,
)
ETHBTC = Instrument(
    symbol="ETHBTC",
    base_asset="ETH",
    quote_asset="BTC",
    tick_size=UNIT // 10_000,
    lot_size=UNIT // 1000,
    maker_rate_e8=100_003,
    taker_rate_e8=200_017,
)
TO_MARKET = (
    OrderSubmitted,
    ReplaceSubmitted,
    CancelRequested,
    CancelAllRequested,
    AmendRequested,
)


class Context:
    """A TradingContext of fixed instruments; quotes are set by the test."""

    def __init__(self, *instruments: Instrument) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.quotes: dict[tuple[str, Side], int] = {}
        self.accounts_max = 1_000_000

    def instrument(self, symbol: str) -> Instrument | None:
        return self.instruments.get(symbol)

    def fee_rates(self, account_id: int, symbol: str) -> tuple[int, int]:
        instrument = self.instruments[symbol]
        return instrument.maker_rate_e8, instrument.taker_rate_e8

    def has_asset(self, code: str) -> bool:
        return any(code in (i.base_asset, i.quote_asset) for i in self.instruments.values())

    def has_account(self, account_id: int) -> bool:
        return 0 < account_id <= self.accounts_max

    def protect_ticks(self, symbol: str, side: Side) -> int:
        return self.quotes.get((symbol, side), 0)


@dataclass
class AccountShard:
    name: str
    accounts: dict[int, Account] = field(default_factory=dict)
    ledger: ShardLedger = field(default_factory=ShardLedger)
    watermarks: dict[str, int] = field(default_factory=dict)
    journal: list[tuple[int, Any]] = field(default_factory=list)
    user_events: list[UserEvent] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)


@dataclass
class MarketShard:
    market: Market
    incoming: deque[Any] = field(default_factory=deque)
    applied: dict[str, int] = field(default_factory=dict)
    messages: dict[str, list[Any]] = field(default_factory=dict)  # number n is at n - 1
    answers: dict[int, Answer] = field(default_factory=dict)  # by request id


class Exchange:
    def __init__(self, shards: int = 2, *instruments: Instrument) -> None:
        self.context = Context(*(instruments or (BTCUSDT, ETHBTC)))
        self.shards = [AccountShard(f"account/{n}") for n in range(shards)]
        self.markets: dict[str, MarketShard] = {}
        self.now_ns = 1_000_000_000_000
        self.requests = 0
        for instrument in self.context.instruments.values():
            market = Market(instrument.symbol)
            for event in market_decide(market, MarketAdded(instrument, self.now_ns), self.now_ns):
                market_evolve(market, event)
            self.markets[instrument.symbol] = MarketShard(market)

    # ---------------------------------------------------------------- commands

    def next_request(self) -> tuple[int, bytes, str, int]:
        """Return received_at_ns, identity, reply_to and request_id of a new request."""
        self.requests += 1
        self.now_ns += 1_000
        return self.now_ns, self.requests.to_bytes(16, "big"), "gateway", self.requests

    def deposit(self, account_id: int, asset: str, amount: int) -> None:
        self.command(Deposit(account_id, asset, amount, *self.next_request()))

    def order(
        self,
        account_id: int,
        side: Side,
        price_ticks: int,
        quantity_lots: int,
        *,
        symbol: str = "BTCUSDT",
        order_type: OrderType = OrderType.LIMIT,
        time_in_force: TimeInForce = TimeInForce.GTC,
        quote_amount: int = 0,
        client_order_id: str = "",
    ) -> PlaceOrder:
        request = self.next_request()
        return PlaceOrder(
            account_id,
            symbol,
            side,
            order_type,
            time_in_force,
            price_ticks,
            quantity_lots,
            quote_amount,
            client_order_id or f"c{request[3]}",
            SelfTradePrevention.NONE,
            *request,
        )

    def account(self, account_id: int) -> Account:
        accounts = self.shard_of(account_id).accounts
        return accounts.setdefault(account_id, Account(account_id))

    def shard_of(self, account_id: int) -> AccountShard:
        return self.shards[account_id % len(self.shards)]

    def command(self, command: Any) -> Answer | None:
        """Let the account take `command`; what it sends to a market waits in `incoming`."""
        account_id = (command.place if hasattr(command, "place") else command).account_id
        account, shard = self.account(account_id), self.shard_of(account_id)
        events = decide(account, command, self.context)
        for event in events:
            self.fold(shard, account, event)
            if isinstance(event, TO_MARKET):
                symbol = event.order.symbol if isinstance(event, ReplaceSubmitted) else event.symbol
                target = market_shard(symbol)
                shard.sent[target] = shard.sent.get(target, 0) + 1
                self.markets[symbol].incoming.append(event)
        return account_answers.answer(account, command, events, shard.name, len(shard.journal))

    def outcome(self, account_id: int, identity: bytes, symbol: str = "") -> Answer | None:
        _, _, reply_to, request_id = self.next_request()
        read = ReadAccount(
            account_id, ReadKind.OUTCOME, symbol, 0, "", identity, (), reply_to, request_id
        )
        return self.command(read)

    # ---------------------------------------------------------------- deliveries

    def market_step(self, symbol: str) -> bool:
        """Let the market take its next message; False if there is none."""
        shard = self.markets[symbol]
        if not shard.incoming:
            return False
        message = shard.incoming.popleft()
        self.now_ns += 1_000
        request = message.order if type(message) is ReplaceSubmitted else message
        source = account_shard(request.account_id, len(self.shards))
        shard.applied[source] = shard.applied.get(source, 0) + 1
        events = market_decide(shard.market, message, self.now_ns)
        reply = answer_of(shard.market, message, events, market_shard(symbol), 0)
        if reply is not None:
            shard.answers[request.request_id] = reply
        for event in events:
            market_evolve(shard.market, event)
            for target in self._targets(event):
                shard.messages.setdefault(target, []).append(event)
        self._publish_quote(shard.market)
        return True

    def _publish_quote(self, market: Market) -> None:
        book = market.book
        symbol = market.symbol
        ask = -book.asks[-1] if book.asks else 0
        bid = book.bids[-1] if book.bids else 0
        self.context.quotes[symbol, Side.BUY] = ask + ask // 20 if ask else 0
        self.context.quotes[symbol, Side.SELL] = max(bid - bid // 20, 1) if bid else 0

    def _targets(self, event: Any) -> list[str]:
        if type(event) is TradeExecuted:
            parties = (event.taker_account_id, event.maker_account_id)
        else:
            parties = (event.account_id, event.account_id)
        return sorted({account_shard(party, len(self.shards)) for party in parties})

    def settle_step(self, shard: AccountShard, symbol: str) -> bool:
        """Let an account shard take the next message of a market; False if there is none."""
        source = market_shard(symbol)
        messages = self.markets[symbol].messages.get(shard.name, [])
        number = shard.watermarks.get(source, 0)
        if number == len(messages):
            return False
        event = messages[number]
        for account_id in self.parties_here(shard, event):
            self.fold(shard, self.account(account_id), event)
        shard.watermarks[source] = number + 1
        return True

    def parties_here(self, shard: AccountShard, event: Any) -> list[int]:
        if type(event) is not TradeExecuted:
            return [event.account_id]
        parties = sorted({event.taker_account_id, event.maker_account_id})
        return [party for party in parties if self.shard_of(party) is shard]

    def run(self) -> None:
        """Deliver everything."""
        while any(self.market_step(symbol) for symbol in self.markets) or any(
            self.settle_step(shard, symbol) for shard in self.shards for symbol in self.markets
        ):
            continue

    # ---------------------------------------------------------------- folding, checked

    def fold(self, shard: AccountShard, account: Account, event: Any) -> None:
        """Fold `event` and check what must hold after every event."""
        before = balances_of(account)
        user_seq = account.user_seq
        lines = postings(account, event)
        evolve(account, event)
        shard.ledger.apply(account.account_id, event)
        shard.journal.append((account.account_id, event))
        check_postings(account, before, lines)
        check_holds(account)
        given = user_events(account, event)
        numbers = [e.user_seq for e in given if not isinstance(e, AccountPosition)]
        assert numbers == list(range(user_seq + 1, account.user_seq + 1))
        shard.user_events += given


def balances_of(account: Account) -> dict[tuple[LedgerAccount, str], int]:
    found: dict[tuple[LedgerAccount, str], int] = {}
    for asset, balance in account.balances.items():
        found[LedgerAccount.AVAILABLE, asset] = balance.available
        found[LedgerAccount.HELD, asset] = balance.held
    return found


def check_postings(
    account: Account, before: dict[tuple[LedgerAccount, str], int], lines: Any
) -> None:
    """The postings sum to zero per asset and say exactly what the fold did."""
    sums: dict[str, int] = {}
    for line in lines:
        sums[line.asset] = sums.get(line.asset, 0) + line.amount
        if line.account_id:
            key = line.ledger_account, line.asset
            before[key] = before.get(key, 0) + line.amount
    assert not any(sums.values()), lines
    after = balances_of(account)
    assert {k: v for k, v in before.items() if v} == {k: v for k, v in after.items() if v}


def check_holds(account: Account) -> None:
    held: dict[str, int] = {}
    for order in account.orders.values():
        assert order.hold_left >= 0
        held[order.hold_asset] = held.get(order.hold_asset, 0) + order.hold_left
    assert all(order.hold_left == 0 for order in account.closed_orders())
    for asset, balance in account.balances.items():
        assert balance.available >= 0
        assert balance.held == held.get(asset, 0)


def check_conservation(shard: AccountShard) -> None:
    fees, clearing = shard.ledger.fees(), shard.ledger.clearing()
    assets = sorted({*fees, *clearing, *shard.ledger.external})
    for asset in assets:
        owned = sum(
            balance.available + balance.held
            for account in shard.accounts.values()
            for name, balance in account.balances.items()
            if name == asset
        )
        total = owned + fees.get(asset, 0) + clearing.get(asset, 0)
        assert total == shard.ledger.external.get(asset, 0), asset


def replayed(shard: AccountShard) -> bytes:
    """Return the snapshot of a shard rebuilt from its journal alone."""
    ledger, accounts = (
        ShardLedger(),
        {account_id: Account(account_id) for account_id in shard.accounts},
    )
    for account_id, event in shard.journal:
        evolve(accounts[account_id], event)
        ledger.apply(account_id, event)
    return snapshot.encode_shard(ledger, accounts.values())
