"""A market that is obviously right and slow: lists, sorted anew every time. For comparison only.

It knows the same messages as the real one and gives the same events, written independently.
"""

from dataclasses import dataclass
from typing import Any

from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.instrument import Instrument
from exchange.market.events import (
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    OrderRejected,
    TradeExecuted,
)
from exchange.orders import (
    CancelRestriction,
    ExpiryReason,
    OrderStatus,
    OrderType,
    ReplaceMode,
    Side,
    TimeInForce,
)
from exchange.reject import RejectReason

E8 = 10**8


@dataclass
class NaiveOrder:
    order_id: int
    submitted: OrderSubmitted
    client_order_id: str
    quantity: int
    executed: int = 0

    @property
    def leaves(self) -> int:
        return self.quantity - self.executed

    @property
    def price(self) -> int:
        return self.submitted.price_ticks


class NaiveMarket:
    def __init__(self, instrument: Instrument, now_ns: int) -> None:
        self.instrument = instrument
        self.now_ns = now_ns
        self.resting: list[NaiveOrder] = []  # by acceptance
        self.order_id = 0
        self.trade_id = 0
        self.last = 0

    def handle(self, message: Any) -> list[Any]:
        if isinstance(message, OrderSubmitted):
            reason = self.filter(message) or self.crowd(message)
            if reason:
                return [self.rejected(message, reason)]
            return self.place(message, message.hold_amount)
        if isinstance(message, CancelRequested):
            return self.cancel(message)
        if isinstance(message, CancelAllRequested):
            own = [o for o in self.resting if o.submitted.account_id == message.account_id]
            return [self.close(order, "", 0, message.identity) for order in own]
        if isinstance(message, AmendRequested):
            return self.amend(message)
        assert isinstance(message, ReplaceSubmitted)
        return self.replace(message)

    # -------------------------------------------------------------- refusals

    def filter(self, order: OrderSubmitted) -> RejectReason | None:
        rules = self.instrument
        price, lots = order.price_ticks, order.quantity_lots
        if order.order_type is OrderType.MARKET:
            if order.quote_amount:
                if not rules.notional_min <= order.quote_amount <= rules.notional_max:
                    return RejectReason.NOTIONAL
                return None
            price = self.last
        elif not rules.price_ticks_min <= price <= rules.price_ticks_max:
            return RejectReason.PRICE_FILTER
        if not rules.quantity_lots_min <= lots <= rules.quantity_lots_max:
            return RejectReason.LOT_SIZE
        if order.order_type is OrderType.MARKET and lots > rules.market_quantity_lots_max:
            return RejectReason.MARKET_LOT_SIZE
        if price:
            value = price * lots * rules.minor_units_per_tick_lot
            if not rules.notional_min <= value <= rules.notional_max:
                return RejectReason.NOTIONAL
        if order.order_type is not OrderType.MARKET and self.last:
            highest = self.last * rules.band_up_e8 / E8
            lowest = self.last * rules.band_down_e8 / E8
            if not lowest <= price <= highest:
                return RejectReason.PERCENT_PRICE
        return None

    def crowd(
        self, order: OrderSubmitted, without: NaiveOrder | None = None
    ) -> RejectReason | None:
        own = [o for o in self.resting if o.submitted.account_id == order.account_id]
        own = [o for o in own if o is not without]
        if any(o.client_order_id == order.client_order_id for o in own):
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        if len(own) >= self.instrument.open_orders_max:
            return RejectReason.MAX_NUM_ORDERS
        return None

    # -------------------------------------------------------------- orders

    def opposite(self, order: OrderSubmitted, limit: int) -> list[NaiveOrder]:
        """Whom the order may trade with, best first."""
        sign = 1 if order.side is Side.BUY else -1
        others = [o for o in self.resting if o.submitted.side is not order.side]
        others = [o for o in others if o.price * sign <= limit * sign]
        return sorted(others, key=lambda o: (o.price * sign, o.order_id))

    def place(self, order: OrderSubmitted, hold: int) -> list[Any]:
        is_market = order.order_type is OrderType.MARKET
        makers = self.opposite(order, order.protect_ticks if is_market else order.price_ticks)
        if is_market and order.protect_ticks == 0:
            makers = []
        if order.order_type is OrderType.LIMIT_MAKER and makers:
            return [self.rejected(order, RejectReason.WOULD_TAKE)]
        wanted, amount_is_used = order.quantity_lots, False
        if order.quote_amount:
            if not makers:
                return [self.rejected(order, RejectReason.NO_LIQUIDITY)]
            wanted, amount_is_used = self.lots_for_amount(order, makers, hold)
            if wanted < max(1, self.instrument.quantity_lots_min):
                return [self.rejected(order, RejectReason.LOT_SIZE)]
        if order.time_in_force is TimeInForce.FOK and sum(m.leaves for m in makers) < wanted:
            makers = []
        self.order_id += 1
        new = NaiveOrder(self.order_id, order, order.client_order_id, wanted)
        trades = self.trade(new, makers)
        events: list[Any] = [self.accepted(new), *trades]
        if order.quote_amount:
            rest = order.quote_amount - sum(t.quote_amount for t in trades)
            last_price = trades[-1].price_ticks * self.instrument.minor_units_per_tick_lot
            if rest == 0 or (order.side is Side.BUY and rest < last_price):
                return events
            if amount_is_used:
                return [*events, self.closed(new, OrderStatus.FILLED, ExpiryReason.NONE)]
            return [*events, self.expired(new, ExpiryReason.INSUFFICIENT_LIQUIDITY)]
        if new.leaves == 0:
            return events
        if is_market:
            return [*events, self.expired(new, ExpiryReason.INSUFFICIENT_LIQUIDITY)]
        if order.order_type is OrderType.LIMIT:
            if order.time_in_force is TimeInForce.IOC:
                return [*events, self.expired(new, ExpiryReason.UNFILLED_IOC_QUANTITY_EXPIRED)]
            if order.time_in_force is TimeInForce.FOK:
                return [*events, self.expired(new, ExpiryReason.UNFILLED_FOK_ORDER_EXPIRED)]
        self.resting.append(new)
        return events

    def lots_for_amount(
        self, order: OrderSubmitted, makers: list[NaiveOrder], hold: int
    ) -> tuple[int, bool]:
        """Buy lot by lot while the amount lasts: slow, and beyond doubt."""
        lots_max = self.instrument.market_quantity_lots_max
        if order.side is Side.SELL:
            lots_max = min(lots_max, hold // self.instrument.lot_size)
        left, bought, value = order.quote_amount, 0, 0
        for maker in makers:
            for _ in range(maker.leaves):
                value = maker.price * self.instrument.minor_units_per_tick_lot
                if value > left or bought == lots_max:
                    return bought, left < value
                left -= value
                bought += 1
        return bought, left < value

    def trade(self, taker: NaiveOrder, makers: list[NaiveOrder]) -> list[TradeExecuted]:
        trades = []
        for maker in makers:
            lots = min(taker.leaves, maker.leaves)
            if lots == 0:
                break
            self.trade_id += 1
            self.last = maker.price
            base = lots * self.instrument.lot_size
            quote = lots * maker.price * self.instrument.minor_units_per_tick_lot
            is_buy = taker.submitted.side is Side.BUY
            taker.executed += lots
            maker.executed += lots
            trades.append(
                TradeExecuted(
                    trade_id=self.trade_id,
                    symbol=self.instrument.symbol,
                    price_ticks=maker.price,
                    quantity_lots=lots,
                    base_amount=base,
                    quote_amount=quote,
                    taker_side=taker.submitted.side,
                    taker_account_id=taker.submitted.account_id,
                    taker_order_id=taker.order_id,
                    taker_order_ref=taker.submitted.order_ref,
                    taker_commission=self.fee(
                        base if is_buy else quote, taker.submitted.taker_rate_e8
                    ),
                    maker_account_id=maker.submitted.account_id,
                    maker_order_id=maker.order_id,
                    maker_order_ref=maker.submitted.order_ref,
                    maker_commission=self.fee(
                        quote if is_buy else base, maker.submitted.maker_rate_e8
                    ),
                    at_ns=self.now_ns,
                )
            )
        self.resting = [o for o in self.resting if o.leaves]
        return trades

    @staticmethod
    def fee(received: int, rate_e8: int) -> int:
        return (received * rate_e8 - received * rate_e8 % E8) // E8

    # -------------------------------------------------------------- cancels

    def find(self, account_id: int, order_id: int, client_id: str) -> NaiveOrder | None:
        own = [o for o in self.resting if o.submitted.account_id == account_id]
        if order_id:
            own = [o for o in own if o.order_id == order_id]
        if client_id:
            own = [o for o in own if o.client_order_id == client_id]
        return own[0] if own and (order_id or client_id) else None

    @staticmethod
    def is_allowed(order: NaiveOrder, restriction: CancelRestriction) -> bool:
        if restriction is CancelRestriction.ONLY_NEW:
            return order.executed == 0
        if restriction is CancelRestriction.ONLY_PARTIALLY_FILLED:
            return order.executed > 0
        return True

    def cancel(self, message: CancelRequested) -> list[Any]:
        order = self.find(message.account_id, message.order_id, message.orig_client_order_id)
        if order is None or not self.is_allowed(order, message.restriction):
            return []
        return [self.close(order, message.cancel_client_order_id, 0, message.identity)]

    def amend(self, message: AmendRequested) -> list[Any]:
        order = self.find(message.account_id, message.order_id, message.orig_client_order_id)
        lots = message.new_quantity_lots
        if order is None or not order.executed < lots < order.quantity:
            return []
        new_id = message.new_client_order_id or order.client_order_id
        namesake = self.find(message.account_id, 0, new_id)
        if namesake is not None and namesake is not order:
            return []
        value = lots * order.price * self.instrument.minor_units_per_tick_lot
        if lots < self.instrument.quantity_lots_min or value < self.instrument.notional_min:
            return []
        event = OrderAmended(
            order_id=order.order_id,
            account_id=message.account_id,
            order_ref=order.submitted.order_ref,
            symbol=self.instrument.symbol,
            old_quantity_lots=order.quantity,
            new_quantity_lots=lots,
            orig_client_order_id=order.client_order_id,
            new_client_order_id=new_id,
            identity=message.identity,
            at_ns=self.now_ns,
        )
        order.quantity, order.client_order_id = lots, new_id
        return [event]

    def replace(self, message: ReplaceSubmitted) -> list[Any]:
        new = message.order
        must_stop = message.mode is ReplaceMode.STOP_ON_FAILURE
        bad = self.filter(new)
        if bad and must_stop:
            return [self.rejected(new, bad)]
        old = self.find(
            new.account_id, message.cancel_order_id, message.cancel_orig_client_order_id
        )
        if old is not None and not self.is_allowed(old, message.restriction):
            old = None
        if old is None and must_stop:
            return [self.rejected(new, RejectReason.REPLACE_NOT_ATTEMPTED)]
        carried = 0
        if old is not None:
            self.resting.remove(old)
            if old.submitted.side is new.side:
                carried = old.leaves * old.submitted.hold_per_lot
        bad = bad or self.crowd(new)
        if not bad and carried + new.hold_amount < message.hold_needed:
            bad = RejectReason.REPLACE_INSUFFICIENT_FUNDS
        placed = [self.rejected(new, bad)] if bad else self.place(new, message.hold_needed)
        if old is None:
            return placed
        carries = carried > 0 and isinstance(placed[0], OrderAccepted)
        ref = new.order_ref if carries else 0
        return [self.canceled(old, message.cancel_client_order_id, ref, new.identity), *placed]

    # -------------------------------------------------------------- events

    def close(self, order: NaiveOrder, cancel_id: str, ref: int, identity: bytes) -> OrderClosed:
        self.resting.remove(order)
        return self.canceled(order, cancel_id, ref, identity)

    def canceled(self, order: NaiveOrder, cancel_id: str, ref: int, identity: bytes) -> OrderClosed:
        return self.closed(order, OrderStatus.CANCELED, ExpiryReason.NONE, cancel_id, ref, identity)

    def expired(self, order: NaiveOrder, reason: ExpiryReason) -> OrderClosed:
        return self.closed(order, OrderStatus.EXPIRED, reason)

    def closed(
        self,
        order: NaiveOrder,
        status: OrderStatus,
        reason: ExpiryReason,
        cancel_id: str = "",
        ref: int = 0,
        identity: bytes = b"",
    ) -> OrderClosed:
        submitted = order.submitted
        return OrderClosed(
            order.order_id,
            submitted.account_id,
            submitted.order_ref,
            self.instrument.symbol,
            status,
            reason,
            cancel_id,
            ref,
            identity,
            self.now_ns,
        )

    def rejected(self, order: OrderSubmitted, reason: RejectReason) -> OrderRejected:
        return OrderRejected(order.account_id, order.order_ref, order.symbol, reason, self.now_ns)

    def accepted(self, order: NaiveOrder) -> OrderAccepted:
        o = order.submitted
        return OrderAccepted(
            order_id=order.order_id,
            account_id=o.account_id,
            order_ref=o.order_ref,
            symbol=o.symbol,
            side=o.side,
            order_type=o.order_type,
            time_in_force=o.time_in_force,
            price_ticks=o.price_ticks,
            quantity_lots=o.quantity_lots,
            quote_amount=o.quote_amount,
            client_order_id=o.client_order_id,
            stp_mode=o.stp_mode,
            hold_per_lot=o.hold_per_lot,
            maker_rate_e8=o.maker_rate_e8,
            taker_rate_e8=o.taker_rate_e8,
            at_ns=self.now_ns,
        )
