"""Fold one event into the directory or into a host's copy of it. Never refuses."""

from collections.abc import Callable
from typing import Any, Final

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
from exchange.directory.state import Directory
from exchange.errors import InvariantError


def evolve(directory: Directory, event: DirectoryEvent) -> None:
    """Apply `event` in place.

    Raises:
        InvariantError: directory and event contradict each other.
    """
    _HANDLERS[type(event)](directory, event)


def _user_created(directory: Directory, event: UserCreated) -> None:
    if event.account_id != len(directory.users) + 1 or event.name in directory.names:
        raise InvariantError(account_id=event.account_id, name=event.name)
    directory.users[event.account_id] = event
    directory.names[event.name] = event.account_id


def _key_created(directory: Directory, event: KeyCreated) -> None:
    if event.key_id in directory.keys or event.key_id in directory.revoked:
        raise InvariantError(key_id=event.key_id)
    directory.keys[event.key_id] = event


def _key_revoked(directory: Directory, event: KeyRevoked) -> None:
    if event.key_id in directory.revoked:
        raise InvariantError(key_id=event.key_id)
    # A copy that starts from the full events never saw the key itself.
    directory.keys.pop(event.key_id, None)
    directory.revoked[event.key_id] = event


def _asset_added(directory: Directory, event: AssetAdded) -> None:
    if event.code in directory.assets:
        raise InvariantError(asset=event.code)
    directory.assets[event.code] = event


def _market_added(directory: Directory, event: MarketAdded) -> None:
    symbol = event.instrument.symbol
    if symbol in directory.instruments:
        raise InvariantError(symbol=symbol)
    directory.instruments[symbol] = event.instrument
    directory.added_at_ns[symbol] = event.at_ns


def _instrument_updated(directory: Directory, event: InstrumentUpdated) -> None:
    symbol = event.instrument.symbol
    if symbol not in directory.instruments:
        raise InvariantError(symbol=symbol)
    directory.instruments[symbol] = event.instrument


def _status_set(directory: Directory, event: MarketStatusSet) -> None:
    if event.symbol not in directory.instruments:
        raise InvariantError(symbol=event.symbol)
    directory.statuses[event.symbol] = event


def _fees_set(directory: Directory, event: FeesSet) -> None:
    own = directory.fees.setdefault(event.account_id, {})
    if event.maker_rate_e8 >= 0:
        own[event.symbol] = event
        return
    own.pop(event.symbol, None)
    if not own:
        del directory.fees[event.account_id]


_HANDLERS: Final[dict[type, Callable[[Directory, Any], None]]] = {
    UserCreated: _user_created,
    KeyCreated: _key_created,
    KeyRevoked: _key_revoked,
    AssetAdded: _asset_added,
    MarketAdded: _market_added,
    InstrumentUpdated: _instrument_updated,
    MarketStatusSet: _status_set,
    FeesSet: _fees_set,
}
