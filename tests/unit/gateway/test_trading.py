"""Orders through a session: results, events and refusals as the dialect has them."""

from typing import Any

import pytest

from exchange.directory.events import MarketStatusSet
from exchange.instrument import MarketStatus
from tests.support.direct_exchange import Client, DirectExchange

ACK_FIELDS = ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]
RESULT_FIELDS = [
    *ACK_FIELDS,
    *("price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status"),
    *("timeInForce", "type", "side", "workingTime", "selfTradePreventionMode"),
]


def test_limit_order_answers_in_full_by_default(alice: Client) -> None:
    answer = alice.place("BUY", "45000.10", "0.001", newClientOrderId="my-1")
    assert answer["status"] == 200
    assert list(answer["result"]) == [*RESULT_FIELDS, "fills"]
    assert answer["result"]["clientOrderId"] == "my-1"
    assert answer["result"]["price"] == "45000.10000000"
    assert answer["result"]["status"] == "NEW"
    assert answer["result"]["fills"] == []


@pytest.mark.parametrize(("wanted", "fields"), [("ACK", ACK_FIELDS), ("RESULT", RESULT_FIELDS)])
def test_response_type_decides_the_fields(alice: Client, wanted: str, fields: list[str]) -> None:
    answer = alice.place("BUY", "45000", "0.001", newOrderRespType=wanted)
    assert list(answer["result"]) == fields


def test_limit_maker_answers_with_an_acknowledgement_by_default(alice: Client) -> None:
    answer = alice.ask(
        "order.place",
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT_MAKER",
        price="45000",
        quantity="0.001",
    )
    assert list(answer["result"]) == ACK_FIELDS


def test_filled_taker_says_so_with_its_fills(alice: Client, bob: Client) -> None:
    bob.place("SELL", "45000", "0.002")
    result = alice.place("BUY", "45001", "0.001")["result"]
    assert result["status"] == "FILLED"
    assert result["cummulativeQuoteQty"] == "45.00000000"
    assert result["fills"] == [
        {
            "price": "45000.00000000",
            "qty": "0.00100000",
            "commission": "0.00000100",
            "commissionAsset": "BTC",
            "tradeId": 1,
        }
    ]


def test_generated_client_order_id_has_22_alphanumerics_and_follows_from_the_request(
    exchange: DirectExchange, alice: Client
) -> None:
    params = alice.signed(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", price="45000", quantity="1"
    )
    (first,) = alice.send("order.place", params)
    client_order_id = first["result"]["clientOrderId"]
    assert len(client_order_id) == 22
    assert client_order_id.isalnum()
    assert exchange.accounts[1].orders[1].client_order_id == client_order_id


def test_the_same_request_twice_is_one_order_and_one_answer(
    exchange: DirectExchange, alice: Client
) -> None:
    params = alice.signed(
        symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", price="45000", quantity="1"
    )
    (first,) = alice.send("order.place", params)
    again = alice.send("order.place", params)
    exchange.pass_time(1_100)
    again += alice.wire.messages()
    assert len(exchange.accounts[1].orders) == 1
    assert [message["result"]["orderId"] for message in again] == [first["result"]["orderId"]]


def test_market_order_by_quote_amount_shows_what_it_bought(alice: Client, bob: Client) -> None:
    bob.place("SELL", "45000", "1")
    result = alice.ask(
        "order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="90"
    )["result"]
    assert result["origQuoteOrderQty"] == "90.00000000"
    assert result["origQty"] == result["executedQty"] == "0.00200000"
    assert result["status"] == "FILLED"


def test_market_order_on_an_empty_book_expires(alice: Client) -> None:
    result = alice.ask(
        "order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001"
    )["result"]
    assert result["status"] == "EXPIRED"
    assert result["expiryReason"] == "INSUFFICIENT_LIQUIDITY"


