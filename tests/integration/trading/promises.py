"""Did the exchange keep its word? What traders were told against what is there now.

Uses the public API for each trader, the audit for all money, and plain SQL for history.
"""

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from typing import Final

from exchange.audit import AuditReport
from exchange.protocol.decimals import amount_text, parse_amount
from tests.integration.trading.live_node import TIMEOUT_S, LiveNode
from tests.integration.trading.load import Crowd, Player, Record
from tests.integration.trading.trader import (
    SYMBOL,
    Json,
    Trader,
    balances_of,
    following,
    trading,
)

PAGE: Final = 1_000
AT_ONCE: Final = 50
ENDED: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"})


async def check_promises(node: LiveNode, crowd: Crowd, money: dict[str, int]) -> AuditReport:
    """Nobody trades any more. Fail at the first promise that is not kept; return the audit."""
    report = await node.settled_audit()
    assert report.is_clean, report.findings
    await _check_history(node, report)  # first: traders are told nothing of a history that lags
    totals: Counter[str] = Counter()
    for player in crowd.players:
        async with trading(node.url, player.credentials) as trader:
            await following(trader)
            totals.update(await _check_trader(trader, player, money))
    by_asset = {line.asset: line for line in report.assets}
    for asset, amount in money.items():
        line = by_asset[asset]
        assert line.external == amount * len(crowd.players)
        assert line.available + line.held == totals[asset], asset
        assert line.fees + totals[asset] == line.external, asset
    return report


async def _check_trader(trader: Trader, player: Player, money: dict[str, int]) -> dict[str, int]:
    """Return what the trader owns, available and held, by asset."""
    record = player.record
    fills = await _all_fills(trader)
    orders = await _orders(trader, record)
    for order_id, answer in record.placed.items():
        _check_order(orders[order_id], answer, fills.get(order_id, []))
    for order_id, answer in record.canceled.items():
        assert orders[order_id]["status"] == "CANCELED", orders[order_id]
        assert orders[order_id]["executedQty"] == answer["executedQty"]
    unknown = set(fills) - set(record.placed)
    assert not unknown, f"{player.name} traded orders that were never acknowledged: {unknown}"

    open_ids = {row["orderId"] for row in await trader.call("openOrders.status")}
    assert open_ids == {i for i, order in orders.items() if order["status"] not in ENDED}

    expected = dict(money)
    for rows in fills.values():
        for row in rows:
            sign = 1 if row["isBuyer"] else -1
            expected["BTC"] += sign * parse_amount(row["qty"])
            expected["USDT"] -= sign * parse_amount(row["quoteQty"])
            expected[row["commissionAsset"]] -= parse_amount(row["commission"])
    balances = balances_of(await trader.call("account.status"))
    owned = {asset: sum(map(parse_amount, balances[asset])) for asset in money}
    assert owned == expected, player.name
    held = {"BTC": 0, "USDT": 0}
    for order in orders.values():
        if order["orderId"] in open_ids:
            left = parse_amount(order["origQty"]) - parse_amount(order["executedQty"])
            price = parse_amount(order["price"])
            is_buy = order["side"] == "BUY"
            held["USDT" if is_buy else "BTC"] += left * price // 10**8 if is_buy else left
    assert {asset: balances[asset][1] for asset in held} == {
        asset: amount_text(amount) for asset, amount in held.items()
    }
    return owned


def _check_order(order: Json, answer: Json, fills: list[Json]) -> None:
    """An order is at least what its answer said, and its fills add up to it."""
    executed = sum(parse_amount(fill["qty"]) for fill in fills)
    assert parse_amount(order["executedQty"]) == executed, (order, fills)
    assert parse_amount(order["cummulativeQuoteQty"]) == sum(
        parse_amount(fill["quoteQty"]) for fill in fills
    ), (order, fills)
    assert executed <= parse_amount(order["origQty"])
    by_id = {fill["id"]: fill for fill in fills}
    assert len(by_id) == len(fills), f"twice in history: {fills}"
    for told in answer["fills"]:
        kept = by_id[told["tradeId"]]
        for name in ("price", "qty", "commission", "commissionAsset"):
            assert kept[name] == told[name], (told, kept)
    for name in ("clientOrderId", "price", "origQty", "side", "timeInForce"):
        assert order[name] == answer[name], (order, answer)
    if answer["status"] in ENDED - {"EXPIRED_IN_MATCH"}:
        assert order["status"] == answer["status"], (order, answer)


async def _all_fills(trader: Trader) -> dict[int, list[Json]]:
    """Return all of the trader's trades by order."""
    fills: dict[int, list[Json]] = defaultdict(list)
    from_id = 0
    while True:
        rows = await trader.call("myTrades", symbol=SYMBOL, fromId=from_id, limit=PAGE)
        for row in rows:
            fills[row["orderId"]].append(row)
        if len(rows) < PAGE:
            return fills
        # A self-trade has two sides with one id: the page after begins with the last id again.
        last = rows[-1]["id"]
        for row in [row for row in rows if row["id"] == last]:
            fills[row["orderId"]].remove(row)
        from_id = last


async def _orders(trader: Trader, record: Record) -> dict[int, Json]:
    """Return every acknowledged order as it is now."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(order_id: int) -> Json:
        async with limit:
            order: Json = await trader.call("order.status", symbol=SYMBOL, orderId=order_id)
            return order

    found = await asyncio.gather(*(ask(order_id) for order_id in record.placed))
    return {order["orderId"]: order for order in found}


async def _check_history(node: LiveNode, report: AuditReport) -> None:
    """The cold store has each trade exactly once, and both sides of it."""
    wanted = (report.trades, report.trades, 2 * report.trades, report.trades)
    deadline = time.monotonic() + TIMEOUT_S
    while (found := _history(node)) != wanted:
        assert time.monotonic() < deadline, f"history has {found}, not {wanted}"
        await asyncio.sleep(0.05)


def _history(node: LiveNode) -> tuple[int, ...]:
    """Return trades, the span of their ids, sides of trades, and trades in candles."""
    with sqlite3.connect(f"file:{node.data_dir}/cold.db?mode=ro", uri=True) as store:
        row = store.execute(
            "SELECT (SELECT count(*) FROM trades),"
            " (SELECT ifnull(max(trade_id) - min(trade_id) + 1, 0) FROM trades),"
            " (SELECT count(*) FROM account_trades),"
            " (SELECT ifnull(sum(trades), 0) FROM candles_1m)"
        ).fetchone()
    return tuple(map(int, row))
