"""Identifiers and how they are derived. Nothing here is random: same journal, same ids."""

import hashlib
from typing import NewType

AccountId = NewType("AccountId", int)
OrderRef = NewType("OrderRef", int)  # running number of an account's submissions
OrderId = NewType("OrderId", int)  # running number of a market's orders
TradeId = NewType("TradeId", int)  # running number of a market's trades
Symbol = NewType("Symbol", str)  # upper case: BTCUSDT
AssetCode = NewType("AssetCode", str)  # upper case: BTC
ShardId = NewType("ShardId", str)  # "account/3", "market/BTCUSDT", "directory/0"
Identity = NewType("Identity", bytes)  # 16 bytes: which request this is, for duplicate removal

DIRECTORY_SHARD = ShardId("directory/0")


def account_shard(account_id: int, account_shards: int) -> ShardId:
    """Return the shard that owns `account_id`; `account_shards` never changes after first start."""
    return ShardId(f"account/{account_id % account_shards}")


def market_shard(symbol: str) -> ShardId:
    """Return the shard that owns the market of `symbol`."""
    return ShardId(f"market/{symbol}")


def request_identity(*parts: bytes) -> Identity:
    """Return a request's identity: of (key, signature), or (account, parameters, timestamp)."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return Identity(digest.digest())
