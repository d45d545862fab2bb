"""The dialect's words for our enums, both ways."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from exchange.orders import (
    CancelRestriction,
    ExpiryReason,
    OrderStatus,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

SIDES: Final[Mapping[str, Side]] = MappingProxyType({side.name: side for side in Side})
ORDER_TYPES: Final[Mapping[str, OrderType]] = MappingProxyType(
    {order_type.name: order_type for order_type in OrderType}
)
TIMES_IN_FORCE: Final[Mapping[str, TimeInForce]] = MappingProxyType(
    {time_in_force.name: time_in_force for time_in_force in TimeInForce}
)
STP_MODES: Final[Mapping[str, SelfTradePrevention]] = MappingProxyType(
    {mode.name: mode for mode in SelfTradePrevention}
)
RESTRICTIONS: Final[Mapping[str, CancelRestriction]] = MappingProxyType(
    {
        restriction.name: restriction
        for restriction in CancelRestriction
        if restriction is not CancelRestriction.NONE
    }
)
REPLACE_MODES: Final[Mapping[str, ReplaceMode]] = MappingProxyType(
    {mode.name: mode for mode in ReplaceMode}
)

# By integer value, because fields of decoded messages index faster than they have names looked up.
SIDE_NAMES: Final[Mapping[int, str]] = {side.value: side.name for side in Side}
TYPE_NAMES: Final[Mapping[int, str]] = {kind.value: kind.name for kind in OrderType}
TIF_NAMES: Final[Mapping[int, str]] = {tif.value: tif.name for tif in TimeInForce}
# PENDING is between account and market; whoever sees it sees an order that is being accepted.
STATUS_NAMES: Final[Mapping[int, str]] = {
    status.value: "NEW" if status is OrderStatus.PENDING else status.name for status in OrderStatus
}
STP_NAMES: Final[Mapping[int, str]] = {mode.value: mode.name for mode in SelfTradePrevention}
EXPIRY_NAMES: Final[Mapping[int, str]] = {
    reason.value: reason.name for reason in ExpiryReason if reason is not ExpiryReason.NONE
}

FEATURES: Final[Mapping[OrderType, str]] = MappingProxyType(
    {
        OrderType.STOP_LOSS: "Stop loss",
        OrderType.STOP_LOSS_LIMIT: "Stop loss limit",
        OrderType.TAKE_PROFIT: "Take profit",
        OrderType.TAKE_PROFIT_LIMIT: "Take profit limit",
    }
)
SUPPORTED_TYPES: Final = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET)
