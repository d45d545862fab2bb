"""A ColdReader of what a test's exchange has settled; it may be told to lag."""

from collections.abc import Sequence

from exchange.answers import Candle, PublicTrade
from exchange.history import AccountTrade, MarketAssets
from exchange.orders import OrderState


class History:
    """What a projection would have written so far; `hold` keeps it from going on."""

    def __init__(self) -> None:
        self.marks: dict[str, int] = {}
        self.held: list[tuple[str, int]] = []
        self.is_held = False
        self.found_orders: dict[tuple[int, str, int], OrderState] = {}
        self.found_trades: list[AccountTrade] = []

    def advance(self, shard: str, seq: int) -> None:
        if self.is_held:
            self.held.append((shard, seq))
        else:
            self.marks[shard] = seq

    def release(self) -> None:
        self.is_held = False
        for shard, seq in self.held:
            self.marks[shard] = seq

    async def watermark(self, shard: str) -> int:
        return self.marks.get(shard, 0)

    async def watermarks(self) -> dict[str, int]:
        return dict(self.marks)

    async def markets(self) -> list[MarketAssets]:
        return [MarketAssets("BTCUSDT", "BTC", "USDT")]

    async def order(
        self, account_id: int, symbol: str, order_id: int, client_order_id: str
    ) -> OrderState | None:
        if order_id:
            return self.found_orders.get((account_id, symbol, order_id))
        found = [
            order
            for (owner, market, _), order in self.found_orders.items()
            if (owner, market, order.client_order_id) == (account_id, symbol, client_order_id)
        ]
        return found[-1] if found else None

    async def orders_by_id(self, keys: Sequence[tuple[int, str, int]]) -> list[OrderState]:
        return [self.found_orders[key] for key in keys if key in self.found_orders]

    async def orders(
        self,
        account_id: int,
        symbol: str,
        from_order_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[OrderState]:
        found = [
            order
            for (owner, market, order_id), order in sorted(self.found_orders.items())
            if (owner, market) == (account_id, symbol)
            and order_id >= from_order_id
            and order.created_at_ns >= start_ns
            and (not end_ns or order.created_at_ns <= end_ns)
        ]
        return found[:limit] if from_order_id > 0 or start_ns else found[-limit:]

    async def account_trades(
        self,
        account_id: int,
        symbol: str,
        order_id: int,
        from_trade_id: int,
        start_ns: int,
        end_ns: int,
        limit: int,
    ) -> list[AccountTrade]:
        found = [
            trade
            for trade in self.found_trades
            if (trade.account_id, trade.symbol) == (account_id, symbol)
            and order_id in (0, trade.order_id)
            and trade.trade_id >= from_trade_id
            and trade.at_ns >= start_ns
            and (not end_ns or trade.at_ns <= end_ns)
        ]
        return found[:limit] if from_trade_id >= 0 or start_ns else found[-limit:]

    async def trades(self, symbol: str, from_trade_id: int, limit: int) -> list[PublicTrade]:
        return []

    async def candles(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[Candle]:
        return []

    async def close(self) -> None:
        return None
