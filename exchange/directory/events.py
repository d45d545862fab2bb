"""What happened to the directory. MarketAdded and what follows it are also messages to markets."""

from exchange.directory.commands import KeyType, Permission
from exchange.instrument import Instrument, MarketStatus
from exchange.message import Event


class UserCreated(Event, frozen=True, tag=301):
    account_id: int
    name: str
    at_ns: int


class KeyCreated(Event, frozen=True, tag=302):
    key_id: str
    account_id: int
    key_type: KeyType
    secret: bytes
    permissions: Permission
    addresses: tuple[str, ...]
    label: str
    at_ns: int


class KeyRevoked(Event, frozen=True, tag=303):
    key_id: str
    at_ns: int


class AssetAdded(Event, frozen=True, tag=304):
    code: str
    name: str
    at_ns: int


class MarketAdded(Event, frozen=True, tag=305):
    instrument: Instrument
    at_ns: int


class InstrumentUpdated(Event, frozen=True, tag=306):
    instrument: Instrument
    at_ns: int


class MarketStatusSet(Event, frozen=True, tag=307):
    symbol: str
    status: MarketStatus
    reason: str
    at_ns: int


class FeesSet(Event, frozen=True, tag=308):
    account_id: int
    symbol: str
    maker_rate_e8: int
    taker_rate_e8: int
    at_ns: int


# What a market consumes from the directory's stream.
DirectoryToMarket = MarketAdded | InstrumentUpdated | MarketStatusSet
DirectoryEvent = DirectoryToMarket | UserCreated | KeyCreated | KeyRevoked | AssetAdded | FeesSet
