"""Options that many commands share, and how their texts become values."""

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import typer

from exchange.directory.commands import Permission
from exchange.instrument import Instrument
from exchange.money import AMOUNT_MAX, UNIT
from exchange.orders import STP_MODES_DONE, SelfTradePrevention
from exchange.protocol.decimals import (
    MalformedDecimalError,
    PreciseDecimalError,
    amount_text,
    parse_amount,
)

DataOption = Annotated[
    Path, typer.Option("--data", help="The data directory of the node.", metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
DATA_DEFAULT = Path("data")


def amount(text: str, name: str) -> int:
    """Return decimal text in 10**-8; a usage error that names the argument for anything else."""
    try:
        value = parse_amount(text)
    except PreciseDecimalError as error:
        raise typer.BadParameter("more than 8 decimals.", param_hint=name) from error
    except MalformedDecimalError as error:
        raise typer.BadParameter("not a decimal number like 0.25.", param_hint=name) from error
    if value > AMOUNT_MAX:
        raise typer.BadParameter(f"more than {amount_text(AMOUNT_MAX)}.", param_hint=name)
    return value


def networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Return client networks; a usage error that names the one that is none."""
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError as error:
            raise typer.BadParameter(
                f"{text!r} is no network like 10.0.0.0/8.", param_hint="--address"
            ) from error
    return tuple(texts)


def rate(text: str, name: str) -> int:
    """Return a proportion in 10**-8: "0.001" and "0.1%" are 100_000."""
    value = amount(text.removesuffix("%"), name)
    if not text.endswith("%"):
        return value
    if value % 100:
        raise typer.BadParameter("finer than 0.000001 %.", param_hint=name)
    return value // 100


def units(text: str, unit: int, name: str) -> int:
    """Return how many units (ticks or lots) decimal text is; it must be a whole number of them."""
    value = amount(text, name)
    if value % unit:
        raise typer.BadParameter("not a multiple of the tick or lot size.", param_hint=name)
    return value // unit


def permissions(text: str) -> Permission:
    """Return "read,trade" as flags."""
    flags = Permission(0)
    for part in text.split(","):
        try:
            flags |= Permission[part.strip().upper()]
        except KeyError as error:
            allowed = ", ".join(flag.name.lower() for flag in Permission if flag.name)
            raise typer.BadParameter(
                f"{part!r} is none of {allowed}.", param_hint="--permissions"
            ) from error
    return flags


def instrument(symbol: str, base: str, quote: str, tick: str, lot: str, **texts: str) -> Instrument:
    """Return the instrument that the options of `market add` describe; "" leaves a default.

    A usage error names the option that is not a decimal, not a multiple, or does not fit others.
    """
    tick_size, lot_size = amount(tick, "--tick"), amount(lot, "--lot")
    if not tick_size or not lot_size or tick_size * lot_size % UNIT:
        raise typer.BadParameter(
            "tick times lot must be a positive multiple of 0.00000001, so that no amount rounds.",
            param_hint="--tick, --lot",
        )
    readers: dict[str, tuple[str, Callable[[str, str], int]]] = {
        "price_min": ("price_ticks_min", lambda t, n: units(t, tick_size, n)),
        "price_max": ("price_ticks_max", lambda t, n: units(t, tick_size, n)),
        "quantity_min": ("quantity_lots_min", lambda t, n: units(t, lot_size, n)),
        "quantity_max": ("quantity_lots_max", lambda t, n: units(t, lot_size, n)),
        "market_quantity_max": ("market_quantity_lots_max", lambda t, n: units(t, lot_size, n)),
        "notional_min": ("notional_min", amount),
        "notional_max": ("notional_max", amount),
        "band_up": ("band_up_e8", amount),
        "band_down": ("band_down_e8", amount),
        "protection": ("protection_e8", rate),
        "maker_fee": ("maker_rate_e8", rate),
        "taker_fee": ("taker_rate_e8", rate),
        "stp": ("stp_default", _stp),
    }
    given: dict[str, Any] = {}
    for name, text in texts.items():
        field, read = readers[name]
        if text:
            given[field] = read(text, "--" + name.replace("_", "-"))
    return Instrument(
        symbol=symbol,
        base_asset=base,
        quote_asset=quote,
        tick_size=tick_size,
        lot_size=lot_size,
        **given,
    )


def _stp(text: str, name: str) -> int:
    try:
        mode = SelfTradePrevention[text.upper().replace("-", "_")]
        if mode not in STP_MODES_DONE:
            raise KeyError(mode)
        return mode.value
    except KeyError as error:
        allowed = ", ".join(sorted(mode.name.lower() for mode in STP_MODES_DONE))
        raise typer.BadParameter(f"must be one of {allowed}.", param_hint=name) from error
