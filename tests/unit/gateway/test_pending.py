"""What happens when answers are late, lost, repeated, or never come."""

from config.schema import GatewaySettings
from exchange.account.commands import PlaceOrder, ReadAccount, ReadKind
from exchange.answers import OrderPlaced
from tests.support.direct_exchange import Client, DirectExchange

ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "45000",
    "quantity": "0.001",
}


def test_lost_answer_is_asked_for_after_a_second(exchange: DirectExchange, alice: Client) -> None:
    exchange.loses_answers = True
    assert alice.send("order.place", alice.signed(**ORDER)) == []
    exchange.loses_answers = False
    exchange.pass_time(900)
    assert alice.wire.messages() == []
    exchange.pass_time(200)
    (answer,) = alice.wire.messages()
    assert answer["result"]["status"] == "NEW"
    assert answer["result"]["price"] == "45000.00000000"
    assert len(exchange.accounts[1].orders) == 1


def test_lost_command_is_sent_again_and_takes_effect_once(
    exchange: DirectExchange, alice: Client
) -> None:
    exchange.loses_commands = True
    assert alice.send("order.place", alice.signed(**ORDER)) == []
    exchange.loses_commands = False
    exchange.pass_time(1_100)
    (answer,) = alice.wire.messages()
    assert answer["result"]["status"] == "NEW"
    sent = [command for command in exchange.submitted if type(command) is PlaceOrder]
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_outcome_is_unknown_after_ten_seconds_without_any_answer(
    exchange: DirectExchange, alice: Client
) -> None:
    exchange.loses_commands = True
    alice.send("order.place", alice.signed(**ORDER))
    exchange.pass_time(9_900)
    assert alice.wire.messages() == []
    exchange.pass_time(1_200)
    (answer,) = alice.wire.messages()
    assert (answer["status"], answer["error"]["code"]) == (504, -1007)
    asked = [command for command in exchange.submitted if type(command) is ReadAccount]
    assert {command.kind for command in asked} == {ReadKind.OUTCOME}
    assert 8 <= len(asked) <= 10
    assert alice.session.pending == 0
    exchange.pass_time(5_000)
    assert alice.wire.messages() == []


def test_read_without_answer_says_try_again(exchange: DirectExchange, alice: Client) -> None:
    exchange.loses_commands = True
    alice.send("account.status", alice.signed())
    exchange.pass_time(11_100)
    (answer,) = alice.wire.messages()
    assert (answer["status"], answer["error"]["code"]) == (503, -1001)


def test_answer_that_comes_twice_or_late_is_dropped(
    exchange: DirectExchange, alice: Client
) -> None:
    assert exchange.gateway is not None
    alice.send("order.place", alice.signed(**ORDER))
    again = OrderPlaced(1_001, "market/BTCUSDT", 9, "BTCUSDT", 1, "x", 1, 0, 0, 0, 1, ())  # type: ignore[arg-type]
    exchange.gateway.on_answer(again)
    exchange.run()
    assert alice.wire.messages() == []
    assert exchange.gateway.pending.late_answers == 1


def test_requests_waiting_are_bounded_per_connection_and_in_total() -> None:
    exchange = DirectExchange(
        settings=GatewaySettings(requests_pending_max=2, requests_pending_total_max=3)
    )
    exchange.loses_commands = True
    first, second = Client(exchange, 1), Client(exchange, 2)
    assert [first.send("account.status", first.signed()) for _ in range(2)] == [[], []]
    (refused,) = first.send("account.status", first.signed())
    assert (refused["status"], refused["error"]["code"]) == (503, -1008)
    assert second.send("account.status", second.signed()) == []
    (refused,) = second.send("account.status", second.signed())
    assert refused["error"]["code"] == -1008


def test_closed_connection_is_forgotten_with_all_it_waited_for(
    exchange: DirectExchange, alice: Client
) -> None:
    gateway = exchange.gateway
    assert gateway is not None
    exchange.loses_commands = True
    alice.send("account.status", alice.signed())
    alice.send("userDataStream.subscribe.signature", alice.signed())
    processes = exchange.scheduler.process_count()
    gateway.close_session(alice.session)
    exchange.run()
    assert len(gateway.pending) == 0
    assert not exchange.followed
    assert not gateway.sessions
    assert exchange.scheduler.process_count() == processes - 1


def test_crash_of_one_session_closes_its_connection_and_no_other(
    exchange: DirectExchange, alice: Client, bob: Client
) -> None:
    gateway = exchange.gateway
    assert gateway is not None
    gateway.send_to(alice.session, object())  # no such message exists: a bug
    exchange.run()
    assert alice.wire.closed == (1011, "internal error")
    assert bob.ask("account.status")["status"] == 200
    assert len(exchange.scheduler.crashes) == 1
