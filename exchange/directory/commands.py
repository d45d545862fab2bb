"""What operators ask of the directory. Refused with a reason, or one event."""

import enum

from exchange.instrument import Instrument, MarketStatus
from exchange.message import Command


class KeyType(enum.IntEnum):
    HMAC = 1
    ED25519 = 2
    RSA = 3


class Permission(enum.IntFlag):
    READ = 1
    TRADE = 2
    STREAM = 4


class CreateUser(Command, frozen=True, tag=501):
    name: str
    received_at_ns: int
    reply_to: str
    request_id: int


class CreateKey(Command, frozen=True, tag=502):
    """`secret` is the HMAC secret, encrypted under the cluster secret, or a public key (DER)."""

    key_id: str
    account_id: int
    key_type: KeyType
    secret: bytes
    permissions: Permission
    addresses: tuple[str, ...]  # client networks allowed; empty: all
    label: str
    received_at_ns: int
    reply_to: str
    request_id: int


class RevokeKey(Command, frozen=True, tag=503):
    key_id: str
    received_at_ns: int
    reply_to: str
    request_id: int


class AddAsset(Command, frozen=True, tag=504):
    code: str
    name: str
    received_at_ns: int
    reply_to: str
    request_id: int


class AddMarket(Command, frozen=True, tag=505):
    instrument: Instrument
    received_at_ns: int
    reply_to: str
    request_id: int


class ChangeInstrument(Command, frozen=True, tag=506):
    """New filters or fees; symbol, assets, tick and lot size must stay as they are."""

    instrument: Instrument
    received_at_ns: int
    reply_to: str
    request_id: int


class SetMarketStatus(Command, frozen=True, tag=507):
    symbol: str
    status: MarketStatus
    reason: str
    received_at_ns: int
    reply_to: str
    request_id: int


class SetFees(Command, frozen=True, tag=508):
    """An account's own fee rates, for one market or ("") for all; -1 removes them."""

    account_id: int
    symbol: str
    maker_rate_e8: int
    taker_rate_e8: int
    received_at_ns: int
    reply_to: str
    request_id: int


DirectoryCommand = (
    CreateUser
    | CreateKey
    | RevokeKey
    | AddAsset
    | AddMarket
    | ChangeInstrument
    | SetMarketStatus
    | SetFees
)
