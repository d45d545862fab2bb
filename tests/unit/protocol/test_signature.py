"""Payloads of signatures: sorted, as in the frame, or the urlencoded form of some clients."""

import hashlib
import hmac

from exchange.protocol.requests import decode_request
from exchange.protocol.signature import signed_payload, urlencoded_payload


def test_payload_is_sorted_without_the_signature_and_with_numbers_as_sent() -> None:
    request = decode_request(
        b'{"method":"order.place","params":{"symbol":"BTCUSDT","price":45000.50,"quantity":"0.10",'
        b'"signature":"00","timestamp":1700000000000,"returnRateLimits":false,"apiKey":"k"}}'
    )
    assert signed_payload(request.params) == (
        "apiKey=k&price=45000.50&quantity=0.10&returnRateLimits=false&symbol=BTCUSDT"
        "&timestamp=1700000000000"
    )


def test_published_example_of_the_dialect_verifies() -> None:
    """The vector of the public documentation: its parameters, its secret, its signature."""
    secret = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    params = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.01000000",
        "price": "52000.00",
        "newOrderRespType": "ACK",
        "recvWindow": 100,
        "timestamp": 1645423376532,
        "apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    }
    digest = hmac.new(secret, signed_payload(params).encode(), hashlib.sha256).hexdigest()
    assert digest == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


def test_urlencoded_form_differs_only_where_text_needs_it() -> None:
    plain = {"b": "x", "a": 1}
    assert signed_payload(plain) == urlencoded_payload(plain) == "a=1&b=x"
    assert urlencoded_payload({"s": "é /+"}) == "s=%C3%A9+%2F%2B"
