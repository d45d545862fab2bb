"""Reads of an account: own writes are seen, and what it forgot is found in history."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from exchange.account.commands import ReadAccount
from tests.support.direct_exchange import Client, DirectExchange


async def _answer(client: Client) -> Any:
    """Wait for the next frame: reads of history end in a task."""
    for _ in range(1_000):
        client.exchange.run()
        messages = client.wire.messages()
        if messages:
            return messages[0]
        await asyncio.sleep(0)
    raise AssertionError("no answer")


def test_account_lists_every_asset_unless_zeros_are_unwanted(
    exchange: DirectExchange, alice: Client
) -> None:
    alice.place("BUY", "45000", "0.001")
    result = alice.ask("account.status")["result"]
    assert result["balances"] == [
        {"asset": "BTC", "free": "1000.00000000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "99999955.00000000", "locked": "45.00000000"},
    ]
    assert (result["makerCommission"], result["commissionRates"]["taker"]) == (10, "0.00100000")
    assert (result["accountType"], result["uid"], result["canTrade"]) == ("SPOT", 1, True)
    short = alice.ask("account.status", omitZeroBalances=True)["result"]
    assert len(short["balances"]) == 2


def test_reads_carry_the_positions_of_earlier_answers(
    exchange: DirectExchange, alice: Client
) -> None:
    alice.place("BUY", "45000", "0.001")
    alice.place("BUY", "45000", "0.001")
    alice.ask("account.status")
    read = exchange.submitted[-1]
    assert type(read) is ReadAccount
    assert read.after == (("market/BTCUSDT", 2),)


def test_order_status_by_either_id(alice: Client) -> None:
    placed = alice.place("BUY", "45000", "0.001", newClientOrderId="o")["result"]
    by_id = alice.ask("order.status", symbol="BTCUSDT", orderId=placed["orderId"])["result"]
    by_name = alice.ask("order.status", symbol="BTCUSDT", origClientOrderId="o")["result"]
    assert by_id == by_name
    assert by_id["status"] == "NEW"
    assert by_id["isWorking"] is True
    assert by_id["stopPrice"] == by_id["icebergQty"] == "0.00000000"
    wrong = alice.ask(
        "order.status", symbol="BTCUSDT", orderId=placed["orderId"], origClientOrderId="other"
    )
    assert wrong["error"]["code"] == -2039


def test_open_orders_of_one_market_or_of_all(alice: Client) -> None:
    for price in ("45000", "44000"):
        alice.place("BUY", price, "0.001")
    for params in ({"symbol": "BTCUSDT"}, {}):
        result = alice.ask("openOrders.status", **params)["result"]
        assert [order["price"] for order in result] == ["45000.00000000", "44000.00000000"]


async def test_order_that_the_account_forgot_is_found_in_history(
    exchange: DirectExchange, alice: Client
) -> None:
    placed = alice.place("BUY", "45000", "0.001", newClientOrderId="o")["result"]
    alice.ask("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"])
    account = exchange.accounts[1]
    account.closed.clear()
    account.index.clear()
    for reference in ({"orderId": placed["orderId"]}, {"origClientOrderId": "o"}):
        alice.send("order.status", alice.signed(symbol="BTCUSDT", **reference))
        answer = await _answer(alice)
        assert answer["result"]["status"] == "CANCELED"
        assert answer["result"]["clientOrderId"] == "o"


async def test_unknown_order_does_not_exist(alice: Client) -> None:
    alice.send("order.status", alice.signed(symbol="BTCUSDT", orderId=99))
    answer = await _answer(alice)
    assert (answer["status"], answer["error"]) == (
        400,
        {"code": -2013, "msg": "Order does not exist."},
    )


async def test_lagging_history_is_no_proof_that_an_order_does_not_exist(
    exchange: DirectExchange, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange.cold.is_held = True
    alice.place("BUY", "45000", "0.001")
    _let_the_clock_run_on_polls(exchange, monkeypatch)
    alice.send("order.status", alice.signed(symbol="BTCUSDT", orderId=99))
    answer = await _answer(alice)
    assert (answer["status"], answer["error"]["code"]) == (503, -1001)


async def test_trades_of_a_lagging_history_are_not_told_as_if_they_were_all(
    exchange: DirectExchange, alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob.place("SELL", "45000", "0.002")
    exchange.cold.is_held = True
    alice.place("BUY", "45000", "0.001")
    _let_the_clock_run_on_polls(exchange, monkeypatch)
    alice.send("myTrades", alice.signed(symbol="BTCUSDT"))
    answer = await _answer(alice)
    assert (answer["status"], answer["error"]["code"]) == (503, -1001)


async def test_my_trades_wait_until_history_has_them(
    exchange: DirectExchange, alice: Client, bob: Client
) -> None:
    bob.place("SELL", "45000", "0.002")
    exchange.cold.is_held = True
    alice.place("BUY", "45000", "0.001")
    alice.send("myTrades", alice.signed(symbol="BTCUSDT"))
    await asyncio.sleep(0)
    exchange.run()
    assert alice.wire.messages() == []
    exchange.cold.release()
    answer = await asyncio.wait_for(_eventually(exchange, alice.wire.messages), 5)
    assert answer["result"] == [
        {
            "symbol": "BTCUSDT",
            "id": 1,
            "orderId": 2,
            "orderListId": -1,
            "price": "45000.00000000",
            "qty": "0.00100000",
            "quoteQty": "45.00000000",
            "commission": "0.00000100",
            "commissionAsset": "BTC",
            "time": answer["result"][0]["time"],
            "isBuyer": True,
            "isMaker": False,
            "isBestMatch": True,
        }
    ]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"startTime": 1, "endTime": 86_400_002}, -1127),
        ({"startTime": 5, "endTime": 1}, -1128),
        ({"fromId": 1, "startTime": 5}, -1128),
        ({"limit": 0}, -1130),
        ({"startTime": 2**62}, -1130),
        ({"orderId": "x"}, -1100),
    ],
)
def test_my_trades_refuses_what_does_not_fit(
    alice: Client, params: dict[str, Any], code: int
) -> None:
    answer = alice.ask("myTrades", symbol="BTCUSDT", **params)
    assert answer["error"]["code"] == code


async def test_broken_history_is_an_answer_not_a_crash(
    exchange: DirectExchange, alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: str) -> int:
        raise RuntimeError("a bug of the store")

    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: problems.append(facts))
    monkeypatch.setattr(exchange.cold, "watermark", broken)
    alice.send("myTrades", alice.signed(symbol="BTCUSDT"))
    answer = await _answer(alice)
    assert (answer["status"], answer["error"]["code"]) == (500, -1000)
    assert len(problems) == 1


def _let_the_clock_run_on_polls(exchange: DirectExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    watermark = exchange.cold.watermark

    async def polled(shard: str) -> int:
        exchange.clock_ns += 1_000_000_000
        return await watermark(shard)

    monkeypatch.setattr(exchange.cold, "watermark", polled)
    monkeypatch.setattr("actors.gateway.reads.COLD_POLL_S", 0)


async def _eventually(exchange: DirectExchange, read: Callable[[], list[Any]]) -> Any:
    while True:
        exchange.run()
        messages = read()
        if messages:
            return messages[0]
        await asyncio.sleep(0.001)
