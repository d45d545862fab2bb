"""Requests through real sockets: what is refused and why, what comes twice, who is logged on."""

import asyncio

from tests.integration.trading.conftest import Pair
from tests.integration.trading.trader import (
    SYMBOL,
    Json,
    limit_order,
    now_ms,
    result_of,
    trading,
)

REFUSED_ORDERS: list[tuple[Json, tuple[int, int, str]]] = [
    ({"symbol": "NOPEUSDT"}, (400, -1121, "Invalid symbol.")),
    ({"side": "HOLD"}, (400, -1117, "Invalid side.")),
    ({"type": "LIMITED"}, (400, -1116, "Invalid orderType.")),
    ({"timeInForce": "GTD"}, (400, -1115, "Invalid timeInForce.")),
    (
        {"timeInForce": None},
        (
            400,
            -1102,
            "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed.",
        ),
    ),
    ({"price": "30000.001"}, (400, -1013, "Filter failure: PRICE_FILTER")),
    ({"price": "0"}, (400, -1013, "Filter failure: PRICE_FILTER")),
    ({"price": "1e4"}, (400, -1100, "Illegal characters found in parameter 'price'; legal range ")),
    ({"price": "1.123456789"}, (400, -1111, "Parameter 'price' has too much precision.")),
    ({"quantity": "0.000001"}, (400, -1013, "Filter failure: LOT_SIZE")),
    ({"quantity": "1000.00001"}, (400, -1013, "Filter failure: LOT_SIZE")),
    ({"quantity": "0.0001"}, (400, -1013, "Filter failure: NOTIONAL")),
    (
        {"quantity": "100", "newClientOrderId": "rich"},
        (400, -2010, "Account has insufficient balance for requested action."),
    ),
    ({"newClientOrderId": "a b"}, (400, -1100, "Illegal characters found in parameter ")),
    ({"newClientOrderId": "taken"}, (400, -2010, "Duplicate order sent.")),
    ({"stopPrice": "1"}, (400, -1106, "Parameter 'stopPrice' sent when not required.")),
]


async def test_refused_orders_say_why_and_hold_nothing(pair: Pair) -> None:
    bob = pair.bob
    await bob.place("BUY", "20000", "0.1", newClientOrderId="taken")
    for change, (status, code, message) in REFUSED_ORDERS:
        parameters = {"side": "BUY", "price": "20000", "quantity": "0.1", **change}
        refusal = await bob.refusal("order.place", **limit_order(**parameters))
        assert refusal[:2] == (status, code), change
        assert refusal[2].startswith(message), change
    assert await bob.free_and_locked("USDT") == ("998000.00000000", "2000.00000000")
    assert len(await bob.call("openOrders.status")) == 1


async def test_price_outside_the_band_around_the_last_trade_is_refused(pair: Pair) -> None:
    await pair.alice.place("SELL", "30000", "0.1")
    await pair.bob.place("BUY", "30000", "0.1")
    for side, price in (("BUY", "150001"), ("SELL", "5999")):
        order = limit_order(side, price, "0.01")
        assert await pair.alice.refusal("order.place", **order) == (
            400,
            -1013,
            "Filter failure: PERCENT_PRICE",
        )


