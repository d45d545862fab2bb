"""The books of one account shard beside its accounts: fees, clearing, the outside world.

A shard settles its side of a trade against clearing, which the other side's shard books the other
way round. At any time, per shard and asset: available + held + fees + clearing = external, where
external is deposits less withdrawals. Summed over all shards, clearing is exactly the sides of
trades that are settled on one side only (exchange/audit.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from exchange.account.events import (
    AccountEvent,
    Deposited,
    OrderSubmitted,
    ReplaceSubmitted,
    Withdrawn,
)
from exchange.errors import InvariantError
from exchange.market.events import MarketToAccount, TradeExecuted
from exchange.orders import Side

_BUY: Final = Side.BUY


class Settlements(msgspec.Struct, array_like=True):
    """What this shard settled of one market. Amounts in minor units, commissions included."""

    base_asset: str
    quote_asset: str
    sides: int = 0
    trade_ids: int = 0  # the sum of the trade ids of those sides
    bought_base: int = 0
    bought_quote: int = 0  # paid for it
    sold_base: int = 0
    sold_quote: int = 0  # received for it
    fees_base: int = 0  # kept of what buyers received
    fees_quote: int = 0  # kept of what sellers received


@dataclass(slots=True)
class ShardLedger:
    """Bounded by the markets and assets of the directory."""

    settlements: dict[str, Settlements] = field(default_factory=dict)  # by symbol
    external: dict[str, int] = field(default_factory=dict)  # by asset: deposits - withdrawals

    def apply(self, account_id: int, event: AccountEvent | MarketToAccount) -> None:
        """Book `event`, once for each account of this shard that folded it in.

        Raises:
            InvariantError: a trade in a market where no account of this shard has ordered.
        """
        book = _BOOKS.get(type(event))
        if book is not None:
            book(self, account_id, event)

    def fees(self) -> dict[str, int]:
        """Return the commissions taken, by asset."""
        fees: dict[str, int] = {}
        for market in self.settlements.values():
            fees[market.base_asset] = fees.get(market.base_asset, 0) + market.fees_base
            fees[market.quote_asset] = fees.get(market.quote_asset, 0) + market.fees_quote
        return fees

    def clearing(self) -> dict[str, int]:
        """Return what this shard's sides paid into clearing less what they took, by asset."""
        clearing: dict[str, int] = {}
        for market in self.settlements.values():
            base, quote = market.base_asset, market.quote_asset
            clearing[base] = clearing.get(base, 0) + market.sold_base - market.bought_base
            clearing[quote] = clearing.get(quote, 0) + market.bought_quote - market.sold_quote
        return clearing


def _submitted(ledger: ShardLedger, _account_id: int, event: OrderSubmitted) -> None:
    # Trades name only the market; its assets are learned here, before any side can trade.
    symbol = event.symbol
    if symbol not in ledger.settlements:
        asset = event.hold_asset
        if event.side == _BUY:
            assets = symbol.removesuffix(asset), asset
        else:
            assets = asset, symbol.removeprefix(asset)
        ledger.settlements[symbol] = Settlements(*assets)


def _replace_submitted(ledger: ShardLedger, account_id: int, event: ReplaceSubmitted) -> None:
    _submitted(ledger, account_id, event.order)


def _traded(ledger: ShardLedger, account_id: int, event: TradeExecuted) -> None:
    market = ledger.settlements.get(event.symbol)
    if market is None:
        raise InvariantError(account_id=account_id, symbol=event.symbol, trade_id=event.trade_id)
    if event.taker_account_id == account_id:
        is_buyer = event.taker_side == _BUY
        _settled(market, event, is_buyer, event.taker_commission)
    if event.maker_account_id == account_id:
        is_buyer = event.taker_side != _BUY
        _settled(market, event, is_buyer, event.maker_commission)


def _settled(market: Settlements, event: TradeExecuted, is_buyer: bool, commission: int) -> None:
    market.sides += 1
    market.trade_ids += event.trade_id
    if is_buyer:
        market.bought_base += event.base_amount
        market.bought_quote += event.quote_amount
        market.fees_base += commission
    else:
        market.sold_base += event.base_amount
        market.sold_quote += event.quote_amount
        market.fees_quote += commission


def _deposited(ledger: ShardLedger, _account_id: int, event: Deposited) -> None:
    ledger.external[event.asset] = ledger.external.get(event.asset, 0) + event.amount


def _withdrawn(ledger: ShardLedger, _account_id: int, event: Withdrawn) -> None:
    ledger.external[event.asset] = ledger.external.get(event.asset, 0) - event.amount


_BOOKS: Final[dict[type, Callable[[ShardLedger, int, Any], None]]] = {
    OrderSubmitted: _submitted,
    ReplaceSubmitted: _replace_submitted,
    TradeExecuted: _traded,
    Deposited: _deposited,
    Withdrawn: _withdrawn,
}
