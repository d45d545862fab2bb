"""Market streams: control messages, payloads, conflation, and clients that do not read."""

from typing import Any

import msgspec
import pytest

from config.schema import GatewaySettings
from exchange.answers import MarketUpdate, PublicTrade
from tests.support.direct_exchange import BTCUSDT, Client, DirectExchange, StreamClient


@pytest.fixture
def stream(exchange: DirectExchange) -> StreamClient:
    return StreamClient(exchange)


def test_answer_comes_before_the_data_and_the_stream_is_live(
    exchange: DirectExchange, stream: StreamClient, alice: Client, bob: Client
) -> None:
    assert stream.send("SUBSCRIBE", ["btcusdt@trade", "btcusdt@bookTicker"], "u-1") == [
        {"result": None, "id": "u-1"}
    ]
    bob.place("SELL", "45000", "0.002")
    alice.place("BUY", "45000", "0.001")
    first, trade, second = stream.wire.messages()
    assert first == {
        "u": 1,
        "s": "BTCUSDT",
        "b": "0.00000000",
        "B": "0.00000000",
        "a": "45000.00000000",
        "A": "0.00200000",
    }
    now = exchange.clock_ns // 1_000_000
    assert trade == {
        "e": "trade",
        "E": now,
        "s": "BTCUSDT",
        "t": 1,
        "p": "45000.00000000",
        "q": "0.00100000",
        "T": now,
        "m": False,
        "M": True,
    }
    assert second["A"] == "0.00100000"


def test_combined_connections_name_the_stream(exchange: DirectExchange, bob: Client) -> None:
    combined, raw = StreamClient(exchange, is_combined=True), StreamClient(exchange)
    for client in (combined, raw):
        client.send("SUBSCRIBE", ["btcusdt@bookTicker"])
    bob.place("SELL", "45000", "0.002")
    (payload,) = raw.wire.messages()
    assert combined.wire.messages() == [{"stream": "btcusdt@bookTicker", "data": payload}]


def test_properties_switch_the_form(stream: StreamClient, bob: Client) -> None:
    assert stream.send("GET_PROPERTY", ["combined"]) == [{"result": False, "id": 1}]
    assert stream.send("SET_PROPERTY", ["combined", True]) == [{"result": None, "id": 1}]
    assert stream.send("GET_PROPERTY", ["combined"]) == [{"result": True, "id": 1}]
    stream.send("SUBSCRIBE", ["btcusdt@bookTicker"])
    bob.place("SELL", "45000", "0.002")
    assert stream.wire.messages()[0]["stream"] == "btcusdt@bookTicker"


def test_subscriptions_are_listed_and_left(stream: StreamClient, bob: Client) -> None:
    stream.send("SUBSCRIBE", ["btcusdt@trade", "btcusdt@bookTicker", "btcusdt@trade"])
    assert stream.send("LIST_SUBSCRIPTIONS")[0]["result"] == ["btcusdt@trade", "btcusdt@bookTicker"]
    stream.send("UNSUBSCRIBE", ["btcusdt@trade", "btcusdt@bookTicker", "ethusdt@trade"])
    assert stream.send("LIST_SUBSCRIPTIONS")[0]["result"] == []
    bob.place("SELL", "45000", "0.002")
    assert stream.wire.messages() == []


