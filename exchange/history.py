"""Rows of history: what became of orders, trades and transfers, as they are kept for years."""

import msgspec


class AccountTrade(msgspec.Struct, frozen=True, array_like=True):
    """One side of a trade. A self-trade has two with the same trade_id."""

    account_id: int
    symbol: str
    trade_id: int
    order_id: int
    price_ticks: int
    quantity_lots: int
    base_amount: int
    quote_amount: int
    commission: int
    commission_asset: str
    at_ns: int
    is_buyer: bool
    is_maker: bool


class Transfer(msgspec.Struct, frozen=True, array_like=True):
    """A deposit (positive amount) or withdrawal (negative)."""

    account_id: int
    asset: str
    amount: int
    at_ns: int
    identity: bytes


class MarketAssets(msgspec.Struct, frozen=True, array_like=True):
    """What a market trades: the ledger needs it to say in which asset an amount is."""

    symbol: str
    base_asset: str
    quote_asset: str
