"""User data streams: subscriptions of a session, and the events of its accounts."""

from exchange.answers import BalanceChanged
from tests.support.direct_exchange import Client, DirectExchange

REPORT_FIELDS = [*"eEscSofqpPFgCxXrilzLnNTtIwmMOZYQV"]


def _subscribe(client: Client) -> int:
    (answer,) = client.send("userDataStream.subscribe.signature", client.signed())
    subscription_id: int = answer["result"]["subscriptionId"]
    return subscription_id


def test_reply_comes_first_and_events_carry_its_subscription(
    exchange: DirectExchange, alice: Client
) -> None:
    assert _subscribe(alice) == 0
    messages = alice.send(
        "order.place",
        alice.signed(
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            price="45000",
            quantity="0.001",
        ),
    )
    events = [message for message in messages if "event" in message]
    assert [event["event"]["e"] for event in events] == [
        "executionReport",
        "outboundAccountPosition",
    ]
    assert all(list(event) == ["subscriptionId", "event"] for event in events)
    assert all(event["subscriptionId"] == 0 for event in events)


def test_report_of_a_new_order_has_every_field(alice: Client) -> None:
    _subscribe(alice)
    alice.place("BUY", "45000.1", "0.001", newClientOrderId="o")
    report, position = alice.new_events()
    assert list(report) == [*REPORT_FIELDS, "W"]
    assert (report["x"], report["X"], report["c"], report["C"]) == ("NEW", "NEW", "o", "")
    assert (report["n"], report["N"], report["t"], report["r"]) == ("0", None, -1, "NONE")
    assert (report["p"], report["q"], report["w"]) == ("45000.10000000", "0.00100000", True)
    assert {"a": "USDT", "f": "99999954.99990000", "l": "45.00010000"} in position["B"]


def test_both_sides_of_a_trade_get_their_own_report(alice: Client, bob: Client) -> None:
    _subscribe(alice)
    _subscribe(bob)
    bob.place("SELL", "45000", "0.002")
    bob.new_events()
    alice.place("BUY", "45000", "0.001")
    new, _, trade, _ = alice.new_events()
    assert (new["x"], new["X"]) == ("NEW", "NEW")
    assert (trade["x"], trade["X"], trade["m"]) == ("TRADE", "FILLED", False)
    assert (trade["l"], trade["L"], trade["Y"]) == ("0.00100000", "45000.00000000", "45.00000000")
    assert (trade["n"], trade["N"], trade["t"]) == ("0.00000100", "BTC", 1)
    reports = [event for event in bob.new_events() if event["e"] == "executionReport"]
    assert [(event["x"], event["X"], event["m"], event["N"]) for event in reports] == [
        ("TRADE", "PARTIALLY_FILLED", True, "USDT")
    ]


def test_canceled_order_is_found_by_its_original_id(alice: Client) -> None:
    _subscribe(alice)
    placed = alice.place("BUY", "45000", "0.001", newClientOrderId="o")["result"]
    alice.new_events()
    alice.ask("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"], newClientOrderId="c")
    report = alice.new_events()[0]
    assert (report["x"], report["X"], report["C"], report["c"]) == (
        "CANCELED",
        "CANCELED",
        "o",
        "c",
    )
    assert report["w"] is False


def test_deposit_gives_a_balance_update(exchange: DirectExchange, alice: Client) -> None:
    _subscribe(alice)
    assert exchange.gateway is not None
    seq = exchange.account(1).user_seq + 1
    exchange.gateway.on_user_event(BalanceChanged(1, seq, "USDT", -150_000_000, 10**18))
    exchange.run()
    assert alice.new_events() == [
        {
            "e": "balanceUpdate",
            "E": 10**12,
            "a": "USDT",
            "d": "-1.50000000",
            "T": 10**12,
        }
    ]


def test_second_subscription_to_the_same_account_is_refused(alice: Client) -> None:
    _subscribe(alice)
    (answer,) = alice.send("userDataStream.subscribe.signature", alice.signed())
    assert (answer["status"], answer["error"]["code"]) == (400, -2035)


def test_one_session_may_follow_several_accounts(exchange: DirectExchange, alice: Client) -> None:
    assert _subscribe(alice) == 0
    alice.key_id = "key-2"
    assert _subscribe(alice) == 1
    (listed,) = alice.send("session.subscriptions")
    assert listed["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
    (left,) = alice.send("userDataStream.unsubscribe", {"subscriptionId": 0})
    assert left["result"] == {}
    assert exchange.followed == [2]
    (unknown,) = alice.send("userDataStream.unsubscribe", {"subscriptionId": 0})
    assert unknown["error"]["code"] == -2036
    alice.send("userDataStream.unsubscribe")
    assert exchange.followed == []


def test_subscribing_without_logon_is_refused(alice: Client) -> None:
    (answer,) = alice.send("userDataStream.subscribe")
    assert answer["status"] == 400


def test_two_sessions_of_an_account_get_the_same_events(exchange: DirectExchange) -> None:
    first, second = Client(exchange, 1), Client(exchange, 1)
    _subscribe(first)
    _subscribe(second)
    assert exchange.followed == [1]
    first.place("BUY", "45000", "0.001")
    assert first.new_events() == second.new_events() != []


def test_events_that_come_twice_are_told_once(exchange: DirectExchange, alice: Client) -> None:
    assert exchange.gateway is not None
    _subscribe(alice)
    event = BalanceChanged(1, exchange.account(1).user_seq + 1, "USDT", 1, 10**18)
    for _ in range(2):
        exchange.gateway.on_user_event(event)
    exchange.run()
    assert len(alice.new_events()) == 1


def test_gap_after_a_takeover_ends_the_subscription(
    exchange: DirectExchange, alice: Client
) -> None:
    assert exchange.gateway is not None
    _subscribe(alice)
    exchange.gateway.on_user_subscribed(1, 50, True)
    exchange.run()
    assert [event["e"] for event in alice.new_events()] == ["eventStreamTerminated"]
    assert alice.send("session.subscriptions")[0]["result"] == []
    assert exchange.followed == []


def test_new_owner_of_a_shard_is_asked_to_go_on_where_the_last_stopped(
    exchange: DirectExchange, alice: Client
) -> None:
    assert exchange.gateway is not None
    _subscribe(alice)
    alice.place("BUY", "45000", "0.001")
    asked: list[tuple[int, int]] = []
    exchange.subscribe_user = lambda account_id, after: asked.append((account_id, after))  # type: ignore[method-assign]
    exchange.gateway.on_account_host_changed("account/1")
    exchange.gateway.on_account_host_changed("account/0")
    assert asked == [(1, exchange.account(1).user_seq)]
    exchange.pass_time(1_100)
    assert len(asked) == 2  # not confirmed: asked again


def test_subscription_that_is_never_confirmed_is_refused_in_the_end(
    exchange: DirectExchange, alice: Client
) -> None:
    exchange.subscribe_user = lambda account_id, after: None  # type: ignore[method-assign]
    assert alice.send("userDataStream.subscribe.signature", alice.signed()) == []
    exchange.pass_time(10_100)
    (answer,) = alice.wire.messages()
    assert (answer["status"], answer["error"]["code"]) == (503, -1001)
    assert alice.send("session.subscriptions")[0]["result"] == []
