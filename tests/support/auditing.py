"""What the audit is given, taken from an exchange of tests/support/shards.py as it stands."""

from exchange.audit import AccountShardView, AuditReport, MarketView, audit
from exchange.ids import market_shard
from tests.support.shards import Exchange


def audit_of(exchange: Exchange) -> AuditReport:
    return audit(account_views(exchange), market_views(exchange))


def account_views(exchange: Exchange) -> list[AccountShardView]:
    return [
        AccountShardView(shard.name, shard.accounts, shard.ledger, shard.watermarks, shard.sent)
        for shard in exchange.shards
    ]


def market_views(exchange: Exchange) -> list[MarketView]:
    views = []
    for symbol, shard in exchange.markets.items():
        market, name = shard.market, market_shard(symbol)
        instrument = exchange.context.instruments[symbol]
        unconsumed = {}
        for account_shard in exchange.shards:
            first = account_shard.watermarks.get(name, 0)
            messages = shard.messages.get(account_shard.name, [])[first:]
            unconsumed[account_shard.name] = list(enumerate(messages, first + 1))
        views.append(
            MarketView(
                name,
                symbol,
                instrument.base_asset,
                instrument.quote_asset,
                market.trades,
                market.sum_of_trade_ids,
                list(market.orders.values()),
                {target: len(messages) for target, messages in shard.messages.items()},
                unconsumed,
                shard.applied,
            )
        )
    return views
