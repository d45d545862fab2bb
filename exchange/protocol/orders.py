"""Parameters of order requests into commands, or the refusal that the dialect prescribes.

Prices and quantities become ticks and lots of the instrument here; what does not fit is refused.
"""

from typing import Final, NamedTuple

from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    PlaceOrder,
    ReplaceOrder,
)
from exchange.filters import check_order
from exchange.instrument import Instrument
from exchange.orders import (
    CancelRestriction,
    OrderType,
    SelfTradePrevention,
    TimeInForce,
)
from exchange.protocol import errors, requests
from exchange.protocol.errors import RequestError
from exchange.protocol.names import (
    FEATURES,
    ORDER_TYPES,
    REPLACE_MODES,
    RESTRICTIONS,
    SIDES,
    STP_MODES,
    SUPPORTED_TYPES,
    TIMES_IN_FORCE,
)
from exchange.protocol.requests import Params

GENERATED_ID_LENGTH: Final = 22
STRATEGY_TYPE_MIN: Final = 1_000_000
RESPONSE_TYPES: Final = frozenset({"ACK", "RESULT", "FULL"})

_PRICE_FILTER = errors.filter_failure("PRICE_FILTER")
_LOT_SIZE = errors.filter_failure("LOT_SIZE")
_NOTIONAL = errors.filter_failure("NOTIONAL")


class Origin(NamedTuple):
    """Who asks, when, and who waits for the answer."""

    account_id: int
    received_at_ns: int
    identity: bytes
    reply_to: str
    request_id: int


class OrderReference(NamedTuple):
    order_id: int  # 0: by client order id
    client_order_id: str


def generated_client_order_id(identity: bytes) -> str:
    """Return 22 alphanumerics that follow from the request: sent again, it is the same order."""
    return identity.hex()[:GENERATED_ID_LENGTH]


def place_order(
    params: Params, instrument: Instrument, origin: Origin, reference_ticks: int = 0
) -> PlaceOrder:
    """Return the command of a new order; `reference_ticks` is the last trade's price or 0.

    Raises:
        RequestError: as the parameters of its type demand, or a filter of the instrument.
    """
    get = params.get
    side = SIDES.get(requests.required_text(params, "side"))
    if side is None:
        raise RequestError(errors.BAD_SIDE)
    order_type = ORDER_TYPES.get(requests.required_text(params, "type"))
    if order_type is None:
        raise RequestError(errors.BAD_ORDER_TYPE)
    if order_type not in SUPPORTED_TYPES:
        raise RequestError(errors.unsupported_feature(FEATURES[order_type]))
    time_in_force = _time_in_force(params, order_type)
    price = requests.amount(params, "price")
    quantity = requests.amount(params, "quantity")
    quote_amount = requests.amount(params, "quoteOrderQty")
    if get("stopPrice") is not None:
        raise errors.not_required("stopPrice")
    if get("trailingDelta") is not None:
        raise errors.not_required("trailingDelta")
    price_ticks = quantity_lots = 0
    if order_type is OrderType.MARKET:
        if price is not None:
            raise errors.not_required("price")
        if get("icebergQty") is not None:
            raise errors.not_required("icebergQty")
        if quantity is None and quote_amount is None:
            raise errors.missing_both("quantity", "quoteOrderQty")
        if quantity is not None and quote_amount is not None:
            raise errors.not_required("quoteOrderQty")
    else:
        if quantity is None:
            raise errors.missing("quantity")
        if price is None:
            raise errors.missing("price")
        if quote_amount is not None:
            raise errors.not_required("quoteOrderQty")
        if get("icebergQty") is not None and requests.amount(params, "icebergQty"):
            raise RequestError(errors.unsupported_feature("Iceberg"))
        price_ticks = _price_ticks(price, instrument)
    if quantity is not None:
        quantity_lots = _quantity_lots(quantity, instrument)
    if quote_amount == 0:
        raise RequestError(_NOTIONAL)
    reason = check_order(
        instrument, order_type, price_ticks, quantity_lots, quote_amount or 0, reference_ticks
    )
    if reason:
        raise RequestError(errors.error_of(reason, errors.Family.PLACE))
    stp_name = get("selfTradePreventionMode")
    stp_mode = (
        SelfTradePrevention(instrument.stp_default) if stp_name is None else _stp_mode(params)
    )
    if get("strategyId") is not None or get("strategyType") is not None:
        _check_strategy(params)
    account_id, received_at_ns, identity, reply_to, request_id = origin
    return PlaceOrder(
        account_id,
        instrument.symbol,
        side,
        order_type,
        time_in_force,
        price_ticks,
        quantity_lots,
        quote_amount or 0,
        requests.client_order_id(params, "newClientOrderId") or generated_client_order_id(identity),
        stp_mode,
        received_at_ns,
        identity,
        reply_to,
        request_id,
    )


def cancel_order(params: Params, instrument: Instrument, origin: Origin) -> CancelOrder:
    reference = order_reference(params, "orderId", "origClientOrderId")
    account_id, received_at_ns, identity, reply_to, request_id = origin
    return CancelOrder(
        account_id,
        instrument.symbol,
        reference.order_id,
        reference.client_order_id,
        requests.client_order_id(params, "newClientOrderId") or generated_client_order_id(identity),
        _restriction(params),
        received_at_ns,
        identity,
        reply_to,
        request_id,
    )


