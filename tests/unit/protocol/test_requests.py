"""Frames into requests: strict JSON, ids of any kind, values as the dialect has them."""

from typing import Any

import pytest

from exchange.protocol import requests
from exchange.protocol.errors import RequestError
from exchange.protocol.requests import MalformedRequestError, decode_request


@pytest.mark.parametrize(
    ("id_json", "echoed"),
    [
        ("1", "1"),
        ("-5", "-5"),
        ("null", "null"),
        ('"abc"', '"abc"'),
        ('"' + "x" * 36 + '"', '"' + "x" * 36 + '"'),
        ('"\\u00e9\\""', '"\\u00e9\\""'),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_id_is_echoed_as_it_was_sent(id_json: str, echoed: str) -> None:
    request = decode_request(f'{{"id":{id_json},"method":"ping"}}'.encode())
    assert request.id == echoed


def test_missing_id_is_null_and_method_may_have_the_version() -> None:
    request = decode_request(b'{"method":"v3/ping","unknown":[1,{}]}')
    assert (request.id, request.method, request.params) == ("null", "ping", {})


DEEP = b"[" * 30_000

MALFORMED = [
    b"",
    b"{",
    b'{"method":"ping"',
    b"[]",
    b"null",
    b'"ping"',
    b'{"method":5}',
    b'{"method":"ping","params":[]}',
    b'{"method":"ping","params":"x"}',
    b'{"method":"ping","params":{"x":NaN}}',
    b'{"method":"ping","params":{"x":Infinity}}',
    b'{"method":"ping","params":{"x":01}}',
    b'{"method":"ping"} {}',
    b'{"method":"ping","id":"\xff"}',
    b'{"method":"\xff"}',
    b'\xef\xbb\xbf{"method":"ping"}',
    '{"method":"ping"}'.encode("utf-16"),
    b'{"method":"ping","params":{"x":"\\ud800"}}',
    b'{"method":"ping","params":{"x":' + b"9" * 5_000 + b"}}",
    b'{"method":"ping","params":{"x":' + DEEP + b"}}",
    b'{"method":"ping","id":' + DEEP + b"}",
    b'{"method":"ping","other":' + DEEP + b"}",
    b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94",
    b"gASVEAAAAAAAAACMAm9zlA==",
    b"\x00",
]


@pytest.mark.parametrize("frame", MALFORMED)
def test_what_is_no_request_is_refused(frame: bytes) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_request(frame)
    assert refused.value.error.code == -1135
    assert refused.value.error.status == 400


def test_id_of_a_refused_request_is_still_told() -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_request(b'{"id":"q7","method":"ping","params":[]}')
    assert refused.value.request_id == '"q7"'


def test_request_without_method_is_refused_with_its_id() -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_request(b'{"id":7}')
    assert (refused.value.request_id, refused.value.error.code) == ("7", -1102)


@pytest.mark.parametrize("id_json", ["1.5", "[]", "{}", "true", '"' + "x" * 37 + '"'])
def test_ids_of_other_kinds_are_refused(id_json: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        decode_request(f'{{"id":{id_json},"method":"ping"}}'.encode())
    assert (refused.value.request_id, refused.value.error.code) == ("null", -1100)


def test_numbers_with_a_point_keep_their_text() -> None:
    request = decode_request(b'{"method":"m","params":{"price":45000.50,"n":7,"b":true}}')
    assert request.params == {"price": "45000.50", "n": 7, "b": True}


def test_amounts_may_be_text_or_numbers() -> None:
    assert requests.amount({"p": "1.5"}, "p") == 150_000_000
    assert requests.amount({"p": 3}, "p") == 300_000_000
    assert requests.amount({"p": None}, "p") is None
    assert requests.amount({}, "p") is None


@pytest.mark.parametrize("value", ["", "-1", "1e5", -1, True, [], {}, "x", 10**20])
def test_amounts_of_another_form_are_illegal(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        requests.amount({"p": value}, "p")
    assert refused.value.error.code == -1100
    assert "'p'" in refused.value.error.message


def test_amount_with_nine_decimals_has_too_much_precision() -> None:
    with pytest.raises(RequestError) as refused:
        requests.amount({"price": "0.123456789"}, "price")
    assert refused.value.error == (400, -1111, "Parameter 'price' has too much precision.")


@pytest.mark.parametrize(("value", "number"), [("25949", 25_949), (25_949, 25_949), ("007", 7)])
def test_ids_may_be_text(value: Any, number: int) -> None:
    assert requests.integer({"orderId": value}, "orderId") == number


@pytest.mark.parametrize("value", [-1, "1.0", "1e5", True, [], "", " 1"])
def test_integers_of_another_form_are_illegal(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        requests.integer({"n": value}, "n")
    assert refused.value.error.code == -1100


@pytest.mark.parametrize("value", [2**63, "9223372036854775808", 2**64 + 1])
def test_integers_beyond_63_bits_are_refused(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        requests.integer({"n": value}, "n")
    assert refused.value.error.code == -1130


@pytest.mark.parametrize(
    "value", ["", "a b", "a" * 37, "é", 'a"b', "a\\b", "a\u202eb", [], True, {}, "a\n"]
)
def test_client_order_ids_of_another_form_are_illegal(value: Any) -> None:
    with pytest.raises(RequestError) as refused:
        requests.client_order_id({"c": value}, "c")
    assert refused.value.error.code == -1100


@pytest.mark.parametrize("value", ["btcusdt", "BTC/USDT", "A" * 21, "BTC\n", 'B"'])
def test_symbols_of_another_form_are_illegal(value: str) -> None:
    with pytest.raises(RequestError) as refused:
        requests.symbol({"symbol": value})
    assert refused.value.error.code == -1100


def test_limits_are_clamped_to_the_maximum() -> None:
    assert requests.limit({}, 100, 5_000) == 100
    assert requests.limit({"limit": 99_999}, 100, 5_000) == 5_000
    with pytest.raises(RequestError):
        requests.limit({"limit": 0}, 100, 5_000)
