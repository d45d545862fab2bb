"""Is every unit of money where it should be? Recomputed from accounts, ledgers and market streams.

Any vector of positions will do: each account shard may be behind each market by any number of
messages, as long as those messages are given. Nothing here trusts what it checks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exchange.account.ledger import Settlements, ShardLedger
from exchange.account.state import Account, AccountOrder, is_amount_used
from exchange.ids import account_shard
from exchange.market.events import (
    MarketToAccount,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.orders import OrderState, OrderStatus, Side

FINDINGS_MAX = 1_000  # a report is for people; one broken rule can show up in every account


@dataclass(frozen=True, slots=True)
class AccountShardView:
    """One account shard at one position of its stream."""

    shard: str
    accounts: Mapping[int, Account]
    ledger: ShardLedger
    watermarks: Mapping[str, int]  # by market shard: how far its messages are applied
    # By market shard: the last number sent. Without it lost submissions are not looked for.
    sent: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MarketView:
    """One market at one position of its stream."""

    shard: str
    symbol: str
    base_asset: str
    quote_asset: str
    trades: int
    trade_ids: int  # the sum of all trade ids
    open_orders: Sequence[OrderState]
    last_numbers: Mapping[str, int]  # by account shard: of the last message to it
    # By account shard: the messages above its watermark, with their numbers.
    unconsumed: Mapping[str, Sequence[tuple[int, MarketToAccount]]]
    applied: Mapping[str, int] = field(default_factory=dict)  # by account shard: of its messages


@dataclass(frozen=True, slots=True)
class Finding:
    code: str
    shard: str
    facts: dict[str, int | str]


@dataclass(frozen=True, slots=True)
class AssetLine:
    """One asset over all shards, in minor units."""

    asset: str
    available: int
    held: int
    fees: int
    clearing: int
    external: int  # deposits - withdrawals

    @property
    def difference(self) -> int:
        """What is there beyond what came in: 0, or money was made or lost."""
        return self.available + self.held + self.fees + self.clearing - self.external


@dataclass(frozen=True, slots=True)
class AuditReport:
    assets: tuple[AssetLine, ...]
    findings: tuple[Finding, ...]
    accounts: int
    open_orders: int
    trades: int
    unconsumed: int  # messages on their way
    snapshots: int = 0  # shards whose live state was compared with what their journal says

    @property
    def is_clean(self) -> bool:
        return not self.findings


def audit(account_shards: Sequence[AccountShardView], markets: Sequence[MarketView]) -> AuditReport:
    """Check all of it. `account_shards` must be all there are: their count places accounts."""
    findings: list[Finding] = []
    for shard in account_shards:
        findings += _check_conservation(shard)
        for _, account in sorted(shard.accounts.items()):
            findings += _check_account(shard, account)
        findings += _check_placement(shard, len(account_shards))
    for market in markets:
        for shard in account_shards:
            findings += _check_numbers(shard, market)
        findings += _check_trades(account_shards, market)
        findings += _check_orders(account_shards, market)
    findings += _check_clearing(account_shards, markets)
    return AuditReport(
        tuple(_asset_lines(account_shards)),
        tuple(findings[:FINDINGS_MAX]),
        sum(len(shard.accounts) for shard in account_shards),
        sum(len(market.open_orders) for market in markets),
        sum(market.trades for market in markets),
        sum(len(batch) for market in markets for batch in market.unconsumed.values()),
    )


# ------------------------------------------------------------------ within one shard


def _shard_line(shard: AccountShardView, asset: str) -> AssetLine:
    balances = [
        account.balances[asset] for account in shard.accounts.values() if asset in account.balances
    ]
    return AssetLine(
        asset,
        sum(balance.available for balance in balances),
        sum(balance.held for balance in balances),
        shard.ledger.fees().get(asset, 0),
        shard.ledger.clearing().get(asset, 0),
        shard.ledger.external.get(asset, 0),
    )


def _assets_of(shard: AccountShardView) -> list[str]:
    names = {asset: None for account in shard.accounts.values() for asset in account.balances}
    names |= dict.fromkeys(shard.ledger.fees())
    names |= dict.fromkeys(shard.ledger.external)
    return sorted(names)


def _check_conservation(shard: AccountShardView) -> Iterator[Finding]:
    for asset in _assets_of(shard):
        line = _shard_line(shard, asset)
        if line.difference:
            facts: dict[str, int | str] = {
                "asset": asset,
                "difference": line.difference,
                "available": line.available,
                "held": line.held,
                "fees": line.fees,
                "clearing": line.clearing,
                "external": line.external,
            }
            yield Finding("money_not_conserved", shard.shard, facts)


def _check_account(shard: AccountShardView, account: Account) -> Iterator[Finding]:
    held: dict[str, int] = {}
    for order in account.orders.values():
        held[order.hold_asset] = held.get(order.hold_asset, 0) + order.hold_left
        if _hold_due(order) != order.hold_left:
            yield Finding(
                "hold_is_not_what_the_order_needs",
                shard.shard,
                {
                    "account_id": account.account_id,
                    "order_ref": order.order_ref,
                    "hold_left": order.hold_left,
                    "needed": _hold_due(order),
                },
            )
    for order in account.closed_orders():
        if order.hold_left:
            yield Finding(
                "closed_order_holds",
                shard.shard,
                {"account_id": account.account_id, "order_ref": order.order_ref},
            )
    for asset in sorted({**account.balances, **held}):
        available, in_balance = account.available(asset), 0
        if asset in account.balances:
            in_balance = account.balances[asset].held
        facts: dict[str, int | str] = {
            "account_id": account.account_id,
            "asset": asset,
            "available": available,
            "held": in_balance,
            "held_by_orders": held.get(asset, 0),
        }
        if in_balance != held.get(asset, 0):
            yield Finding("held_is_not_what_orders_hold", shard.shard, facts)
        if available < 0 or in_balance < 0:
            yield Finding("negative_balance", shard.shard, facts)


def _hold_due(order: AccountOrder) -> int:
    """Return what an open order must hold; pending ones and those by amount hold what they hold."""
    if order.status is OrderStatus.PENDING or order.quantity_lots == 0:
        return order.hold_left
    if order.hold_needed == 0:  # no protective price was known: it could not trade
        return 0
    return order.hold_per_lot * (order.quantity_lots - order.executed_lots)


def _check_placement(shard: AccountShardView, shards: int) -> Iterator[Finding]:
    for account_id in sorted(shard.accounts):
        if account_shard(account_id, shards) != shard.shard:
            yield Finding("account_in_wrong_shard", shard.shard, {"account_id": account_id})


# ------------------------------------------------------------------ between shards


def _check_numbers(shard: AccountShardView, market: MarketView) -> Iterator[Finding]:
    """The messages not consumed are all of them: dense from the watermark to the last."""
    number = shard.watermarks.get(market.shard, 0)
    last = market.last_numbers.get(shard.shard, 0)
    for found, _ in market.unconsumed.get(shard.shard, ()):
        if found != number + 1:
            facts: dict[str, int | str] = {
                "account_shard": shard.shard,
                "number": found,
                "expected": number + 1,
            }
            yield Finding("message_missing", market.shard, facts)
        number = found
    if number != last:
        facts = {"account_shard": shard.shard, "number": number, "last": last}
        yield Finding("message_missing", market.shard, facts)


def _unsettled_sides(
    shard: str, market: MarketView, shards: int
) -> Iterator[tuple[TradeExecuted, bool]]:
    """Yield (trade, whether it is the buyer's) for each side that `shard` has yet to settle."""
    for _, event in market.unconsumed.get(shard, ()):
        if not isinstance(event, TradeExecuted):
            continue
        is_taker_buyer = event.taker_side == Side.BUY
        if account_shard(event.taker_account_id, shards) == shard:
            yield event, is_taker_buyer
        if account_shard(event.maker_account_id, shards) == shard:
            yield event, not is_taker_buyer


def _check_trades(shards: Sequence[AccountShardView], market: MarketView) -> Iterator[Finding]:
    """Every trade has two sides, each settled once or still on its way."""
    sides = trade_ids = 0
    for shard in shards:
        settled = shard.ledger.settlements.get(market.symbol)
        if settled is not None:
            sides += settled.sides
            trade_ids += settled.trade_ids
        for event, _ in _unsettled_sides(shard.shard, market, len(shards)):
            sides += 1
            trade_ids += event.trade_id
    if sides != 2 * market.trades:
        facts: dict[str, int | str] = {"sides": sides, "expected": 2 * market.trades}
        yield Finding("sides_are_not_twice_the_trades", market.shard, facts)
    if trade_ids != 2 * market.trade_ids:
        facts = {"sum": trade_ids, "expected": 2 * market.trade_ids}
        yield Finding("trade_ids_do_not_add_up", market.shard, facts)


def _check_clearing(
    shards: Sequence[AccountShardView], markets: Sequence[MarketView]
) -> Iterator[Finding]:
    """Clearing over all shards is the sides settled alone: minus what is still to be settled."""
    booked: dict[str, int] = {}
    for shard in shards:
        for asset, amount in shard.ledger.clearing().items():
            booked[asset] = booked.get(asset, 0) + amount
    expected: dict[str, int] = dict.fromkeys(booked, 0)
    for market in markets:
        unsettled = Settlements(market.base_asset, market.quote_asset)
        for shard in shards:
            for event, is_buyer in _unsettled_sides(shard.shard, market, len(shards)):
                if is_buyer:
                    unsettled.bought_base += event.base_amount
                    unsettled.bought_quote += event.quote_amount
                else:
                    unsettled.sold_base += event.base_amount
                    unsettled.sold_quote += event.quote_amount
        base = unsettled.bought_base - unsettled.sold_base
        quote = unsettled.sold_quote - unsettled.bought_quote
        expected[market.base_asset] = expected.get(market.base_asset, 0) + base
        expected[market.quote_asset] = expected.get(market.quote_asset, 0) + quote
    for asset in sorted(expected):
        if booked.get(asset, 0) != expected[asset]:
            facts: dict[str, int | str] = {
                "asset": asset,
                "clearing": booked.get(asset, 0),
                "expected": expected[asset],
            }
            yield Finding("clearing_is_not_the_sides_settled_alone", "", facts)


@dataclass(slots=True)
class _Seen:
    """One open order as its account will see it once all messages are consumed."""

    order_id: int
    side: Side
    quantity_lots: int  # 0 when by quote amount
    quote_amount: int
    executed_lots: int
    executed_quote: int


def _check_orders(shards: Sequence[AccountShardView], market: MarketView) -> Iterator[Finding]:
    """Accounts and market agree on what is open, given the messages on their way."""
    in_market = {(order.account_id, order.order_ref): order for order in market.open_orders}
    for shard in shards:
        seen, pending = _orders_to_come(shard, market, len(shards))
        has_all = market.applied.get(shard.shard, 0) == shard.sent.get(market.shard)
        for key in sorted(pending) if has_all else ():
            yield _order_finding("pending_order_lost", market, key)
        for key, order in sorted(seen.items()):
            other = in_market.pop(key, None)
            if other is None:
                yield _order_finding("open_order_not_in_market", market, key)
            elif (
                other.order_id != order.order_id
                or other.quantity_lots != order.quantity_lots
                or other.executed_lots != order.executed_lots
            ):
                yield _order_finding("open_order_differs", market, key)
    for key in sorted(in_market):
        yield _order_finding("open_order_not_in_account", market, key)


def _order_finding(code: str, market: MarketView, key: tuple[int, int]) -> Finding:
    return Finding(code, market.shard, {"account_id": key[0], "order_ref": key[1]})


def _orders_to_come(
    shard: AccountShardView, market: MarketView, shards: int
) -> tuple[dict[tuple[int, int], _Seen], dict[tuple[int, int], None]]:
    """Return the open orders of the market as the shard will see them, and those unanswered."""
    seen: dict[tuple[int, int], _Seen] = {}
    pending: dict[tuple[int, int], None] = {}
    for account in shard.accounts.values():
        for order in account.orders.values():
            key = account.account_id, order.order_ref
            if order.symbol != market.symbol:
                continue
            if order.status is OrderStatus.PENDING:
                pending[key] = None
            else:
                seen[key] = _Seen(
                    order.order_id,
                    order.side,
                    order.quantity_lots,
                    order.quote_amount,
                    order.executed_lots,
                    order.executed_quote,
                )
    for _, event in market.unconsumed.get(shard.shard, ()):
        if isinstance(event, TradeExecuted):
            for account_id, order_ref in (
                (event.taker_account_id, event.taker_order_ref),
                (event.maker_account_id, event.maker_order_ref),
            ):
                if account_shard(account_id, shards) == shard.shard:
                    _fill(seen, (account_id, order_ref), event)
            continue
        key = event.account_id, event.order_ref
        if isinstance(event, OrderAccepted):
            pending.pop(key, None)
            seen[key] = _Seen(
                event.order_id, event.side, event.quantity_lots, event.quote_amount, 0, 0
            )
        elif isinstance(event, OrderRejected):
            pending.pop(key, None)
        elif isinstance(event, OrderClosed):
            seen.pop(key, None)
        elif isinstance(event, OrderAmended) and key in seen:
            seen[key].quantity_lots = event.new_quantity_lots
    return seen, pending


def _fill(seen: dict[tuple[int, int], _Seen], key: tuple[int, int], event: TradeExecuted) -> None:
    order = seen.get(key)
    if order is None:
        return
    order.executed_lots += event.quantity_lots
    order.executed_quote += event.quote_amount
    if order.quantity_lots:
        is_over = order.executed_lots == order.quantity_lots
    else:
        rest = order.quote_amount - order.executed_quote
        is_over = is_amount_used(order.side, rest, event.quantity_lots, event.quote_amount)
    if is_over:
        del seen[key]


# ------------------------------------------------------------------ the table


def _asset_lines(shards: Sequence[AccountShardView]) -> Iterator[AssetLine]:
    assets = sorted({asset: None for shard in shards for asset in _assets_of(shard)})
    for asset in assets:
        lines = [_shard_line(shard, asset) for shard in shards]
        yield AssetLine(
            asset,
            sum(line.available for line in lines),
            sum(line.held for line in lines),
            sum(line.fees for line in lines),
            sum(line.clearing for line in lines),
            sum(line.external for line in lines),
        )
