"""From streams to history: what became of orders, who traded what, transfers, minutes of trading.

Pure folds over the entries of one shard each. What they gather is taken between two entries and
written down elsewhere; with the position of the last entry that is enough to go on after a restart.
An order that is not in memory is asked for, not remembered for ever.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from exchange.account.events import Deposited, Withdrawn
from exchange.account.state import is_amount_used
from exchange.answers import Candle, PublicTrade
from exchange.directory.events import MarketAdded
from exchange.errors import ExchangeError
from exchange.history import AccountTrade, MarketAssets, Transfer
from exchange.instrument import Instrument
from exchange.market.events import (
    MarketOpened,
    OrderAccepted,
    OrderAmended,
    OrderClosed,
    TradeExecuted,
)
from exchange.marketdata.candle import fold_candle
from exchange.message import Message
from exchange.orders import CLOSED, ExpiryReason, OrderState, OrderStatus, Side

OrderKey = tuple[str, int]  # symbol, order id
Assets = dict[str, tuple[str, str]]  # symbol -> base and quote asset; one a market

_NEW: Final = OrderStatus.NEW
_PARTIALLY_FILLED: Final = OrderStatus.PARTIALLY_FILLED
_FILLED: Final = OrderStatus.FILLED
_BUY: Final = Side.BUY
_SELL: Final = Side.SELL
_NO_EXPIRY: Final = ExpiryReason.NONE


def _entry_type(*events: Any, skipped: Iterable[int]) -> Any:
    """Return a type to decode entries to in which events that say nothing here are skipped over."""
    union = events[0]
    for event in events[1:]:
        union |= event
    for tag in skipped:
        union |= msgspec.defstruct(f"Skipped{tag}", [], bases=(Message,), tag=tag, frozen=True)
    return union


# Half of all entries are submissions: skipping costs a fifth of building them.
ACCOUNT_ENTRY: Final = _entry_type(
    *(OrderAccepted, TradeExecuted, OrderClosed, OrderAmended, Deposited, Withdrawn),
    skipped=(101, 102, 103, 104, 105, 106, 109, 203, 901),
)
MARKET_ENTRY: Final = _entry_type(
    *(TradeExecuted, MarketOpened), skipped=(202, 203, 205, 206, 208, 209, 901)
)
DIRECTORY_ENTRY: Final = _entry_type(MarketAdded, skipped=(301, 302, 303, 304, 306, 307, 308, 901))


class UnknownMarketError(ExchangeError):
    """A trade of a market whose assets are not known, or not known yet."""


class _MissingOrderError(Exception):
    """An order must be read from history before the entry can be folded. Caught in `fold`."""


class AccountProjection:
    """History of the accounts of one shard.

    `orders_max` bounds the open orders in memory; the oldest beyond it are asked for again.
    """

    def __init__(self, assets: Assets, orders_max: int = 200_000) -> None:
        self.orders: dict[OrderKey, OrderState] = {}
        self.orphans = 0  # events of orders that history does not know: their account was frozen
        self._assets = assets
        self._orders_max = orders_max
        self._absent: dict[OrderKey, None] = {}
        self._touched: dict[OrderKey, OrderState] = {}
        self._account_trades: list[AccountTrade] = []
        self._transfers: list[Transfer] = []
        self._handlers: dict[type, Callable[[int, Any], None]] = {
            OrderAccepted: self._accepted,
            TradeExecuted: self._traded,
            OrderClosed: self._closed,
            OrderAmended: self._amended,
            Deposited: self._deposited,
            Withdrawn: self._withdrawn,
        }

    def fold(self, entities: Sequence[int], entries: Sequence[Any], start: int = 0) -> int:
        """Fold the entries from index `start` on, each for the account it happened to.

        Returns the index of the first entry that was not folded, for it needs an order that is not
        in memory (see `missing` and `know`), or len(entries).

        Raises:
            UnknownMarketError: begin anew from the last position taken when it is known.
        """
        handlers = self._handlers
        index = start
        try:
            for index in range(start, len(entries)):
                event = entries[index]
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(entities[index], event)
        except _MissingOrderError:
            return index
        return len(entries)

    def missing(
        self, entities: Sequence[int], entries: Sequence[Any], start: int
    ) -> list[tuple[int, str, int]]:
        """Return (account, symbol, order id) of the orders that entries from `start` on need."""
        needed: dict[OrderKey, int] = {}
        made: dict[OrderKey, None] = {}
        for index in range(start, len(entries)):
            event = entries[index]
            kind = type(event)
            if kind is OrderAccepted:
                made[event.symbol, event.order_id] = None
                continue
            account_id = entities[index]
            order_ids = []
            if kind is TradeExecuted:
                if event.taker_account_id == account_id:
                    order_ids.append(event.taker_order_id)
                if event.maker_account_id == account_id:
                    order_ids.append(event.maker_order_id)
            elif kind is OrderClosed or kind is OrderAmended:
                order_ids.append(event.order_id)
            for order_id in order_ids:
                key = event.symbol, order_id
                if key not in made and key not in self.orders and key not in self._absent:
                    needed[key] = account_id
        return [(account_id, *key) for key, account_id in needed.items()]

    def know(self, asked: Iterable[tuple[int, str, int]], found: Iterable[OrderState]) -> None:
        """Take what history has of the `missing` orders; those not found are passed over."""
        for _, symbol, order_id in asked:
            self._absent[symbol, order_id] = None
        for order in found:
            key = order.symbol, order.order_id
            self._absent.pop(key, None)
            self.orders[key] = order

    def take(self) -> tuple[list[OrderState], list[AccountTrade], list[Transfer]]:
        """Return what was gathered since the last time; the orders until the next `fold` only."""
        taken = list(self._touched.values()), self._account_trades, self._transfers
        for key, order in self._touched.items():
            if order.status in CLOSED:
                self.orders.pop(key, None)
        excess = len(self.orders) - self._orders_max
        if excess > 0:
            for key in list(self.orders)[:excess]:
                del self.orders[key]
        self._touched, self._account_trades, self._transfers = {}, [], []
        self._absent.clear()
        return taken

    # ---------------------------------------------------------------- events

    def _accepted(self, account_id: int, event: OrderAccepted) -> None:
        key = event.symbol, event.order_id
        self.orders[key] = self._touched[key] = OrderState(
            account_id,
            event.symbol,
            event.order_id,
            event.order_ref,
            event.client_order_id,
            event.side,
            event.order_type,
            event.time_in_force,
            event.price_ticks,
            event.quantity_lots,
            event.quote_amount,
            0,
            0,
            _NEW,
            event.stp_mode,
            event.at_ns,
            event.at_ns,
            _NO_EXPIRY,
            event.stop_ticks,
            event.iceberg_lots,
            event.list_id,
            0,
        )

    def _traded(self, account_id: int, event: TradeExecuted) -> None:
        symbol = event.symbol
        is_taker, is_maker = (
            event.taker_account_id == account_id,
            event.maker_account_id == account_id,
        )
        # Both before anything is changed: if one is missing, the event is folded again.
        taker = self._order(symbol, event.taker_order_id) if is_taker else None
        maker = self._order(symbol, event.maker_order_id) if is_maker else None
        is_taker_buyer = event.taker_side is _BUY
        if is_taker:
            self._trade_side(account_id, taker, event, is_taker_buyer, False)
        if is_maker:
            self._trade_side(account_id, maker, event, not is_taker_buyer, True)

    def _trade_side(
        self,
        account_id: int,
        order: OrderState | None,
        event: TradeExecuted,
        is_buyer: bool,
        is_maker: bool,
    ) -> None:
        symbol, lots, quote = event.symbol, event.quantity_lots, event.quote_amount
        assets = self._assets.get(symbol)
        if assets is None:
            raise UnknownMarketError(symbol=symbol)
        if is_maker:
            order_id, commission = event.maker_order_id, event.maker_commission
        else:
            order_id, commission = event.taker_order_id, event.taker_commission
        self._account_trades.append(
            AccountTrade(
                account_id,
                symbol,
                event.trade_id,
                order_id,
                event.price_ticks,
                lots,
                event.base_amount,
                quote,
                commission,
                assets[0] if is_buyer else assets[1],
                event.at_ns,
                is_buyer,
                is_maker,
            )
        )
        if order is None:
            self.orphans += 1
            return
        order.executed_lots += lots
        order.executed_quote += quote
        order.updated_at_ns = event.at_ns
        if order.quantity_lots:
            is_filled = order.executed_lots == order.quantity_lots
        else:
            rest = order.quote_amount - order.executed_quote
            is_filled = is_amount_used(order.side, rest, lots, quote)
        order.status = _FILLED if is_filled else _PARTIALLY_FILLED
        self._touched[symbol, order_id] = order

    def _closed(self, account_id: int, event: OrderClosed) -> None:
        order = self._order(event.symbol, event.order_id)
        if order is None:
            self.orphans += 1
            return
        order.status = event.status
        order.expiry_reason = event.expiry_reason
        order.updated_at_ns = event.at_ns
        self._touched[event.symbol, event.order_id] = order

    def _amended(self, account_id: int, event: OrderAmended) -> None:
        order = self._order(event.symbol, event.order_id)
        if order is None:
            self.orphans += 1
            return
        order.quantity_lots = event.new_quantity_lots
        order.client_order_id = event.new_client_order_id
        order.updated_at_ns = event.at_ns
        self._touched[event.symbol, event.order_id] = order

    def _deposited(self, account_id: int, event: Deposited) -> None:
        self._transfers.append(
            Transfer(account_id, event.asset, event.amount, event.at_ns, event.identity)
        )

    def _withdrawn(self, account_id: int, event: Withdrawn) -> None:
        self._transfers.append(
            Transfer(account_id, event.asset, -event.amount, event.at_ns, event.identity)
        )

    def _order(self, symbol: str, order_id: int) -> OrderState | None:
        """Return the order, or None if history does not know it; raise if it must be asked."""
        key = symbol, order_id
        order = self.orders.get(key)
        if order is None and key not in self._absent:
            raise _MissingOrderError
        return order


class MarketProjection:
    """Public trades and one-minute candles of one market. `candle` is the newest in history."""

    def __init__(self, symbol: str, candle: Candle | None) -> None:
        self._symbol = symbol
        self._candle = candle
        self._trades: list[PublicTrade] = []
        self._candles: dict[int, Candle] = {}
        self._markets: list[MarketAssets] = []

    def fold(self, entries: Iterable[Any]) -> None:
        for event in entries:
            kind = type(event)
            if kind is TradeExecuted:
                trade = PublicTrade(
                    event.trade_id,
                    event.price_ticks,
                    event.quantity_lots,
                    event.quote_amount,
                    event.at_ns,
                    event.taker_side is _SELL,
                )
                self._trades.append(trade)
                candle = self._candle = fold_candle(self._candle, trade)
                self._candles[candle.open_at_ms] = candle
            elif kind is MarketOpened:
                self._markets.append(_assets(event.instrument))

    def take(self) -> tuple[list[PublicTrade], list[Candle], list[MarketAssets]]:
        """Return what was gathered since the last time; the candles until the next `fold` only."""
        taken = self._trades, list(self._candles.values()), self._markets
        self._trades, self._candles, self._markets = [], {}, []
        return taken


def markets_added(entries: Iterable[Any]) -> list[MarketAssets]:
    """Return the markets that entries of the directory add."""
    return [_assets(event.instrument) for event in entries if type(event) is MarketAdded]


def _assets(instrument: Instrument) -> MarketAssets:
    return MarketAssets(instrument.symbol, instrument.base_asset, instrument.quote_asset)
