"""The least that a load generator can trade with: pairs orders as they come, over WebSocket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import websockets

Connection = websockets.ServerConnection


class TinyExchange:
    """Every buy trades with the next sell. Orders by client order id; no prices, no money."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[tuple[Connection, str]]] = {"BUY": [], "SELL": []}
        self.subscribed: set[Connection] = set()
        self.trades = 0
        self.refuse_every = 0  # every n-th order is refused; 0: none
        self.orders = 0
        self.requests: list[dict[str, Any]] = []

    async def serve(self, connection: Connection) -> None:
        async for text in connection:
            await self._obey(connection, msgspec.json.decode(text))

    async def _obey(self, connection: Connection, request: dict[str, Any]) -> None:
        self.requests.append(request)
        method, params = request["method"], request["params"]
        # Without a client order id it only tries whether it may trade, and expires.
        if method == "order.place" and "newClientOrderId" in params:
            await self._place(connection, request["id"], params)
            return
        if method == "userDataStream.subscribe.signature":
            self.subscribed.add(connection)
        if method == "order.cancel":
            error = {"code": -2011, "msg": "Unknown order sent."}
            await _send(connection, {"id": request["id"], "status": 400, "error": error})
            return
        await _send(connection, {"id": request["id"], "status": 200, "result": {}})

    async def _place(self, connection: Connection, request_id: int, params: dict[str, Any]) -> None:
        self.orders += 1
        if self.refuse_every and self.orders % self.refuse_every == 0:
            error = {"code": -2010, "msg": "Duplicate order sent."}
            await _send(connection, {"id": request_id, "status": 400, "error": error})
            return
        side, client_order_id = params["side"], params["newClientOrderId"]
        opposite = self.waiting["SELL" if side == "BUY" else "BUY"]
        fills = [{"qty": "3.00000000"}] if opposite else []
        result = {"orderId": self.orders, "fills": fills}
        await _send(connection, {"id": request_id, "status": 200, "result": result})
        if not opposite:
            self.waiting[side].append((connection, client_order_id))
            return
        maker, maker_order_id = opposite.pop(0)
        self.trades += 1
        await self._report(connection, client_order_id, is_maker=False)
        await self._report(maker, maker_order_id, is_maker=True)

    async def _report(self, connection: Connection, order_id: str, *, is_maker: bool) -> None:
        if connection in self.subscribed:
            event = {"e": "executionReport", "x": "TRADE", "t": self.trades, "m": is_maker}
            event["c"] = order_id
            await _send(connection, {"subscriptionId": 0, "event": event})


async def _send(connection: Connection, message: dict[str, Any]) -> None:
    await connection.send(msgspec.json.encode(message).decode())


@asynccontextmanager
async def tiny_exchange() -> AsyncIterator[tuple[TinyExchange, str]]:
    """Serve a tiny exchange; yield it and its URL."""
    exchange = TinyExchange()
    async with websockets.serve(exchange.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield exchange, f"ws://127.0.0.1:{port}"
