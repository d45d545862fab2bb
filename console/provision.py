"""Put assets, a market and traders with money in place: for the demo and for measurements."""

from collections.abc import Mapping

from benchmarks.client import Credentials
from console.markets import add_asset, add_market
from console.node import NodePort, Outcome
from console.transfers import transfer
from console.users import KeyChoice, create_key, create_user
from exchange.account.commands import Deposit
from exchange.instrument import Instrument
from exchange.reject import RejectReason

_EXISTS = RejectReason.ALREADY_EXISTS


class ProvisionError(Exception):
    """The node refused what was needed; the text says what and why."""


async def ensure_market(node: NodePort, instrument: Instrument) -> None:
    """Add the market and its assets where they are absent.

    Raises:
        ProvisionError: refused for any other reason than being there already.
    """
    for code in (instrument.base_asset, instrument.quote_asset):
        _accept(await add_asset(node, code, ""), f"asset {code}")
    _accept(await add_market(node, instrument), f"market {instrument.symbol}")


async def new_trader(
    node: NodePort, name: str, choice: KeyChoice, deposits: Mapping[str, int]
) -> Credentials:
    """Create a user with a key and money (minor units by asset); return the key.

    Raises:
        ProvisionError: refused; the name may be taken.
    """
    user = _require(await create_user(node, name), f"user {name}")
    account_id = user.facts["account"]
    assert isinstance(account_id, int)
    key = _require(await create_key(node, account_id, choice, label=name), f"key of {name}")
    for asset, amount in deposits.items():
        done = await transfer(node, Deposit, account_id, asset, amount)
        _require(done, f"deposit of {asset} for {name}")
    facts = key.facts
    return Credentials(
        key_id=facts["key_id"],
        key_type=choice.value,
        secret=facts["secret"] if choice is KeyChoice.HMAC else facts["seed_hex"],
    )


def _require(outcome: Outcome, what: str) -> Outcome:
    if outcome.code:
        raise ProvisionError(f"{what}: {outcome.facts}")
    return outcome


def _accept(outcome: Outcome, what: str) -> None:
    """Take "already there" for done."""
    if outcome.facts.get("refused") != _EXISTS.name.lower():
        _require(outcome, what)
