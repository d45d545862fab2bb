"""Accounts and their shard's ledger as bytes, and back. Equal states encode equal.

Everything is in it, the remembered requests included; the index of orders is derived again.
"""

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from exchange.account.ledger import Settlements, ShardLedger
from exchange.account.state import Account, AccountOrder, AssetBalance, Known, OrderIndex
from exchange.errors import InvariantError

_VERSION = 1


class _AccountImage(msgspec.Struct, array_like=True):
    account_id: int
    version: int
    balances: list[tuple[str, int, int]]  # (asset, available, held), sorted
    orders: list[AccountOrder]  # by order_ref
    closed: list[AccountOrder]  # in the order in which they closed
    identities: list[tuple[bytes, Known]]  # oldest first
    expiries: list[tuple[int, bytes | int]]
    next_order_ref: int
    user_seq: int
    is_frozen: bool
    updated_at_ns: int


class _LedgerImage(msgspec.Struct, array_like=True):
    """Sums as decimal text: those of years do not fit 64 bits."""

    version: int
    settlements: list[tuple[str, str, str, list[str]]]  # symbol, base, quote, sums; by symbol
    external: list[tuple[str, str]]  # by asset


_encode = msgspec.msgpack.Encoder().encode
_decode_account = msgspec.msgpack.Decoder(_AccountImage).decode
_decode_ledger = msgspec.msgpack.Decoder(_LedgerImage).decode
_decode_parts = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def encode(account: Account) -> bytes:
    """Return the whole account as bytes."""
    return _encode(
        _AccountImage(
            account.account_id,
            _VERSION,
            [
                (asset, balance.available, balance.held)
                for asset, balance in sorted(account.balances.items())
            ],
            list(account.orders.values()),
            list(account.closed.values()),
            list(account.identities.items()),
            list(account.expiries),
            account.next_order_ref,
            account.user_seq,
            account.is_frozen,
            account.updated_at_ns,
        )
    )


def decode(data: bytes | msgspec.Raw) -> Account:
    """Return the account that `encode` was given.

    Raises:
        InvariantError: written by a version that this one does not know.
        msgspec.DecodeError: not an account.
    """
    image = _decode_account(data)
    _check_version(image.version)
    account = Account(
        image.account_id,
        {asset: AssetBalance(available, held) for asset, available, held in image.balances},
        {order.order_ref: order for order in image.orders},
        {order.order_ref: order for order in image.closed},
        dict(image.identities),
        deque(image.expiries),
        image.next_order_ref,
        image.user_seq,
        image.is_frozen,
        image.updated_at_ns,
    )
    _rebuild_index(account)
    return account


def _rebuild_index(account: Account) -> None:
    for orders in (account.orders, account.closed):
        for order in orders.values():
            if order.order_id:
                index = account.index.get(order.symbol)
                if index is None:
                    index = account.index[order.symbol] = OrderIndex()
                index.add(order)


def encode_ledger(ledger: ShardLedger) -> bytes:
    """Return the ledger as bytes."""
    return _encode(
        _LedgerImage(
            _VERSION,
            [_settlements_image(symbol, ledger) for symbol in sorted(ledger.settlements)],
            [(asset, str(amount)) for asset, amount in sorted(ledger.external.items())],
        )
    )


def decode_ledger(data: bytes | msgspec.Raw) -> ShardLedger:
    """Return the ledger that `encode_ledger` was given; raises as `decode`."""
    image = _decode_ledger(data)
    _check_version(image.version)
    return ShardLedger(
        {
            symbol: Settlements(base_asset, quote_asset, *map(int, sums))
            for symbol, base_asset, quote_asset, sums in image.settlements
        },
        {asset: int(amount) for asset, amount in image.external},
    )


def _settlements_image(symbol: str, ledger: ShardLedger) -> tuple[str, str, str, list[str]]:
    base_asset, quote_asset, *sums = msgspec.structs.astuple(ledger.settlements[symbol])
    return symbol, base_asset, quote_asset, [str(number) for number in sums]


def join_shard(parts: Sequence[bytes]) -> bytes:
    """Return a shard's snapshot: its encoded ledger, then its encoded accounts in any order."""
    return _encode([msgspec.Raw(parts[0]), *(msgspec.Raw(part) for part in sorted(parts[1:]))])


def encode_shard(ledger: ShardLedger, accounts: Iterable[Account]) -> bytes:
    """Return ledger and accounts as one snapshot, the same for the same state."""
    return join_shard([encode_ledger(ledger), *(encode(account) for account in accounts)])


def decode_shard(data: bytes) -> tuple[ShardLedger, list[Account]]:
    """Return the ledger and the accounts, by number."""
    ledger, *accounts = _decode_parts(data)
    decoded = [decode(account) for account in accounts]
    decoded.sort(key=lambda account: account.account_id)
    return decode_ledger(ledger), decoded


def _check_version(version: int) -> None:
    if version != _VERSION:
        raise InvariantError(snapshot_version=version, known_version=_VERSION)