BASE = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "45000",
    "quantity": "0.001",
}
REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"symbol": None}, -1102, "'symbol'"),
    ({"symbol": "btcusdt"}, -1100, "'symbol'"),
    ({"symbol": "ETHUSDT"}, -1121, "Invalid symbol."),
    ({"symbol": ["BTCUSDT"]}, -1102, "'symbol'"),
    ({"side": None}, -1102, "'side'"),
    ({"side": "LONG"}, -1117, "Invalid side."),
    ({"type": "ICEBERG"}, -1116, "Invalid orderType."),
    ({"type": "STOP_LOSS"}, -2010, "Stop loss orders are not supported for this symbol."),
    ({"timeInForce": None}, -1102, "'timeInForce'"),
    ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
    ({"timeInForce": 5}, -1115, "Invalid timeInForce."),
    ({"price": None}, -1102, "'price'"),
    ({"quantity": None}, -1102, "'quantity'"),
    ({"price": "0"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "45000.001"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "99999999999999999999"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "-1"}, -1100, "'price'"),
    ({"price": "1e5"}, -1100, "'price'"),
    ({"price": ""}, -1100, "'price'"),
    ({"price": True}, -1100, "'price'"),
    ({"price": "45000.123456789"}, -1111, "'price'"),
    ({"quantity": "0"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "99999999999999999999"}, -1013, "Filter failure: LOT_SIZE"),
    ({"price": "0.01", "quantity": "0.001"}, -1013, "Filter failure: NOTIONAL"),
    ({"stopPrice": "44000"}, -1106, "'stopPrice'"),
    ({"trailingDelta": 100}, -1106, "'trailingDelta'"),
    ({"quoteOrderQty": "10"}, -1106, "'quoteOrderQty'"),
    ({"icebergQty": "0.0005"}, -2010, "Iceberg orders are not supported for this symbol."),
    ({"type": "LIMIT_MAKER", "timeInForce": "IOC"}, -1114, ""),
    ({"type": "MARKET"}, -1106, "'price'"),
    ({"type": "MARKET", "price": None, "timeInForce": "IOC"}, -1114, ""),
    ({"type": "MARKET", "price": None, "quantity": None}, -1102, "'quantity' or 'quoteOrderQty'"),
    ({"type": "MARKET", "price": None, "quoteOrderQty": "10"}, -1106, "'quoteOrderQty'"),
    ({"newClientOrderId": "a b"}, -1100, "'newClientOrderId'"),
    ({"newClientOrderId": "x" * 10_000}, -1100, "'newClientOrderId'"),
    ({"newOrderRespType": "ALL"}, -1130, "'newOrderRespType'"),
    ({"selfTradePreventionMode": "ALWAYS"}, -1130, "'selfTradePreventionMode'"),
    ({"strategyType": 5}, -1134, "1000000"),
    ({"price": "45000", "quantity": "99999"}, -2010, "insufficient balance"),
]


@pytest.mark.parametrize(("change", "code", "text"), REFUSALS)
def test_bad_orders_are_refused_by_their_code(
    exchange: DirectExchange, alice: Client, change: dict[str, Any], code: int, text: str
) -> None:
    params = {name: value for name, value in (BASE | change).items() if value is not None}
    answer = alice.ask("order.place", **params)
    assert answer["status"] == 400
    assert answer["error"]["code"] == code
    assert text in answer["error"]["msg"]
    assert not exchange.accounts[1].orders


def test_good_till_canceled_is_tolerated_where_it_says_nothing(alice: Client) -> None:
    answer = alice.place("BUY", "45000", "0.001", type="LIMIT_MAKER")
    assert answer["status"] == 200


def test_post_only_order_that_would_take_is_refused(alice: Client, bob: Client) -> None:
    bob.place("SELL", "45000", "0.001")
    answer = alice.place("BUY", "45000", "0.001", type="LIMIT_MAKER")
    assert answer["error"] == {
        "code": -2010,
        "msg": "Order would immediately match and take.",
    }


def test_halted_market_is_closed_also_for_cancels(exchange: DirectExchange, alice: Client) -> None:
    alice.place("BUY", "45000", "0.001", newClientOrderId="o")
    exchange.set_status(MarketStatusSet("BTCUSDT", MarketStatus.HALT, "test", exchange.clock_ns))
    placed = alice.place("BUY", "45000", "0.001")
    assert placed["error"] == {"code": -2010, "msg": "Market is closed."}
    canceled = alice.ask("order.cancel", symbol="BTCUSDT", origClientOrderId="o")
    assert canceled["error"] == {"code": -2011, "msg": "Market is closed."}


def test_cancel_names_both_ids(alice: Client) -> None:
    placed = alice.place("BUY", "45000", "0.001", newClientOrderId="o")["result"]
    answer = alice.ask(
        "order.cancel", symbol="BTCUSDT", orderId=str(placed["orderId"]), newClientOrderId="c"
    )
    result = answer["result"]
    assert result["status"] == "CANCELED"
    assert (result["origClientOrderId"], result["clientOrderId"]) == ("o", "c")
    again = alice.ask("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"])
    assert again["error"] == {"code": -2011, "msg": "Unknown order sent."}


def test_cancel_without_any_id_names_both_parameters(alice: Client) -> None:
    answer = alice.ask("order.cancel", symbol="BTCUSDT")
    assert answer["error"]["code"] == -1102
    assert "'origClientOrderId' or 'orderId'" in answer["error"]["msg"]


def test_nobody_cancels_the_order_of_another(alice: Client, bob: Client) -> None:
    placed = alice.place("BUY", "45000", "0.001")["result"]
    answer = bob.ask("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"])
    assert answer["error"] == {"code": -2011, "msg": "Unknown order sent."}


def test_cancel_restrictions_are_kept_and_checked(alice: Client) -> None:
    placed = alice.place("BUY", "45000", "0.001")["result"]
    wrong = alice.ask(
        "order.cancel", symbol="BTCUSDT", orderId=placed["orderId"], cancelRestrictions="NONE"
    )
    assert wrong["error"] == {"code": -1145, "msg": "Invalid cancelRestrictions"}
    kept = alice.ask(
        "order.cancel",
        symbol="BTCUSDT",
        orderId=placed["orderId"],
        cancelRestrictions="ONLY_PARTIALLY_FILLED",
    )
    assert kept["error"] == {
        "code": -2011,
        "msg": "Order was not canceled due to cancel restrictions.",
    }


