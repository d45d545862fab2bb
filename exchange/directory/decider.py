"""The directory: an operator's command in; one event, or the reason why not, out."""

from collections.abc import Callable
from typing import Any, Final

from exchange.directory.commands import (
    AddAsset,
    AddMarket,
    ChangeInstrument,
    CreateKey,
    CreateUser,
    DirectoryCommand,
    RevokeKey,
    SetFees,
    SetMarketStatus,
)
from exchange.directory.definitions import (
    is_asset_code,
    is_instrument,
    is_key,
    is_rate,
    is_text,
    is_user_name,
)
from exchange.directory.events import (
    AssetAdded,
    DirectoryEvent,
    FeesSet,
    InstrumentUpdated,
    KeyCreated,
    KeyRevoked,
    MarketAdded,
    MarketStatusSet,
    UserCreated,
)
from exchange.directory.fold import evolve
from exchange.directory.state import Directory
from exchange.instrument import MarketStatus
from exchange.reject import RejectReason

__all__ = ["decide", "evolve"]

# Every host holds all of it. Beyond a bound: OVERLOADED.
USERS_MAX: Final = 1_000_000
KEYS_MAX: Final = 2_000_000  # revoked ones too, since an id is never used again
ASSETS_MAX: Final = 10_000
MARKETS_MAX: Final = 10_000

Decision = tuple[tuple[DirectoryEvent, ...], RejectReason]


def decide(directory: Directory, command: DirectoryCommand) -> Decision:
    """Return the event of `command` and NONE, or no event and why. Never raises for input."""
    outcome = _DECIDERS[type(command)](directory, command)
    if isinstance(outcome, RejectReason):
        return (), outcome
    return (outcome,), RejectReason.NONE


def _create_user(directory: Directory, command: CreateUser) -> DirectoryEvent | RejectReason:
    if not is_user_name(command.name):
        return RejectReason.INVALID_DEFINITION
    if command.name in directory.names:
        return RejectReason.ALREADY_EXISTS
    if len(directory.users) >= USERS_MAX:
        return RejectReason.OVERLOADED
    # Numbers start at 1: account 0 is the exchange's own.
    return UserCreated(len(directory.users) + 1, command.name, command.received_at_ns)


def _create_key(directory: Directory, command: CreateKey) -> DirectoryEvent | RejectReason:
    if not is_key(command):
        return RejectReason.INVALID_DEFINITION
    if command.account_id not in directory.users:
        return RejectReason.UNKNOWN_USER
    if command.key_id in directory.keys or command.key_id in directory.revoked:
        return RejectReason.ALREADY_EXISTS
    if len(directory.keys) + len(directory.revoked) >= KEYS_MAX:
        return RejectReason.OVERLOADED
    return KeyCreated(
        command.key_id,
        command.account_id,
        command.key_type,
        command.secret,
        command.permissions,
        command.addresses,
        command.label,
        command.received_at_ns,
    )


def _revoke_key(directory: Directory, command: RevokeKey) -> DirectoryEvent | RejectReason:
    if command.key_id not in directory.keys:
        return RejectReason.UNKNOWN_KEY
    return KeyRevoked(command.key_id, command.received_at_ns)


def _add_asset(directory: Directory, command: AddAsset) -> DirectoryEvent | RejectReason:
    if not is_asset_code(command.code) or not is_text(command.name):
        return RejectReason.INVALID_DEFINITION
    if command.code in directory.assets:
        return RejectReason.ALREADY_EXISTS
    if len(directory.assets) >= ASSETS_MAX:
        return RejectReason.OVERLOADED
    return AssetAdded(command.code, command.name, command.received_at_ns)


def _add_market(directory: Directory, command: AddMarket) -> DirectoryEvent | RejectReason:
    instrument = command.instrument
    if not is_instrument(instrument):
        return RejectReason.INVALID_DEFINITION
    if instrument.symbol in directory.instruments:
        return RejectReason.ALREADY_EXISTS
    if not (
        instrument.base_asset in directory.assets and instrument.quote_asset in directory.assets
    ):
        return RejectReason.UNKNOWN_ASSET
    if len(directory.instruments) >= MARKETS_MAX:
        return RejectReason.OVERLOADED
    return MarketAdded(instrument, command.received_at_ns)


def _change_instrument(
    directory: Directory, command: ChangeInstrument
) -> DirectoryEvent | RejectReason:
    new = command.instrument
    old = directory.instruments.get(new.symbol)
    if old is None:
        return RejectReason.UNKNOWN_SYMBOL
    # Open orders and holds are counted in ticks and lots of these assets.
    fixed_old = (old.base_asset, old.quote_asset, old.tick_size, old.lot_size)
    fixed_new = (new.base_asset, new.quote_asset, new.tick_size, new.lot_size)
    if fixed_old != fixed_new or not is_instrument(new):
        return RejectReason.INVALID_DEFINITION
    return InstrumentUpdated(new, command.received_at_ns)


def _set_status(directory: Directory, command: SetMarketStatus) -> DirectoryEvent | RejectReason:
    if command.symbol not in directory.instruments:
        return RejectReason.UNKNOWN_SYMBOL
    if command.status not in tuple(MarketStatus) or not is_text(command.reason):
        return RejectReason.INVALID_DEFINITION
    return MarketStatusSet(command.symbol, command.status, command.reason, command.received_at_ns)


def _set_fees(directory: Directory, command: SetFees) -> DirectoryEvent | RejectReason:
    if command.account_id not in directory.users:
        return RejectReason.UNKNOWN_USER
    if command.symbol and command.symbol not in directory.instruments:
        return RejectReason.UNKNOWN_SYMBOL
    maker, taker = command.maker_rate_e8, command.taker_rate_e8
    if (maker, taker) != (-1, -1) and not (is_rate(maker) and is_rate(taker)):
        return RejectReason.INVALID_DEFINITION
    return FeesSet(command.account_id, command.symbol, maker, taker, command.received_at_ns)


_DECIDERS: Final[dict[type, Callable[[Directory, Any], DirectoryEvent | RejectReason]]] = {
    CreateUser: _create_user,
    CreateKey: _create_key,
    RevokeKey: _revoke_key,
    AddAsset: _add_asset,
    AddMarket: _add_market,
    ChangeInstrument: _change_instrument,
    SetMarketStatus: _set_status,
    SetFees: _set_fees,
}
