"""The instrument's rules for one order: the gateway asks early, the market with authority."""

from exchange.instrument import Instrument
from exchange.money import AMOUNT_MAX, UNIT
from exchange.orders import OrderType
from exchange.reject import RejectReason

_NONE = RejectReason.NONE
_LIMIT = OrderType.LIMIT
_LIMIT_MAKER = OrderType.LIMIT_MAKER
_MARKET = OrderType.MARKET


def check_order(
    instrument: Instrument,
    order_type: OrderType,
    price_ticks: int,
    quantity_lots: int,
    quote_amount: int,
    reference_ticks: int = 0,
) -> RejectReason:
    """Return why the instrument does not take such an order, or NONE.

    `quote_amount` is in minor units, 0 when the order is by quantity. `reference_ticks` is the last
    trade's price, at which a market order by quantity is valued; 0: none known, not valued.
    Source: docs/protocol.md, filters.
    """
    if order_type is _LIMIT or order_type is _LIMIT_MAKER:
        if price_ticks <= 0 or (
            not instrument.price_ticks_min <= price_ticks <= instrument.price_ticks_max
        ):
            return RejectReason.PRICE_FILTER
        if quantity_lots <= 0 or (
            not instrument.quantity_lots_min <= quantity_lots <= instrument.quantity_lots_max
        ):
            return RejectReason.LOT_SIZE
        return _check_value(instrument, price_ticks, quantity_lots)
    if order_type is _MARKET:
        if quote_amount:
            return _check_quote_amount(instrument, quantity_lots, quote_amount)
        if not 0 < quantity_lots <= instrument.quantity_lots_max:
            return RejectReason.LOT_SIZE
        if quantity_lots < instrument.quantity_lots_min:
            return RejectReason.LOT_SIZE
        if quantity_lots > instrument.market_quantity_lots_max:
            return RejectReason.MARKET_LOT_SIZE
        if reference_ticks:
            return _check_value(instrument, reference_ticks, quantity_lots)
        if quantity_lots * instrument.lot_size > AMOUNT_MAX:
            return RejectReason.AMOUNT_OVERFLOW
        return _NONE
    return RejectReason.UNSUPPORTED_ORDER_TYPE


def _check_value(instrument: Instrument, price_ticks: int, quantity_lots: int) -> RejectReason:
    lot_size = instrument.lot_size
    # Instrument.minor_units_per_tick_lot, written out: this is on the path of every order.
    value = price_ticks * quantity_lots * (instrument.tick_size * lot_size // UNIT)
    if value > AMOUNT_MAX or quantity_lots * lot_size > AMOUNT_MAX:
        return RejectReason.AMOUNT_OVERFLOW
    if not instrument.notional_min <= value <= instrument.notional_max:
        return RejectReason.NOTIONAL
    return _NONE


def _check_quote_amount(
    instrument: Instrument, quantity_lots: int, quote_amount: int
) -> RejectReason:
    if quantity_lots:  # by quantity or by amount, never both
        return RejectReason.LOT_SIZE
    if quote_amount > AMOUNT_MAX:
        return RejectReason.AMOUNT_OVERFLOW
    if quote_amount < 0 or not instrument.notional_min <= quote_amount <= instrument.notional_max:
        return RejectReason.NOTIONAL
    return _NONE