def cancel_all_orders(instrument: Instrument, origin: Origin) -> CancelAllOrders:
    return CancelAllOrders(
        origin.account_id,
        instrument.symbol,
        origin.received_at_ns,
        origin.identity,
        origin.reply_to,
        origin.request_id,
    )


def replace_order(
    params: Params, instrument: Instrument, origin: Origin, reference_ticks: int = 0
) -> ReplaceOrder:
    mode = REPLACE_MODES.get(requests.required_text(params, "cancelReplaceMode"))
    if mode is None:
        raise errors.invalid("cancelReplaceMode")
    if params.get("orderRateLimitExceededMode") not in (None, "DO_NOTHING", "CANCEL_ONLY"):
        raise errors.invalid("orderRateLimitExceededMode")
    reference = order_reference(params, "cancelOrderId", "cancelOrigClientOrderId")
    # The cancel's own id must differ from the new order's when both are generated.
    cancel_id = requests.client_order_id(params, "cancelNewClientOrderId")
    return ReplaceOrder(
        reference.order_id,
        reference.client_order_id,
        cancel_id or generated_client_order_id(origin.identity[::-1]),
        _restriction(params),
        mode,
        place_order(params, instrument, origin, reference_ticks),
    )


def amend_order(params: Params, instrument: Instrument, origin: Origin) -> AmendOrder:
    reference = order_reference(params, "orderId", "origClientOrderId")
    quantity = requests.amount(params, "newQty")
    if quantity is None:
        raise errors.missing("newQty")
    lots = _quantity_lots(quantity, instrument)
    if not instrument.quantity_lots_min <= lots <= instrument.quantity_lots_max:
        raise RequestError(_LOT_SIZE)
    return AmendOrder(
        origin.account_id,
        instrument.symbol,
        reference.order_id,
        reference.client_order_id,
        requests.client_order_id(params, "newClientOrderId")
        or generated_client_order_id(origin.identity),
        lots,
        origin.received_at_ns,
        origin.identity,
        origin.reply_to,
        origin.request_id,
    )


def order_reference(params: Params, id_name: str, client_id_name: str) -> OrderReference:
    """Return which order is meant; by its id, by its client order id, or by both."""
    order_id = requests.integer(params, id_name) or 0
    client_order_id = requests.client_order_id(params, client_id_name)
    if not order_id and not client_order_id:
        raise errors.missing_both(client_id_name, id_name)
    return OrderReference(order_id, client_order_id)


def response_type(params: Params, order_type: OrderType) -> str:
    """Return ACK, RESULT or FULL; the default is FULL for LIMIT and MARKET, else ACK."""
    value = params.get("newOrderRespType")
    if value is None:
        return "FULL" if order_type in (OrderType.LIMIT, OrderType.MARKET) else "ACK"
    if type(value) is not str or value not in RESPONSE_TYPES:
        raise errors.invalid("newOrderRespType")
    return value


def _time_in_force(params: Params, order_type: OrderType) -> TimeInForce:
    value = params.get("timeInForce")
    if value is None:
        if order_type is OrderType.LIMIT:
            raise errors.missing("timeInForce")
        return TimeInForce.GTC
    time_in_force = TIMES_IN_FORCE.get(value) if type(value) is str else None
    if time_in_force is None:
        raise RequestError(errors.BAD_TIME_IN_FORCE)
    if order_type is not OrderType.LIMIT and time_in_force is not TimeInForce.GTC:
        raise RequestError(errors.TIF_NOT_REQUIRED)
    return time_in_force


def _price_ticks(price: int, instrument: Instrument) -> int:
    ticks, rest = divmod(price, instrument.tick_size)
    if rest:
        raise RequestError(_PRICE_FILTER)
    return ticks


def _quantity_lots(quantity: int, instrument: Instrument) -> int:
    lots, rest = divmod(quantity, instrument.lot_size)
    if rest:
        raise RequestError(_LOT_SIZE)
    return lots


def _stp_mode(params: Params) -> SelfTradePrevention:
    mode = STP_MODES.get(requests.required_text(params, "selfTradePreventionMode"))
    if mode is None:
        raise errors.invalid("selfTradePreventionMode")
    return mode


def _restriction(params: Params) -> CancelRestriction:
    value = params.get("cancelRestrictions")
    if value is None:
        return CancelRestriction.NONE
    restriction = RESTRICTIONS.get(value) if type(value) is str else None
    if restriction is None:
        raise RequestError(errors.BAD_CANCEL_RESTRICTIONS)
    return restriction


def _check_strategy(params: Params) -> None:
    """Strategy ids are the client's own labels: checked, accepted, not kept."""
    requests.integer(params, "strategyId")
    strategy_type = requests.integer(params, "strategyType")
    if strategy_type is not None and strategy_type < STRATEGY_TYPE_MIN:
        raise RequestError(errors.BAD_STRATEGY_TYPE)
