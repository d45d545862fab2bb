"""Who and what the exchange knows: users, keys, assets, instruments, fees. Every host has a copy.

What was decided is kept as the events themselves. Bounds are in decider.py.
"""

from dataclasses import dataclass, field

from exchange.directory.events import (
    AssetAdded,
    DirectoryEvent,
    FeesSet,
    KeyCreated,
    KeyRevoked,
    MarketAdded,
    MarketStatusSet,
    UserCreated,
)
from exchange.instrument import Instrument, MarketStatus


@dataclass(slots=True)
class Directory:
    """The directory shard's state, and its replica on every host. Only fold.py writes it."""

    users: dict[int, UserCreated] = field(default_factory=dict)  # by account id, dense from 1
    names: dict[str, int] = field(default_factory=dict)  # user name -> account id
    keys: dict[str, KeyCreated] = field(default_factory=dict)  # those not revoked
    revoked: dict[str, KeyRevoked] = field(default_factory=dict)  # an id is never used again
    assets: dict[str, AssetAdded] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    added_at_ns: dict[str, int] = field(default_factory=dict)  # of the markets
    statuses: dict[str, MarketStatusSet] = field(default_factory=dict)  # of those ever set
    fees: dict[int, dict[str, FeesSet]] = field(default_factory=dict)  # by account, by symbol or ""

    def key(self, key_id: str) -> KeyCreated | None:
        """Return the key; None when it is unknown or revoked."""
        return self.keys.get(key_id)

    def has_account(self, account_id: int) -> bool:
        return account_id in self.users

    def has_asset(self, code: str) -> bool:
        return code in self.assets

    def instrument(self, symbol: str) -> Instrument | None:
        return self.instruments.get(symbol)

    def status(self, symbol: str) -> MarketStatus:
        """Return the status that operators last set; a market starts as TRADING."""
        set_last = self.statuses.get(symbol)
        return set_last.status if set_last is not None else MarketStatus.TRADING

    def fee_rates(self, account_id: int, symbol: str) -> tuple[int, int]:
        """Return (maker, taker) in 10**-8: the account's own for the market, its own for all
        markets, or the instrument's. The symbol is known."""
        own = self.fees.get(account_id)
        if own is not None:
            fees = own.get(symbol) or own.get("")
            if fees is not None:
                return fees.maker_rate_e8, fees.taker_rate_e8
        instrument = self.instruments[symbol]
        return instrument.maker_rate_e8, instrument.taker_rate_e8


def full_events(directory: Directory) -> list[DirectoryEvent]:
    """Return events that rebuild the directory from nothing, equal for equal directories.

    Of revoked keys only the ids are left, so their secrets leave the copies too.
    """
    users = sorted(directory.users.items())
    assets = sorted(directory.assets.values(), key=lambda asset: (asset.at_ns, asset.code))
    symbols = sorted(
        directory.instruments, key=lambda symbol: (directory.added_at_ns[symbol], symbol)
    )
    return [
        *(user for _, user in users),
        *assets,
        *(
            MarketAdded(directory.instruments[symbol], directory.added_at_ns[symbol])
            for symbol in symbols
        ),
        *(status for _, status in sorted(directory.statuses.items())),
        *(key for _, key in sorted(directory.keys.items())),
        *(key for _, key in sorted(directory.revoked.items())),
        *(fees for _, own in sorted(directory.fees.items()) for _, fees in sorted(own.items())),
    ]
