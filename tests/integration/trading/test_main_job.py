"""The main job through real sockets: two traders meet, and every number is right."""

import json
import time

import pytest

from tests.integration.trading.conftest import Pair
from tests.integration.trading.live_node import TIMEOUT_S, LiveNode, until
from tests.integration.trading.trader import (
    SYMBOL,
    Json,
    Trader,
    balances_of,
    limit_order,
    now_ms,
    streaming,
)


async def test_trade_is_told_to_both_parties_with_exact_fees_and_balances(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    resting = await alice.place("SELL", "30000.01", "0.12345", newClientOrderId="mine")
    assert resting["clientOrderId"] == "mine"
    assert (resting["status"], resting["fills"]) == ("NEW", [])
    assert await alice.free_and_locked("BTC") == ("9.87655000", "0.12345000")

    taken = await bob.place("BUY", "30001.00", "0.10003", newOrderRespType="FULL")
    # 0.10003 x 30000.01 = 3000.9010003; fees of what each receives: 0.1 % taker, 0.02 % maker.
    assert taken["status"] == "FILLED"
    assert taken["price"] == "30001.00000000"
    assert (taken["origQty"], taken["executedQty"]) == ("0.10003000", "0.10003000")
    assert taken["cummulativeQuoteQty"] == "3000.90100030"
    (fill,) = taken["fills"]
    trade_id = fill["tradeId"]
    assert fill == {
        "price": "30000.01000000",
        "qty": "0.10003000",
        "commission": "0.00010003",
        "commissionAsset": "BTC",
        "tradeId": trade_id,
    }

    maker = await alice.report(resting["orderId"], "TRADE", "PARTIALLY_FILLED")
    assert (maker["l"], maker["L"], maker["z"]) == ("0.10003000", "30000.01000000", "0.10003000")
    assert (maker["n"], maker["N"]) == ("0.60018020", "USDT")  # 0.60018020006, rounded down
    assert (maker["t"], maker["m"], maker["Y"]) == (trade_id, True, "3000.90100030")
    taker = await bob.report(taken["orderId"], "TRADE", "FILLED")
    assert (taker["n"], taker["N"], taker["m"]) == ("0.00010003", "BTC", False)
    assert (taker["t"], taker["w"], taker["Z"]) == (trade_id, False, "3000.90100030")
    news = [event["x"] for event in bob.events if event["e"] == "executionReport"]
    assert news == ["NEW", "TRADE"]
    assert (await alice.report(resting["orderId"], "NEW", "NEW"))["c"] == "mine"

    expected = {
        alice: {"BTC": ("9.87655000", "0.02342000"), "USDT": ("1003000.30082010", "0.00000000")},
        bob: {"BTC": ("10.09992997", "0.00000000"), "USDT": ("996999.09899970", "0.00000000")},
    }
    for trader, balances in expected.items():
        assert balances_of(await trader.call("account.status", omitZeroBalances=True)) == balances
        position = await trader.event(
            lambda event, balances=balances: (  # type: ignore[misc]
                event["e"] == "outboundAccountPosition"
                and {row["a"]: (row["f"], row["l"]) for row in event["B"]} == balances
            ),
            "the position after the trade",
        )
        assert position["E"] == position["u"]

    mine = await alice.call("myTrades", symbol=SYMBOL)
    assert [(row["id"], row["orderId"], row["commission"]) for row in mine] == [
        (trade_id, resting["orderId"], "0.60018020")
    ]
    assert (mine[0]["isMaker"], mine[0]["isBuyer"], mine[0]["quoteQty"]) == (
        True,
        False,
        "3000.90100030",
    )
    his = await bob.call("myTrades", symbol=SYMBOL, orderId=taken["orderId"])
    assert [(row["id"], row["qty"], row["commissionAsset"]) for row in his] == [
        (trade_id, "0.10003000", "BTC")
    ]
    public = await bob.plain("trades.recent", symbol=SYMBOL, limit=1)
    assert [(row["id"], row["price"], row["isBuyerMaker"]) for row in public] == [
        (trade_id, "30000.01000000", False)
    ]


async def test_streams_tell_trade_depth_best_prices_and_candle(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    low = SYMBOL.lower()
    names = [f"{low}@trade", f"{low}@depth@100ms", f"{low}@bookTicker", f"{low}@kline_1m"]
    async with streaming(pair.node.url, f"/stream?streams={'/'.join(names)}") as streams:
        listed = await streams.control("LIST_SUBSCRIPTIONS", [], 1)
        assert listed == {"result": names, "id": 1}
        before = await _book(alice, [], [])
        await alice.place("SELL", "31000", "0.2")
        await alice.place("SELL", "31000.5", "0.1")
        await bob.place("BUY", "30999", "0.3")
        taken = await bob.place("BUY", "31000", "0.05")
        after = await _book(
            alice,
            [["30999.00000000", "0.30000000"]],
            [["31000.00000000", "0.15000000"], ["31000.50000000", "0.10000000"]],
        )

        trade = await streams.next(lambda m: m.get("stream") == names[0], "trade")
        assert (trade["data"]["e"], trade["data"]["p"], trade["data"]["q"], trade["data"]["m"]) == (
            "trade",
            "31000.00000000",
            "0.05000000",
            False,
        )
        assert trade["data"]["t"] == taken["fills"][0]["tradeId"]
        trade_id = trade["data"]["t"]
        # What is told of the running minute before may still be of an earlier trade.
        candle = await streams.next(
            lambda m: m.get("stream") == names[3] and m["data"]["k"]["L"] == trade_id, "kline"
        )
        minute = candle["data"]["k"]
        assert (minute["i"], minute["c"]) == ("1m", "31000.00000000")

        def is_last_depth(message: Json) -> bool:
            return (
                message.get("stream") == names[1] and message["data"]["u"] >= after["lastUpdateId"]
            )

        if not any(map(is_last_depth, streams.messages)):
            await streams.next(is_last_depth, "depth up to the snapshot")
    of = {name: [m["data"] for m in streams.messages if m.get("stream") == name] for name in names}
    _check_depth(of[names[1]], before, after)
    tickers = of[names[2]]
    assert [m["u"] for m in tickers] == sorted({m["u"] for m in tickers})
    assert (tickers[-1]["b"], tickers[-1]["B"]) == ("30999.00000000", "0.30000000")
    assert (tickers[-1]["a"], tickers[-1]["A"]) == ("31000.00000000", "0.15000000")


async def _book(trader: Trader, bids: list[list[str]], asks: list[list[str]]) -> Json:
    """Return the depth once it is this: an answer may overtake the market's news of it."""
    seen: list[Json] = []
    deadline = time.monotonic() + TIMEOUT_S
    while not seen or (seen[-1]["bids"], seen[-1]["asks"]) != (bids, asks):
        assert time.monotonic() < deadline, f"waited in vain: the book {bids} {asks}: {seen[-1]}"
        seen.append(await trader.plain("depth", symbol=SYMBOL, limit=5))
    assert [m["lastUpdateId"] for m in seen] == sorted(m["lastUpdateId"] for m in seen)
    return seen[-1]


def _check_depth(events: list[Json], before: Json, after: Json) -> None:
    """Apply the events to one snapshot as clients are told to; it must become the other."""
    book: dict[str, dict[str, str]] = {
        "b": dict(before["bids"]),
        "a": dict(before["asks"]),
    }
    at = before["lastUpdateId"]
    for event in events:
        if event["u"] <= at:
            continue
        if at != before["lastUpdateId"]:
            assert event["U"] == at + 1
        assert event["U"] <= at + 1 <= event["u"]
        for side in ("b", "a"):
            for price, quantity in event[side]:
                book[side][price] = quantity
                if not float(quantity):
                    del book[side][price]
        at = event["u"]
    assert at == after["lastUpdateId"]
    assert book == {"b": dict(after["bids"]), "a": dict(after["asks"])}


async def test_stream_names_are_subscribed_and_left_while_connected(pair: Pair) -> None:
    name = f"{SYMBOL.lower()}@trade"
    async with streaming(pair.node.url, "/ws") as streams:
        assert await streams.control("SUBSCRIBE", [name], 1) == {"result": None, "id": 1}
        await pair.alice.place("SELL", "31000", "0.01")
        first = await pair.bob.place("BUY", "31000", "0.005")
        raw = await streams.next(lambda m: m.get("e") == "trade", "a raw trade")
        assert raw["t"] == first["fills"][0]["tradeId"]
        assert await streams.control("UNSUBSCRIBE", [name], 2) == {"result": None, "id": 2}
        await pair.bob.place("BUY", "31000", "0.005")
        assert await streams.control("SUBSCRIBE", ["nonsense"], 3) == {
            "code": 2,
            "msg": "Invalid request: invalid stream name.",
            "id": 3,
        }
        assert await streams.control("SET_PROPERTY", ["combined", True], 4) == {
            "result": None,
            "id": 4,
        }
        assert await streams.control("SUBSCRIBE", [name], 5) == {"result": None, "id": 5}
        seen = len(streams.messages)
        await pair.alice.place("SELL", "31000", "0.01")
        third = await pair.bob.place("BUY", "31000", "0.01")
        combined = await streams.next(lambda m: "stream" in m, "a combined trade")
        assert combined["stream"] == name
        assert combined["data"]["t"] == third["fills"][0]["tradeId"]
        assert not [m for m in streams.messages[:seen] if m.get("e") == "trade" and m is not raw]


async def test_order_is_shown_until_canceled_and_after(pair: Pair) -> None:
    alice = pair.alice
    placed = await alice.place("BUY", "20000", "0.5", newClientOrderId="rests")
    shown = await alice.call("order.status", symbol=SYMBOL, origClientOrderId="rests")
    assert shown["orderId"] == placed["orderId"]
    assert (shown["status"], shown["price"], shown["origQty"]) == (
        "NEW",
        "20000.00000000",
        "0.50000000",
    )
    assert [row["orderId"] for row in await alice.call("openOrders.status")] == [placed["orderId"]]
    assert await alice.free_and_locked("USDT") == ("990000.00000000", "10000.00000000")

    canceled = await alice.call("order.cancel", symbol=SYMBOL, orderId=placed["orderId"])
    assert (canceled["status"], canceled["origClientOrderId"]) == ("CANCELED", "rests")
    report = await alice.report(placed["orderId"], "CANCELED", "CANCELED")
    assert (report["C"], report["c"]) == ("rests", canceled["clientOrderId"])
    assert await alice.free_and_locked("USDT") == ("1000000.00000000", "0.00000000")
    assert await alice.call("openOrders.status", symbol=SYMBOL) == []
    shown = await alice.call("order.status", symbol=SYMBOL, orderId=placed["orderId"])
    assert (shown["status"], shown["executedQty"]) == ("CANCELED", "0.00000000")
    assert await alice.refusal("order.cancel", symbol=SYMBOL, orderId=placed["orderId"]) == (
        400,
        -2011,
        "Unknown order sent.",
    )


@pytest.mark.parametrize("mode", ["STOP_ON_FAILURE", "ALLOW_FAILURE"])
async def test_cancel_replace_ends_one_order_and_begins_another(pair: Pair, mode: str) -> None:
    alice = pair.alice
    old = await alice.place("BUY", "20000", "0.5")
    done = await alice.call(
        "order.cancelReplace",
        cancelReplaceMode=mode,
        cancelOrderId=old["orderId"],
        **limit_order("BUY", "20001", "0.4"),
    )
    assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert done["cancelResponse"]["orderId"] == old["orderId"]
    new = done["newOrderResponse"]
    assert (new["price"], new["status"]) == ("20001.00000000", "NEW")
    assert [row["orderId"] for row in await alice.call("openOrders.status")] == [new["orderId"]]
    assert await alice.free_and_locked("USDT") == ("991999.60000000", "8000.40000000")


@pytest.mark.parametrize(
    ("mode", "error", "results", "opened"),
    [
        ("STOP_ON_FAILURE", (400, -2022), ("FAILURE", "NOT_ATTEMPTED"), 0),
        ("ALLOW_FAILURE", (409, -2021), ("FAILURE", "SUCCESS"), 1),
    ],
)
async def test_cancel_replace_of_an_unknown_order_does_what_its_mode_says(
    pair: Pair, mode: str, error: tuple[int, int], results: tuple[str, str], opened: int
) -> None:
    alice = pair.alice
    params = alice.signed(
        cancelReplaceMode=mode, cancelOrderId=987_654_321, **limit_order("BUY", "20001", "0.4")
    )
    response = await alice.response("order.cancelReplace", params)
    assert (response["status"], response["error"]["code"]) == error
    data = response["error"]["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == results
    assert data["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
    assert len(await alice.call("openOrders.status")) == opened


async def test_amended_order_keeps_its_priority(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    first = await alice.place("SELL", "30000", "0.3")
    second = await alice.place("SELL", "30000", "0.3")
    amended = await alice.call(
        "order.amend.keepPriority", symbol=SYMBOL, orderId=first["orderId"], newQty="0.1"
    )
    assert (amended["amendedOrder"]["qty"], amended["amendedOrder"]["status"]) == (
        "0.10000000",
        "NEW",
    )
    assert await alice.free_and_locked("BTC") == ("9.60000000", "0.40000000")
    await bob.place("BUY", "30000", "0.15")
    await alice.report(first["orderId"], "TRADE", "FILLED")
    report = await alice.report(second["orderId"], "TRADE", "PARTIALLY_FILLED")
    assert report["l"] == "0.05000000"
    for quantity, message in (
        ("0.4", "Order amend (quantity increase) is not supported."),
        ("0.3", "The requested action would change no state; rejecting."),
        ("0.05", "Order amend (quantity not above executed quantity) is not supported."),
    ):
        assert await alice.refusal(
            "order.amend.keepPriority", symbol=SYMBOL, orderId=second["orderId"], newQty=quantity
        ) == (400, -2038, message)


async def test_all_orders_are_canceled_at_once(pair: Pair) -> None:
    alice = pair.alice
    prices = ("20000", "20001", "20002")
    ids = [(await alice.place("BUY", price, "0.1"))["orderId"] for price in prices]
    gone = await alice.call("openOrders.cancelAll", symbol=SYMBOL)
    assert sorted(order["orderId"] for order in gone) == ids
    assert {order["status"] for order in gone} == {"CANCELED"}
    assert await alice.free_and_locked("USDT") == ("1000000.00000000", "0.00000000")
    assert await alice.refusal("openOrders.cancelAll", symbol=SYMBOL) == (
        400,
        -2011,
        "Unknown order sent.",
    )


async def test_immediate_orders_take_what_is_there_or_nothing(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    await alice.place("SELL", "30000", "0.1")
    killed = await bob.place("BUY", "30000", "0.2", timeInForce="FOK")
    assert (killed["status"], killed["executedQty"]) == ("EXPIRED", "0.00000000")
    part = await bob.place("BUY", "30000", "0.15", timeInForce="IOC")
    assert (part["status"], part["executedQty"], part["cummulativeQuoteQty"]) == (
        "EXPIRED",
        "0.10000000",
        "3000.00000000",
    )
    await bob.report(part["orderId"], "EXPIRED", "EXPIRED")
    await alice.place("SELL", "30000", "0.1")
    filled = await bob.place("BUY", "30000", "0.1", timeInForce="FOK")
    assert filled["status"] == "FILLED"
    assert await bob.call("openOrders.status") == []
    # Nothing is held for what expired: 2 x 3000 paid, 2 x 0.1 received less 0.1 %.
    assert await bob.free_and_locked("USDT") == ("994000.00000000", "0.00000000")
    assert await bob.free_and_locked("BTC") == ("10.19980000", "0.00000000")


async def test_limit_maker_rests_or_is_refused(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    resting = await alice.place(
        "SELL", "30000", "0.1", type="LIMIT_MAKER", timeInForce=None, newOrderRespType="RESULT"
    )
    assert (resting["status"], resting["type"]) == ("NEW", "LIMIT_MAKER")
    order = limit_order("BUY", "30000", "0.1", type="LIMIT_MAKER", timeInForce=None)
    assert await bob.refusal("order.place", **order) == (
        400,
        -2010,
        "Order would immediately match and take.",
    )
    assert await bob.free_and_locked("USDT") == ("1000000.00000000", "0.00000000")


async def test_market_orders_by_quantity_and_by_amount_trade_and_release_the_rest(
    pair: Pair,
) -> None:
    alice, bob = pair.alice, pair.bob
    await alice.place("SELL", "30000", "0.1")
    await alice.place("SELL", "30010", "0.1")
    await alice.place("BUY", "29990", "0.2")

    async def market(side: str, **params: str) -> Json:
        order = {"symbol": SYMBOL, "side": side, "type": "MARKET", **params}
        answer: Json = await bob.call("order.place", **order)
        return answer

    bought = await market("BUY", quantity="0.15")
    assert (bought["status"], bought["cummulativeQuoteQty"]) == ("FILLED", "4500.50000000")
    assert [fill["price"] for fill in bought["fills"]] == ["30000.00000000", "30010.00000000"]
    spent = await market("BUY", quoteOrderQty="1000")
    # 1000 buys 0.03332 at 30010 (999.93320000), not 0.03333.
    assert (spent["status"], spent["executedQty"]) == ("FILLED", "0.03332000")
    assert spent["cummulativeQuoteQty"] == "999.93320000"
    sold = await market("SELL", quantity="0.05")
    assert sold["cummulativeQuoteQty"] == "1499.50000000"
    raised = await market("SELL", quoteOrderQty="600")
    assert (raised["executedQty"], raised["cummulativeQuoteQty"]) == ("0.02000000", "599.80000000")
    usdt, btc = await bob.free_and_locked("USDT"), await bob.free_and_locked("BTC")
    # - 4500.5 - 999.9332 + (1499.5 - 1.4995) + (599.8 - 0.5998)
    assert usdt == ("996596.76750000", "0.00000000")
    # + 0.15 - 0.0001 - 0.00005 (fees of two fills) + 0.03332 - 0.00003332 - 0.05 - 0.02
    assert btc == ("10.11313668", "0.00000000")
    rest = await market("SELL", quantity="1")
    assert (rest["status"], rest["executedQty"]) == ("EXPIRED", "0.13000000")
    assert await bob.free_and_locked("BTC") == ("9.98313668", "0.00000000")
    nothing = await market("SELL", quantity="1")  # nobody buys any more
    assert (nothing["status"], nothing["executedQty"]) == ("EXPIRED", "0.00000000")
    assert await bob.refusal(
        "order.place", symbol=SYMBOL, side="SELL", type="MARKET", quoteOrderQty="1000"
    ) == (400, -2010, "Order book liquidity is less than symbol minimum quantity.")
    assert await bob.free_and_locked("BTC") == ("9.98313668", "0.00000000")


async def test_public_requests_tell_time_rules_and_price(node: LiveNode, pair: Pair) -> None:
    alice = pair.alice
    before = now_ms()
    assert before <= (await alice.plain("time"))["serverTime"] <= now_ms()
    info = await alice.plain("exchangeInfo", symbol=SYMBOL)
    (market,) = info["symbols"]
    filters = {row["filterType"]: row for row in market["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert market["status"] == "TRADING"
    tested = await alice.call(
        "order.test", computeCommissionRates="true", **limit_order("BUY", "20000", "0.1")
    )
    assert tested["standardCommissionForOrder"] == {"maker": "0.00020000", "taker": "0.00100000"}
    assert await alice.call("openOrders.status") == []
    answer = await alice.exchange(json.dumps({"id": 99, "method": "v3/ping"}), 99)
    assert answer["result"] == {}


async def test_everything_adds_up_in_the_end(pair: Pair) -> None:
    await until(lambda: pair.node.pid_of("projection") > 0, "the projection runs")
    report = await pair.node.settled_audit()
    assert report.is_clean, report.findings
    assert report.trades > 0