@pytest.mark.parametrize(
    ("frame", "code", "has_id"),
    [
        (b"", 3, False),
        (b"{", 3, False),
        (b"{" * 30_000, 3, False),
        (b"\xff", 3, False),
        (b"[]", 2, False),
        (b'{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1.5}', 2, False),
        (b'{"method":"FLY","params":[],"id":1}', 2, True),
        (b'{"params":[],"id":1}', 2, True),
        (b'{"method":"SUBSCRIBE","id":1}', 2, True),
        (b'{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2, True),
        (b'{"method":"SUBSCRIBE","params":[5],"id":1}', 2, True),
        (b'{"method":"SUBSCRIBE","params":["btcusdt"],"id":1}', 2, True),
        (b'{"method":"SUBSCRIBE","params":["btc\\u0000usdt@trade"],"id":1}', 2, True),
        (b'{"method":"SUBSCRIBE","params":["../../etc@trade"],"id":1}', 2, True),
        (b'{"method":"SET_PROPERTY","params":["combined"],"id":1}', 2, True),
        (b'{"method":"SET_PROPERTY","params":["other",true],"id":1}', 0, True),
        (b'{"method":"SET_PROPERTY","params":["combined",5],"id":1}', 1, True),
        (b'{"method":"GET_PROPERTY","params":[["combined"]],"id":1}', 0, True),
        (
            b'{"method":"SUBSCRIBE","params":[' + b'"a@b",' * 1_024 + b'"a@b"],"id":1}',
            2,
            True,
        ),
    ],
)
def test_bad_control_messages_are_refused(
    stream: StreamClient, frame: bytes, code: int, has_id: bool
) -> None:
    (answer,) = stream.send_raw(frame)
    assert answer["code"] == code
    assert ("id" in answer) is has_id
    assert stream.send("LIST_SUBSCRIPTIONS")[0]["result"] == []


def test_more_streams_than_allowed_are_refused(exchange: DirectExchange) -> None:
    stream = StreamClient(exchange)
    names = [f"a{n}@trade" for n in range(1_024)]
    assert stream.send("SUBSCRIBE", names)[0]["result"] is None
    assert stream.send("SUBSCRIBE", ["btcusdt@trade"])[0]["code"] == 2


def test_too_many_control_messages_close_the_connection() -> None:
    exchange = DirectExchange(settings=GatewaySettings(stream_requests_per_s_max=5))
    stream = StreamClient(exchange)
    for _ in range(5):
        assert stream.send("LIST_SUBSCRIPTIONS")
    assert stream.send("LIST_SUBSCRIPTIONS") == []
    assert stream.wire.closed == (1008, "too many requests")


def test_stream_of_a_market_that_is_not_there_yet_begins_with_it(
    exchange: DirectExchange, stream: StreamClient
) -> None:
    stream.send("SUBSCRIBE", ["newusdt@bookTicker", "!miniTicker@arr", "btcusdt@forceOrder"])
    instrument = msgspec.structs.replace(BTCUSDT, symbol="NEWUSDT", base_asset="NEW")
    exchange.add_market(instrument)
    exchange.run()
    assert exchange.gateway is not None
    update = MarketUpdate("NEWUSDT", 1, 1, ((1, 5, 7),), (), 10**18)
    exchange.gateway.on_market_data("market/NEWUSDT", update)
    exchange.run()
    assert stream.wire.messages()[0]["b"] == "0.05000000"


def test_depth_comes_at_its_speed_with_absolute_quantities(
    exchange: DirectExchange, stream: StreamClient, alice: Client
) -> None:
    slow = StreamClient(exchange)
    stream.send("SUBSCRIBE", ["btcusdt@depth@100ms"])
    slow.send("SUBSCRIBE", ["btcusdt@depth"])
    order = alice.place("BUY", "45000", "0.001")["result"]
    alice.place("BUY", "45000", "0.002")
    exchange.pass_time(100)
    (event,) = stream.wire.messages()
    assert (event["U"], event["u"]) == (1, 2)
    assert event["b"] == [["45000.00000000", "0.00300000"]]
    assert event["a"] == []
    alice.ask("order.cancel", symbol="BTCUSDT", orderId=order["orderId"])
    alice.ask("openOrders.cancelAll", symbol="BTCUSDT")
    exchange.pass_time(100)
    (event,) = stream.wire.messages()
    assert (event["U"], event["u"]) == (3, 4)
    assert event["b"] == [["45000.00000000", "0.00000000"]]
    exchange.pass_time(1_000)
    assert stream.wire.messages() == []
    (event,) = slow.wire.messages()
    assert (event["U"], event["u"], event["b"]) == (1, 4, [["45000.00000000", "0.00000000"]])


def test_snapshot_and_stream_meet(exchange: DirectExchange, alice: Client) -> None:
    alice.place("BUY", "45000", "0.001")
    stream = StreamClient(exchange)
    stream.send("SUBSCRIBE", ["btcusdt@depth@100ms"])
    alice.place("BUY", "44000", "0.002")
    (snapshot,) = alice.send("depth", {"symbol": "BTCUSDT", "limit": 1})
    alice.place("BUY", "43000", "0.002")
    exchange.pass_time(100)
    (event,) = stream.wire.messages()
    last = snapshot["result"]["lastUpdateId"]
    assert snapshot["result"]["bids"] == [["45000.00000000", "0.00100000"]]
    assert event["U"] <= last + 1 <= event["u"]


def test_recent_trades_are_served(alice: Client, bob: Client) -> None:
    bob.place("SELL", "45000", "0.002")
    alice.place("BUY", "45000", "0.001")
    alice.place("BUY", "45000", "0.001")
    (answer,) = alice.send("trades.recent", {"symbol": "BTCUSDT", "limit": 1})
    (trade,) = answer["result"]
    assert (trade["id"], trade["quoteQty"], trade["isBuyerMaker"]) == (2, "45.00000000", False)


def _trade(trade_id: int, ticks: int, at_ns: int) -> PublicTrade:
    return PublicTrade(trade_id, ticks, 100, ticks * 100 * 10, at_ns, False)


def _publish(exchange: DirectExchange, update_id: int, *trades: PublicTrade) -> None:
    assert exchange.gateway is not None
    update = MarketUpdate(
        "BTCUSDT", update_id, update_id, ((1, 5, update_id),), trades, exchange.clock_ns
    )
    exchange.gateway.on_market_data("market/BTCUSDT", update)
    exchange.run()


def test_candle_closes_once_and_the_next_opens_without_trades(
    exchange: DirectExchange, stream: StreamClient
) -> None:
    minute_ns = 60_000_000_000
    exchange.clock_ns += minute_ns - exchange.clock_ns % minute_ns
    start_ns = exchange.clock_ns
    stream.send("SUBSCRIBE", ["btcusdt@kline_1m"])
    _publish(exchange, 1, _trade(1, 100, start_ns + 5))
    _publish(exchange, 2, _trade(2, 300, start_ns + 6), _trade(3, 200, start_ns + 7))
    exchange.pass_time(50)
    (event,) = stream.wire.messages()
    candle = event["k"]
    assert (event["e"], candle["x"], candle["i"]) == ("kline", False, "1m")
    assert (candle["t"], candle["T"]) == (
        start_ns // 1_000_000,
        start_ns // 1_000_000 + 59_999,
    )
    assert [candle[name] for name in "ohlc"] == [
        "1.00000000",
        "3.00000000",
        "1.00000000",
        "2.00000000",
    ]
    assert (candle["f"], candle["L"], candle["n"], candle["B"]) == (1, 3, 3, "0")
    exchange.clock_ns = start_ns + minute_ns
    exchange.pass_time(300)
    closed, opened = [message["k"] for message in stream.wire.messages()]
    assert (closed["t"], closed["x"]) == (start_ns // 1_000_000, True)
    assert (opened["t"] - closed["t"], opened["x"], opened["n"]) == (60_000, False, 0)
    assert (opened["o"], opened["f"], opened["L"]) == ("2.00000000", -1, -1)
    _publish(exchange, 3, _trade(4, 500, start_ns + 5))  # too late for its minute
    _publish(exchange, 4, _trade(5, 400, exchange.clock_ns))
    exchange.pass_time(2_000)
    (event,) = stream.wire.messages()
    assert (event["k"]["o"], event["k"]["n"], event["k"]["x"]) == ("4.00000000", 1, False)


def test_trade_of_the_next_minute_closes_the_candle_at_once(
    exchange: DirectExchange, stream: StreamClient
) -> None:
    stream.send("SUBSCRIBE", ["btcusdt@kline_1m"])
    _publish(exchange, 1, _trade(1, 100, exchange.clock_ns))
    _publish(exchange, 2, _trade(2, 200, exchange.clock_ns + 60_000_000_000))
    (closed,) = stream.wire.messages()
    assert (closed["k"]["x"], closed["k"]["c"]) == (True, "1.00000000")


def test_gap_in_updates_is_healed_by_the_full_state(
    exchange: DirectExchange, stream: StreamClient, alice: Client
) -> None:
    stream.send("SUBSCRIBE", ["btcusdt@depth@100ms"])
    alice.place("BUY", "45000", "0.001")
    exchange.pass_time(1_000)
    first = stream.wire.messages()[-1]
    assert exchange.gateway is not None
    late = MarketUpdate("BTCUSDT", first["u"] + 2, first["u"] + 2, ((1, 7, 7),), (), 10**18)
    exchange.gateway.on_market_data("market/BTCUSDT", late)
    alice.place("BUY", "44000", "0.001")
    exchange.pass_time(1_100)
    events = stream.wire.messages()
    assert events[0]["U"] == first["u"] + 1
    assert ["44000.00000000", "0.00100000"] in events[-1]["b"]


def test_client_that_does_not_read_gets_depth_conflated_without_a_gap(
    exchange: DirectExchange, stream: StreamClient, alice: Client
) -> None:
    stream.send("SUBSCRIBE", ["btcusdt@depth@100ms", "btcusdt@bookTicker"])
    stream.wire.takes = False
    stream.wire.unread = stream.session.connection.lagging_from + 1
    for price in range(45_000, 45_050):
        alice.place("BUY", str(price), "0.001")
        exchange.pass_time(100)
    assert stream.wire.messages() == []
    stream.wire.read_all()
    alice.place("BUY", "45100", "0.001")
    exchange.pass_time(100)
    messages = stream.wire.messages()
    (depth,) = [message for message in messages if message.get("e") == "depthUpdate"]
    assert (depth["U"], depth["u"], len(depth["b"])) == (1, 51, 51)
    tickers = [message for message in messages if "B" in message]
    assert tickers[-1]["b"] == "45100.00000000"


def test_conflated_ticker_is_sent_when_the_client_reads_again(
    exchange: DirectExchange, stream: StreamClient, alice: Client
) -> None:
    stream.send("SUBSCRIBE", ["btcusdt@bookTicker"])
    stream.wire.unread = stream.session.connection.lagging_from + 1
    alice.place("BUY", "45000", "0.001")
    alice.place("BUY", "45001", "0.001")
    stream.wire.read_all()
    exchange.pass_time(50)
    (ticker,) = stream.wire.messages()
    assert ticker["b"] == "45001.00000000"


def test_client_that_never_reads_trades_is_closed_with_bounded_memory() -> None:
    exchange = DirectExchange(settings=GatewaySettings(outbound_bytes_max=20_000))
    stream, other = StreamClient(exchange), StreamClient(exchange)
    for client in (stream, other):
        client.send("SUBSCRIBE", ["btcusdt@trade"])
    stream.wire.takes = False
    for update_id in range(1, 301):
        _publish(exchange, update_id, _trade(update_id, 100, exchange.clock_ns))
    assert stream.wire.closed == (1008, "too slow")
    assert stream.wire.unread <= 20_000
    assert len(other.wire.messages()) == 300
    assert other.wire.closed is None


def test_burst_within_one_turn_is_bounded_too() -> None:
    exchange = DirectExchange(settings=GatewaySettings(outbound_bytes_max=20_000))
    stream = StreamClient(exchange)
    stream.send("SUBSCRIBE", ["btcusdt@trade"])
    _publish(exchange, 1, *[_trade(n, 100, exchange.clock_ns) for n in range(1, 500)])
    assert stream.wire.closed == (1008, "too slow")
    assert stream.wire.messages() == []


def test_microseconds_where_they_were_asked_for(exchange: DirectExchange) -> None:
    assert exchange.gateway is not None
    stream = StreamClient(exchange)
    stream.session.unit = 1_000
    stream.send("SUBSCRIBE", ["btcusdt@kline_1m", "btcusdt@trade"])
    _publish(exchange, 1, _trade(1, 100, exchange.clock_ns))
    exchange.pass_time(50)
    trade, kline = stream.wire.messages()
    assert trade["T"] == exchange.clock_ns // 1_000 - 50_000
    assert kline["k"]["T"] - kline["k"]["t"] == 59_999_999


def test_exchange_info_tells_what_clients_need(alice: Client) -> None:
    (answer,) = alice.send("exchangeInfo", {"symbols": ["BTCUSDT"]})
    (symbol,) = answer["result"]["symbols"]
    filters: dict[str, Any] = {entry["filterType"]: entry for entry in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "1.00000000"
    assert symbol["permissionSets"] == [["SPOT"]]
    assert symbol["orderTypes"] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
    assert {limit["rateLimitType"] for limit in answer["result"]["rateLimits"]} == {
        "REQUEST_WEIGHT",
        "ORDERS",
    }


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "NOPE"}, -1121),
        ({"symbol": "BTCUSDT", "symbols": ["BTCUSDT"]}, -1128),
        ({"symbols": "BTCUSDT"}, -1100),
        ({"symbols": []}, -1100),
        ({"symbols": [5]}, -1100),
    ],
)
def test_exchange_info_refuses_bad_symbols(
    alice: Client, params: dict[str, Any], code: int
) -> None:
    (answer,) = alice.send("exchangeInfo", params)
    assert answer["error"]["code"] == code
