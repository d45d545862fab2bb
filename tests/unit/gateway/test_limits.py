"""Weights per address, counts of orders, and bounds of what waits in a session."""

import pytest

from actors.gateway.limits import KEYS_MAX, MINUTE_NS, Limits, Window
from actors.gateway.session import EVENTS_MAX
from config.schema import GatewaySettings
from exchange.answers import BalanceChanged
from exchange.protocol.errors import RequestError
from tests.support.direct_exchange import START_NS, Client, DirectExchange


def test_weight_is_counted_per_address_and_minute() -> None:
    limits = Limits(10)
    assert limits.charge("a", 6, MINUTE_NS) == 6
    assert limits.charge("b", 6, MINUTE_NS) == 6
    with pytest.raises(RequestError) as refused:
        limits.charge("a", 5, MINUTE_NS * 2 - 1)
    assert refused.value.error.status == 429
    assert limits.charge("a", 5, MINUTE_NS * 2) == 5


def test_addresses_beyond_the_bound_share_one_count() -> None:
    window = Window(MINUTE_NS)
    for number in range(KEYS_MAX):
        window.add(number + 1, 1, 0)
    assert [window.add(f"late-{number}", 1, 0) for number in range(3)] == [1, 2, 3]
    assert len(window.counts) == KEYS_MAX + 1


def test_too_much_weight_is_refused_with_when_to_come_again() -> None:
    exchange = DirectExchange(settings=GatewaySettings(request_weight_per_minute_max=2))
    client = Client(exchange)
    for _ in range(2):
        assert client.send("ping")[0]["status"] == 200
    (refused,) = client.send("ping")
    assert (refused["status"], refused["error"]["code"]) == (429, -1003)
    now_ms = START_NS // 1_000_000
    assert refused["error"]["data"] == {
        "serverTime": now_ms,
        "retryAfter": now_ms - now_ms % 60_000 + 60_000,
    }
    assert client.send_raw(b"{")[0]["error"]["code"] == -1003
    exchange.clock_ns += MINUTE_NS
    assert client.send("ping")[0]["status"] == 200


def test_orders_are_counted_in_their_responses(alice: Client) -> None:
    counts = [
        [limit["count"] for limit in alice.place("BUY", "45000", "0.001")["rateLimits"][:2]]
        for _ in range(3)
    ]
    assert counts == [[1, 1], [2, 2], [3, 3]]


def test_session_that_gets_more_events_than_it_handles_is_closed(
    exchange: DirectExchange, alice: Client
) -> None:
    assert exchange.gateway is not None
    alice.send("userDataStream.subscribe.signature", alice.signed())
    seq = exchange.account(1).user_seq
    for number in range(EVENTS_MAX + 1):
        exchange.gateway.on_user_event(BalanceChanged(1, seq + 1 + number, "USDT", 1, START_NS))
    assert alice.wire.closed == (1008, "too slow")
    assert len(alice.session._events) == EVENTS_MAX
