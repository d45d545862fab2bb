"""Accounts and their shard's ledger as bytes, and back. Equal states encode equal.

Everything is in it, the remembered requests included; the index of orders is derived again. The
many (closed orders, requests) are as the account keeps them: encoding copies bytes, and restoring
decodes no closed order. Of a busy account that is still milliseconds; so what must be encoded as it
is now, while trading waits, is captured in microseconds and encoded later.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

import msgspec

from exchange.account.ledger import Settlements, ShardLedger
from exchange.account.state import Account, AccountOrder, AssetBalance, Known, Trace
from exchange.errors import InvariantError

PIECE_ENTRIES = 4_096  # of what is captured: well below a millisecond
_VERSION = 1


class _AccountImage(msgspec.Struct, array_like=True):
    account_id: int
    version: int
    balances: list[tuple[str, int, int]]  # (asset, available, held), sorted
    orders: list[AccountOrder]  # by order_ref
    expiries: list[list[int]]
    next_order_ref: int
    user_seq: int
    is_frozen: bool
    updated_at_ns: int
    # The many: last, so that they can be encoded later than the rest.
    closed: dict[int, bytes]  # in the order in which they closed
    identities: dict[bytes, Known]  # oldest first


class _LedgerImage(msgspec.Struct, array_like=True):
    """Sums as decimal text: those of years do not fit 64 bits."""

    version: int
    settlements: list[tuple[str, str, str, list[str]]]  # symbol, base, quote, sums; by symbol
    external: list[tuple[str, str]]  # by asset


_encode = msgspec.msgpack.Encoder().encode
_NO_CLOSED = _NO_IDENTITIES = _encode({})
_decode_account = msgspec.msgpack.Decoder(_AccountImage).decode
_decode_ledger = msgspec.msgpack.Decoder(_LedgerImage).decode
_decode_parts = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def encode(account: Account) -> bytes:
    """Return the whole account as bytes."""
    return _encode_image(account, account.closed, account.identities)


def _encode_image(
    account: Account, closed: dict[int, bytes], identities: dict[bytes, Known]
) -> bytes:
    return _encode(
        _AccountImage(
            account.account_id,
            _VERSION,
            [
                (asset, balance.available, balance.held)
                for asset, balance in sorted(account.balances.items())
            ],
            list(account.orders.values()),
            list(account.expiries),
            account.next_order_ref,
            account.user_seq,
            account.is_frozen,
            account.updated_at_ns,
            closed,
            identities,
        )
    )


class Capture:
    """An account as it was, to be encoded later and piece by piece.

    The many are only added to and forgotten, oldest first: so it is enough that the account traces
    what it loses of them. Of one account there may be one at a time, until it is done or dropped.
    """

    __slots__ = ("_account", "_pieces", "_trace", "_work")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pieces = [_encode_image(account, {}, {}).removesuffix(_NO_CLOSED + _NO_IDENTITIES)]
        self._trace = account.trace = Trace()
        self._work = self._encode_many(len(account.closed), len(account.identities))

    def advance(self) -> list[bytes] | None:
        """Encode some more; return the pieces of what `encode` would have returned, when done."""
        piece = next(self._work, None)
        if piece is not None:
            self._pieces.append(piece)
            return None
        self.drop()
        return self._pieces

    def drop(self) -> None:
        """Let the account forget without a trace."""
        if self._account.trace is self._trace:
            self._account.trace = None

    def _encode_many(self, closed: int, identities: int) -> Iterator[bytes]:
        account, trace = self._account, self._trace
        yield _map_head(closed)
        for start in range(0, closed, PIECE_ENTRIES):
            stop = min(start + PIECE_ENTRIES, closed)
            # What is forgotten moves from one to the other: the places of the rest stay the same.
            orders = islice(chain(trace.closed, account.closed.items()), start, stop)
            yield _encode(dict(orders)).removeprefix(_map_head(stop - start))
        yield _map_head(identities)
        for start in range(0, identities, PIECE_ENTRIES):
            stop = min(start + PIECE_ENTRIES, identities)
            known = chain(trace.identities, account.identities.items())
            requests = dict(islice(known, start, stop))
            for identity, before in trace.changed.items():
                if identity in requests:
                    requests[identity] = before
            yield _encode(requests).removeprefix(_map_head(stop - start))


def _map_head(entries: int) -> bytes:
    """Return how MessagePack begins a map of so many entries."""
    if entries < 16:
        return bytes((0x80 | entries,))
    if entries < 65_536:
        return b"\xde" + entries.to_bytes(2, "big")
    return b"\xdf" + entries.to_bytes(4, "big")


def decode(data: bytes | msgspec.Raw) -> Account:
    """Return the account that `encode` was given.

    Raises:
        InvariantError: written by a version that this one does not know.
        msgspec.DecodeError: not an account.
    """
    image = _decode_account(data)
    _check_version(image.version)
    return Account(
        image.account_id,
        {asset: AssetBalance(available, held) for asset, available, held in image.balances},
        {order.order_ref: order for order in image.orders},
        image.closed,
        image.identities,
        deque(image.expiries),
        image.next_order_ref,
        image.user_seq,
        image.is_frozen,
        image.updated_at_ns,
    )


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


def shard_pieces(ledger: bytes, accounts: Mapping[int, bytes | list[bytes]]) -> list[bytes]:
    """Return what a shard's snapshot is when joined: its ledger, its accounts by number.

    An account is what `encode` returned for it, or the pieces of that.

    Not joined here: of a busy shard it is a hundred megabytes, to be copied beside the trading.
    """
    head = b"\xdd" + (len(accounts) + 1).to_bytes(4, "big")  # of an array, as MessagePack has it
    pieces = [head, ledger]
    for account_id in sorted(accounts):
        account = accounts[account_id]
        if isinstance(account, bytes):
            pieces.append(account)
        else:
            pieces += account
    return pieces


def encode_shard(ledger: ShardLedger, accounts: Iterable[Account]) -> bytes:
    """Return ledger and accounts as one snapshot, the same for the same state."""
    encoded = {account.account_id: encode(account) for account in accounts}
    return b"".join(shard_pieces(encode_ledger(ledger), encoded))


def decode_shard(data: bytes) -> tuple[ShardLedger, list[Account]]:
    """Return the ledger and the accounts, by number."""
    ledger, *accounts = _decode_parts(data)
    return decode_ledger(ledger), [decode(account) for account in accounts]


def _check_version(version: int) -> None:
    if version != _VERSION:
        raise InvariantError(snapshot_version=version, known_version=_VERSION)
