"""What an order must hold before it may leave for the market. DESIGN "Rules that keep money exact".

Every amount is an upper bound of what the order can use, so a hold never has to grow.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from exchange.account.commands import PlaceOrder
from exchange.instrument import Instrument
from exchange.money import AMOUNT_MAX
from exchange.orders import OrderType, Side
from exchange.reject import RejectReason

_BUY: Final = Side.BUY


class Hold(NamedTuple):
    asset: str
    amount: int  # minor units of asset
    per_lot: int  # minor units of asset; 0 when held by quote amount
    protect_ticks: int  # MARKET only; 0: no price known, nothing is held and nothing can trade


def hold_of(
    command: PlaceOrder, instrument: Instrument, protect_ticks: int, base_available: int
) -> Hold | RejectReason:
    """Return the hold for `command`, or why it cannot have one.

    `protect_ticks` is the worst price a market order may get (0: unknown, or no market order);
    a market sell by quote amount holds at most the whole lots in `base_available` minor units.
    """
    handler = _HOLDS.get(command.order_type)
    if handler is None:
        return RejectReason.UNSUPPORTED_ORDER_TYPE
    return handler(command, instrument, protect_ticks, base_available)


def _limit(command: PlaceOrder, instrument: Instrument, _: int, __: int) -> Hold | RejectReason:
    price, quantity = command.price_ticks, command.quantity_lots
    if price <= 0:
        return RejectReason.PRICE_FILTER
    if quantity <= 0:
        return RejectReason.LOT_SIZE
    if command.quote_amount != 0:
        return RejectReason.NOTIONAL
    quote_per_lot = price * instrument.minor_units_per_tick_lot
    base_per_lot = instrument.lot_size
    quote, base = quote_per_lot * quantity, base_per_lot * quantity
    if quote > AMOUNT_MAX or base > AMOUNT_MAX:
        return RejectReason.AMOUNT_OVERFLOW
    if command.side == _BUY:
        return Hold(instrument.quote_asset, quote, quote_per_lot, 0)
    return Hold(instrument.base_asset, base, base_per_lot, 0)


def _market(
    command: PlaceOrder, instrument: Instrument, protect_ticks: int, base_available: int
) -> Hold | RejectReason:
    if command.price_ticks != 0:
        return RejectReason.PRICE_FILTER
    if command.quantity_lots < 0 or command.quote_amount < 0:
        return RejectReason.LOT_SIZE
    if (command.quantity_lots == 0) == (command.quote_amount == 0):  # by exactly one of them
        return RejectReason.LOT_SIZE
    if command.quantity_lots != 0:
        return _market_by_quantity(command, instrument, protect_ticks)
    return _market_by_amount(command, instrument, protect_ticks, base_available)


def _market_by_quantity(
    command: PlaceOrder, instrument: Instrument, protect_ticks: int
) -> Hold | RejectReason:
    quantity = command.quantity_lots
    quote_per_lot = protect_ticks * instrument.minor_units_per_tick_lot
    base_per_lot = instrument.lot_size
    if quote_per_lot * quantity > AMOUNT_MAX or base_per_lot * quantity > AMOUNT_MAX:
        return RejectReason.AMOUNT_OVERFLOW
    if command.side == _BUY:
        return Hold(instrument.quote_asset, quote_per_lot * quantity, quote_per_lot, protect_ticks)
    base = base_per_lot * quantity if protect_ticks > 0 else 0
    return Hold(instrument.base_asset, base, base_per_lot, protect_ticks)


def _market_by_amount(
    command: PlaceOrder, instrument: Instrument, protect_ticks: int, base_available: int
) -> Hold | RejectReason:
    amount = command.quote_amount
    if amount > AMOUNT_MAX:
        return RejectReason.AMOUNT_OVERFLOW
    if command.side == _BUY:
        return Hold(instrument.quote_asset, amount if protect_ticks > 0 else 0, 0, protect_ticks)
    if protect_ticks <= 0:
        return Hold(instrument.base_asset, 0, instrument.lot_size, 0)
    # At the worst price it takes the most lots to reach the amount; rounded up.
    lots_needed = -(-amount // (protect_ticks * instrument.minor_units_per_tick_lot))
    lots = min(lots_needed, base_available // instrument.lot_size)
    if lots == 0:
        return RejectReason.INSUFFICIENT_FUNDS
    return Hold(
        instrument.base_asset, lots * instrument.lot_size, instrument.lot_size, protect_ticks
    )


_HOLDS: Final[
    dict[OrderType, Callable[[PlaceOrder, Instrument, int, int], Hold | RejectReason]]
] = {
    OrderType.LIMIT: _limit,
    OrderType.LIMIT_MAKER: _limit,
    OrderType.MARKET: _market,
}
