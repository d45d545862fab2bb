"""Messages for a market, written short: what a test does not name has an ordinary value."""

from collections.abc import Sequence
from typing import Any

from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
)
from exchange.directory.events import MarketAdded
from exchange.instrument import Instrument
from exchange.market.decider import decide, evolve
from exchange.market.state import Market
from exchange.orders import (
    CancelRestriction,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

SYMBOL = "BTCUSDT"
NOW_NS = 1_700_000_000_000_000_000
# A lot is 0.001 BTC, a tick 0.01 USDT: one lot gains 1,000 minor units of quote a tick.
INSTRUMENT = Instrument(
    symbol=SYMBOL,
    base_asset="BTC",
    quote_asset="USDT",
    tick_size=1_000_000,
    lot_size=100_000,
)
PER_TICK_LOT = INSTRUMENT.minor_units_per_tick_lot
BUY, SELL = Side.BUY, Side.SELL
HOST = "gateway-1"


def open_market(instrument: Instrument = INSTRUMENT) -> Market:
    market = Market(instrument.symbol)
    play(market, MarketAdded(instrument, NOW_NS))
    return market


def play(market: Market, message: Any, now_ns: int = NOW_NS) -> list[Any]:
    """Decide and fold; return the events."""
    events = decide(market, message, now_ns)
    for event in events:
        evolve(market, event)
    return events


def play_all(market: Market, messages: Sequence[Any]) -> list[Any]:
    return [event for message in messages for event in play(market, message)]


class Trader:
    """One account's messages. Its order_refs run by themselves; client ids follow them."""

    def __init__(self, account_id: int) -> None:
        self.account_id = account_id
        self.last_ref = 0

    def limit(
        self,
        side: Side,
        price_ticks: int,
        lots: int,
        tif: TimeInForce = TimeInForce.GTC,
        order_type: OrderType = OrderType.LIMIT,
        **fields: Any,
    ) -> OrderSubmitted:
        per_lot = price_ticks * PER_TICK_LOT if side is BUY else INSTRUMENT.lot_size
        return self._submit(
            side,
            order_type,
            tif,
            price_ticks=price_ticks,
            quantity_lots=lots,
            hold_per_lot=per_lot,
            hold_amount=per_lot * lots,
            **fields,
        )

    def market(self, side: Side, lots: int, protect_ticks: int, **fields: Any) -> OrderSubmitted:
        per_lot = protect_ticks * PER_TICK_LOT if side is BUY else INSTRUMENT.lot_size
        return self._submit(
            side,
            OrderType.MARKET,
            TimeInForce.GTC,
            quantity_lots=lots,
            protect_ticks=protect_ticks,
            hold_per_lot=per_lot,
            hold_amount=per_lot * lots,
            **fields,
        )

    def market_for(
        self, side: Side, quote_amount: int, protect_ticks: int, lots_held: int = 10**6
    ) -> OrderSubmitted:
        """A market order by quote amount; a seller holds `lots_held`."""
        lot_size = INSTRUMENT.lot_size
        return self._submit(
            side,
            OrderType.MARKET,
            TimeInForce.GTC,
            quote_amount=quote_amount,
            protect_ticks=protect_ticks,
            hold_per_lot=0 if side is BUY else lot_size,
            hold_amount=quote_amount if side is BUY else lots_held * lot_size,
        )

    def _submit(
        self, side: Side, order_type: OrderType, tif: TimeInForce, **fields: Any
    ) -> OrderSubmitted:
        self.last_ref += 1
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "order_ref": self.last_ref,
            "symbol": SYMBOL,
            "side": side,
            "order_type": order_type,
            "time_in_force": tif,
            "price_ticks": 0,
            "quantity_lots": 0,
            "quote_amount": 0,
            "protect_ticks": 0,
            "client_order_id": f"a{self.account_id}-{self.last_ref}",
            "stp_mode": SelfTradePrevention.NONE,
            "hold_asset": "USDT" if side is BUY else "BTC",
            "hold_amount": 0,
            "hold_per_lot": 0,
            "maker_rate_e8": 123_457,
            "taker_rate_e8": 234_571,
            "received_at_ns": NOW_NS,
            "identity": self.last_ref.to_bytes(16, "big"),
            "reply_to": HOST,
            "request_id": self.last_ref,
        }
        return OrderSubmitted(**(values | fields))

    def cancel(
        self,
        order_id: int = 0,
        client_order_id: str = "",
        restriction: CancelRestriction = CancelRestriction.NONE,
    ) -> CancelRequested:
        return CancelRequested(
            self.account_id,
            SYMBOL,
            order_id,
            client_order_id,
            "cancel-1",
            restriction,
            NOW_NS,
            b"i" * 16,
            HOST,
            77,
        )

    def cancel_all(self) -> CancelAllRequested:
        return CancelAllRequested(self.account_id, SYMBOL, NOW_NS, b"i" * 16, HOST, 78)

    def amend(
        self, order_id: int, lots: int, new_client_order_id: str = "", client_order_id: str = ""
    ) -> AmendRequested:
        return AmendRequested(
            self.account_id,
            SYMBOL,
            order_id,
            client_order_id,
            new_client_order_id,
            lots,
            NOW_NS,
            b"i" * 16,
            HOST,
            79,
        )

    def replace(
        self,
        order_id: int,
        client_order_id: str,
        order: OrderSubmitted,
        mode: ReplaceMode = ReplaceMode.STOP_ON_FAILURE,
        top_up: int | None = None,
        restriction: CancelRestriction = CancelRestriction.NONE,
    ) -> ReplaceSubmitted:
        """Replace one order by `order`; `top_up` None: all that the new order needs."""
        needed = order.hold_amount
        values = {name: getattr(order, name) for name in order.__struct_fields__}
        values["hold_amount"] = needed if top_up is None else top_up
        return ReplaceSubmitted(
            order_id,
            client_order_id,
            "cancel-1",
            restriction,
            mode,
            needed,
            OrderSubmitted(**values),
        )