def test_cancel_all_ends_every_open_order_and_refuses_when_none_is(alice: Client) -> None:
    for price in ("45000", "44000"):
        alice.place("BUY", price, "0.001")
    result = alice.ask("openOrders.cancelAll", symbol="BTCUSDT")["result"]
    assert [row["status"] for row in result] == ["CANCELED", "CANCELED"]
    again = alice.ask("openOrders.cancelAll", symbol="BTCUSDT")
    assert again["error"] == {"code": -2011, "msg": "Unknown order sent."}


def _replace(client: Client, mode: str, cancel_id: int, **change: Any) -> Any:
    return client.ask(
        "order.cancelReplace",
        **(BASE | {"cancelReplaceMode": mode, "cancelOrderId": cancel_id} | change),
    )


def test_cancel_replace_matrix(alice: Client, bob: Client) -> None:
    bob.place("SELL", "45010", "1")
    order_id = alice.place("BUY", "45000", "0.001")["result"]["orderId"]
    both = _replace(alice, "STOP_ON_FAILURE", order_id)
    assert both["status"] == 200
    assert both["result"]["cancelResult"] == both["result"]["newOrderResult"] == "SUCCESS"
    order_id = both["result"]["newOrderResponse"]["orderId"]

    stopped = _replace(alice, "STOP_ON_FAILURE", 999)
    assert (stopped["status"], stopped["error"]["code"]) == (400, -2022)
    assert stopped["error"]["data"]["cancelResult"] == "FAILURE"
    assert stopped["error"]["data"]["cancelResponse"]["code"] == -2011
    assert stopped["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    assert stopped["error"]["data"]["newOrderResponse"] is None

    went_on = _replace(alice, "ALLOW_FAILURE", 999)
    assert (went_on["status"], went_on["error"]["code"]) == (409, -2021)
    assert went_on["error"]["data"]["newOrderResult"] == "SUCCESS"

    half = _replace(alice, "STOP_ON_FAILURE", order_id, quantity="99999")
    assert (half["status"], half["error"]["code"]) == (409, -2021)
    assert half["error"]["data"]["cancelResult"] == "SUCCESS"
    assert half["error"]["data"]["newOrderResponse"]["code"] == -2010

    neither = _replace(alice, "ALLOW_FAILURE", 999, quantity="99999")
    assert (neither["status"], neither["error"]["code"]) == (400, -2022)


def test_amend_reduces_and_keeps_the_order(alice: Client) -> None:
    placed = alice.place("BUY", "45000", "0.003", newClientOrderId="o")["result"]
    result = alice.ask(
        "order.amend.keepPriority",
        symbol="BTCUSDT",
        orderId=placed["orderId"],
        newQty="0.001",
        newClientOrderId="n",
    )["result"]
    amended = result["amendedOrder"]
    assert (amended["qty"], amended["clientOrderId"], amended["origClientOrderId"]) == (
        "0.00100000",
        "n",
        "o",
    )
    grown = alice.ask(
        "order.amend.keepPriority", symbol="BTCUSDT", orderId=placed["orderId"], newQty="0.005"
    )
    assert grown["error"] == {
        "code": -2038,
        "msg": "Order amend (quantity increase) is not supported.",
    }


def test_order_test_validates_and_places_nothing(exchange: DirectExchange, alice: Client) -> None:
    assert alice.ask("order.test", **BASE)["result"] == {}
    rates = alice.ask("order.test", **(BASE | {"computeCommissionRates": True}))["result"]
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert alice.ask("order.test", **(BASE | {"side": "X"}))["error"]["code"] == -1117
    assert not exchange.accounts[1].orders


def test_overloaded_exchange_refuses_orders_and_takes_cancels(
    exchange: DirectExchange, alice: Client
) -> None:
    placed = alice.place("BUY", "45000", "0.001")["result"]
    exchange.is_full = True
    refused = alice.place("BUY", "45000", "0.001")
    assert (refused["status"], refused["error"]["code"]) == (503, -1008)
    canceled = alice.ask("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"])
    assert canceled["status"] == 200


def test_rate_limits_are_told_unless_they_are_not_wanted(alice: Client) -> None:
    told = alice.place("BUY", "45000", "0.001")
    assert [limit["rateLimitType"] for limit in told["rateLimits"]] == [
        "ORDERS",
        "ORDERS",
        "REQUEST_WEIGHT",
    ]
    assert "rateLimits" not in alice.place("BUY", "45000", "0.001", returnRateLimits=False)


def test_unknown_parameters_and_methods(alice: Client) -> None:
    assert alice.place("BUY", "45000", "0.001", foo="bar", __proto__="x")["status"] == 200
    (answer,) = alice.send("order.fly", {})
    assert (answer["status"], answer["error"]["code"]) == (400, -1020)
