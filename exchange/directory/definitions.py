"""What a name, a key, an asset or an instrument must look like before the directory takes it."""

import re
from ipaddress import ip_network
from typing import Final

from exchange.directory.commands import CreateKey, KeyType, Permission
from exchange.instrument import Instrument
from exchange.money import AMOUNT_MAX, UNIT
from exchange.orders import STP_MODES_DONE

# Source: Binance Spot API, symbols; a code must leave room for the other one of a pair.
_SYMBOL: Final = re.compile(r"[A-Z0-9\-_.]{1,20}", re.ASCII)
_ASSET_CODE: Final = re.compile(r"[A-Z0-9]{1,19}", re.ASCII)
_USER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@+\-]{0,63}", re.ASCII)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,64}", re.ASCII)
TEXT_LENGTH_MAX: Final = 200  # of labels, asset names and reasons
SECRET_LENGTH_MAX: Final = 4_096
ADDRESSES_MAX: Final = 64
ADDRESS_LENGTH_MAX: Final = 64
OPEN_ORDERS_MAX: Final = 100_000
RATE_E8_MAX: Final = UNIT // 10  # a fee above a tenth is a typing error


def is_user_name(text: str) -> bool:
    return _USER_NAME.fullmatch(text) is not None


def is_asset_code(text: str) -> bool:
    return _ASSET_CODE.fullmatch(text) is not None


def is_text(text: str) -> bool:
    """Return whether it may be a label, an asset's name or a reason: short and printable."""
    return len(text) <= TEXT_LENGTH_MAX and text.isprintable()


def is_rate(rate_e8: int) -> bool:
    """Return whether it may be a fee rate. Negative ones (rebates) would create money."""
    return 0 <= rate_e8 <= RATE_E8_MAX


def is_key(command: CreateKey) -> bool:
    """Return whether the key is well-formed; what the secret says is the gateway's to judge."""
    return (
        _KEY_ID.fullmatch(command.key_id) is not None
        and command.key_type in tuple(KeyType)
        and 0 < len(command.secret) <= SECRET_LENGTH_MAX
        and 0 < command.permissions <= Permission.READ | Permission.TRADE | Permission.STREAM
        and len(command.addresses) <= ADDRESSES_MAX
        and all(_is_network(address) for address in command.addresses)
        and is_text(command.label)
    )


def is_instrument(instrument: Instrument) -> bool:
    """Return whether the instrument can be traded without a rounded or overflowing amount."""
    i = instrument
    return (
        _SYMBOL.fullmatch(i.symbol) is not None
        and i.base_asset != i.quote_asset
        and i.symbol == i.base_asset + i.quote_asset
        and 0 < i.tick_size <= AMOUNT_MAX
        and 0 < i.lot_size <= AMOUNT_MAX
        # One lot must gain a whole number of minor units when the price rises one tick.
        and i.tick_size * i.lot_size % UNIT == 0
        and i.minor_units_per_tick_lot <= AMOUNT_MAX
        and 0 < i.price_ticks_min <= i.price_ticks_max <= AMOUNT_MAX
        and 0 < i.quantity_lots_min <= i.quantity_lots_max <= AMOUNT_MAX
        and i.quantity_lots_min <= i.market_quantity_lots_max <= AMOUNT_MAX
        and 0 <= i.notional_min <= i.notional_max <= AMOUNT_MAX
        and UNIT <= i.band_up_e8 <= AMOUNT_MAX
        and 0 < i.band_down_e8 <= UNIT
        and 0 < i.protection_e8 < UNIT
        and is_rate(i.maker_rate_e8)
        and is_rate(i.taker_rate_e8)
        and 0 < i.open_orders_max <= OPEN_ORDERS_MAX
        and _are_stp_modes(i)
    )


def _are_stp_modes(instrument: Instrument) -> bool:
    allowed = instrument.stp_allowed
    return (
        instrument.stp_default in allowed
        and len(set(allowed)) == len(allowed)
        and all(mode in STP_MODES_DONE for mode in allowed)
    )


def _is_network(address: str) -> bool:
    if len(address) > ADDRESS_LENGTH_MAX:
        return False
    try:
        ip_network(address, strict=False)
    except ValueError:
        return False
    return True