async def test_requests_that_prove_nothing_are_refused(pair: Pair) -> None:
    alice = pair.alice
    order = limit_order("BUY", "20000", "0.1")
    good = alice.signed(**order)
    signature = good["signature"]
    forged = {**good, "signature": ("0" if signature[0] != "0" else "1") + signature[1:]}
    late = alice.signed(**{**order, "timestamp": now_ms() - 6_000})
    ahead = alice.signed(**{**order, "timestamp": now_ms() + 5_000})
    unsigned = {name: value for name, value in good.items() if name != "signature"}
    timeless = {name: value for name, value in good.items() if name != "timestamp"}
    cases: list[tuple[Json, tuple[int, int, str]]] = [
        ({**good, "apiKey": "x" * 32}, (401, -2015, "Invalid API-key, IP, or permissions ")),
        ({**good, "apiKey": "?"}, (401, -2014, "API-key format invalid.")),
        (forged, (400, -1022, "Signature for this request is not valid.")),
        ({**good, "quantity": "0.2"}, (400, -1022, "Signature for this request is not valid.")),
        (late, (400, -1021, "Timestamp for this request is outside of the recvWindow.")),
        (
            ahead,
            (400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."),
        ),
        (unsigned, (400, -1102, "Mandatory parameter 'signature' was not sent, ")),
        (timeless, (400, -1102, "Mandatory parameter 'timestamp' was not sent, ")),
    ]
    for params, (status, code, message) in cases:
        response = await alice.response("order.place", params)
        assert (response["status"], response["error"]["code"]) == (status, code), params
        assert response["error"]["msg"].startswith(message)
    assert await alice.call("openOrders.status") == []
    assert (await alice.response("order.place", good))["status"] == 200


async def test_frames_that_are_no_requests_are_refused(pair: Pair) -> None:
    alice = pair.alice
    broken = await alice.exchange('{"id":7,"method":', None)
    assert broken == {
        "id": None,
        "status": 400,
        "error": {"code": -1135, "msg": "Invalid JSON Request"},
    }
    unknown = await alice.exchange('{"id":77,"method":"order.gift","params":{}}', 77)
    assert unknown["error"] == {"code": -1020, "msg": "This operation is not supported."}
    nameless = await alice.exchange('{"id":78,"params":{}}', 78)
    assert nameless["error"]["code"] == -1102
    assert await alice.plain("ping") == {}


async def test_unknown_orders_are_not_found(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    theirs = await bob.place("BUY", "20000", "0.1", newClientOrderId="theirs")
    for reference in ({"orderId": theirs["orderId"]}, {"origClientOrderId": "theirs"}):
        assert await alice.refusal("order.status", symbol=SYMBOL, **reference) == (
            400,
            -2013,
            "Order does not exist.",
        )
        assert await alice.refusal("order.cancel", symbol=SYMBOL, **reference) == (
            400,
            -2011,
            "Unknown order sent.",
        )
    assert (await bob.call("order.status", symbol=SYMBOL, origClientOrderId="theirs"))[
        "status"
    ] == "NEW"
    assert await alice.refusal("order.status", symbol=SYMBOL) == (
        400,
        -1102,
        "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
    )


async def test_request_sent_twice_is_one_order_with_one_answer(pair: Pair) -> None:
    alice = pair.alice
    request = alice.signed(**limit_order("BUY", "20000", "0.1", newOrderRespType="FULL"))
    async with trading(pair.node.url, pair.alice_key) as other:
        first, second, third = await asyncio.gather(
            alice.response("order.place", request),
            alice.response("order.place", request),
            other.response("order.place", request),
        )
        fourth = await other.response("order.place", request)
    answers = [result_of(response) for response in (first, second, third, fourth)]
    assert answers == [answers[0]] * 4
    assert len(await alice.call("openOrders.status")) == 1
    assert await alice.free_and_locked("USDT") == ("998000.00000000", "2000.00000000")


async def test_request_that_traded_is_answered_again_with_its_fills(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    await bob.place("SELL", "30000", "0.04")
    request = alice.signed(**limit_order("BUY", "30000", "0.1", newOrderRespType="FULL"))
    first = result_of(await alice.response("order.place", request))
    assert (first["status"], first["executedQty"]) == ("PARTIALLY_FILLED", "0.04000000")
    await bob.place("SELL", "30000", "0.06")
    await alice.report(first["orderId"], "TRADE", "FILLED")
    again = result_of(await alice.response("order.place", request))
    assert again == first  # what it was then, not what became of it
    cancel = alice.signed(symbol=SYMBOL, orderId=first["orderId"])
    refusals = [await alice.response("order.cancel", cancel) for _ in range(2)]
    assert [response["error"]["code"] for response in refusals] == [-2011, -2011]


async def test_logged_on_session_needs_no_signature_until_it_logs_out(pair: Pair) -> None:
    bob = pair.bob
    status = await bob.plain("session.status")
    assert (status["apiKey"], status["userDataStream"]) == (bob.key_id, True)
    order = {**limit_order("BUY", "20000", "0.1"), "timestamp": now_ms()}
    placed = await bob.plain("order.place", **order)
    again = await bob.plain("order.place", **order)
    assert again["orderId"] == placed["orderId"]
    assert (await bob.plain("session.logout"))["apiKey"] is None
    await bob.event(lambda event: event["e"] == "eventStreamTerminated", "end of the events")
    response = await bob.response("order.place", order)
    assert (response["status"], response["error"]["code"]) == (401, -2014)
    refused = await pair.alice.response("session.logon", pair.alice.signed())
    assert refused["error"]["code"] == -2015  # HMAC keys sign each request


async def test_user_events_are_subscribed_once_and_end_on_request(pair: Pair) -> None:
    alice = pair.alice
    assert (await alice.refusal("userDataStream.subscribe.signature"))[1] == -2035
    assert await alice.plain("session.subscriptions") == [{"subscriptionId": 0}]
    assert await alice.plain("userDataStream.unsubscribe", subscriptionId=0) == {}
    seen = len(alice.events)
    async with trading(pair.node.url, pair.alice_key) as other:
        await other.call("userDataStream.subscribe.signature")
        placed = await alice.place("BUY", "20000", "0.1")
        await other.report(placed["orderId"], "NEW", "NEW")
    assert alice.events[seen:] == []
