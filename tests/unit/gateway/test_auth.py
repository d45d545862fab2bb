"""Who may do what: the order of checks, signatures of every kind, timing, logon and revocation."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from actors.secrets import SecretUnreadableError, SecretVault
from exchange.directory.commands import KeyType, Permission
from exchange.directory.events import KeyCreated
from exchange.protocol.signature import signed_payload
from tests.support.direct_exchange import ALL, ED25519, SECRET, START_NS, Client, DirectExchange


def _account(client: Client, params: dict[str, Any]) -> Any:
    (answer,) = client.send("account.status", params)
    return answer["status"], answer.get("error", {}).get("code"), answer.get("error", {}).get("msg")


def _ed25519(params: dict[str, Any]) -> str:
    return base64.b64encode(ED25519.sign(signed_payload(params).encode()).signature).decode()


def _logon(client: Client) -> Any:
    params = {"apiKey": "ed-1", "timestamp": client.exchange.clock_ns // 1_000_000}
    (answer,) = client.send("session.logon", params | {"signature": _ed25519(params)})
    return answer


def test_checks_come_in_their_order(alice: Client) -> None:
    now = alice.exchange.clock_ns // 1_000_000
    assert _account(alice, {})[:2] == (401, -2014)
    assert _account(alice, {"apiKey": "no spaces"})[:2] == (401, -2014)
    assert _account(alice, {"apiKey": 5})[:2] == (401, -2014)
    assert _account(alice, {"apiKey": "unknown"})[:2] == (401, -2015)
    assert _account(alice, {"apiKey": "key-1"}) == (
        400,
        -1102,
        "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
    )
    assert _account(alice, {"apiKey": "key-1", "timestamp": now})[1] == -1102
    late = {"apiKey": "key-1", "timestamp": 1, "signature": "00" * 32}
    assert _account(alice, late)[:2] == (400, -1022)
    assert _account(alice, alice.signed(timestamp=1))[:2] == (400, -1021)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-2],
        lambda text: text + "00",
        lambda text: text[::-1],
        lambda text: "zz" + text[2:],
        lambda text: "é" * 64,
        lambda text: "A" * 10_000,
    ],
)
def test_any_other_signature_is_refused(alice: Client, spoil: Any) -> None:
    params = alice.signed()
    params["signature"] = spoil(params["signature"])
    status, code, _ = _account(alice, params)
    assert (status, code) in ((400, -1022), (400, -1102))


def test_hmac_signatures_may_be_upper_case(alice: Client) -> None:
    params = alice.signed()
    params["signature"] = params["signature"].upper()
    assert _account(alice, params)[0] == 200


def test_parameters_changed_after_signing_are_refused(alice: Client) -> None:
    params = alice.signed(recvWindow=5_000)
    params["recvWindow"] = 6_000
    assert _account(alice, params)[:2] == (400, -1022)


def test_urlencoded_form_of_the_payload_is_accepted_too(alice: Client) -> None:
    params = {
        "apiKey": "key-1",
        "timestamp": alice.exchange.clock_ns // 1_000_000,
        "note": "é and /",
    }
    payload = urlencode(sorted(params.items())).encode()
    signature = hmac.new(SECRET, payload, hashlib.sha256).hexdigest()
    assert _account(alice, params | {"signature": signature})[0] == 200


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [
        (999, None, None),
        (1_000, None, -1021),
        (-5_000, None, None),
        (-5_001, None, -1021),
        (-59_999, 60_000, None),
        (-100, "99.5", -1021),
        (-99, "99.5", None),
        (0, 60_001, -1131),
        (0, "5000.1234", -1111),
        (0, "x", -1100),
        (0, -1, -1100),
    ],
)
def test_timing_window(alice: Client, offset_ms: int, window: Any, code: int | None) -> None:
    params: dict[str, Any] = {"timestamp": alice.exchange.clock_ns // 1_000_000 + offset_ms}
    if window is not None:
        params["recvWindow"] = window
    assert _account(alice, alice.signed(**params))[1] == code


def test_timestamps_may_be_text_or_microseconds(alice: Client) -> None:
    now_ns = alice.exchange.clock_ns
    assert _account(alice, alice.signed(timestamp=str(now_ns // 1_000_000)))[0] == 200
    assert _account(alice, alice.signed(timestamp=now_ns // 1_000))[0] == 200


def test_seconds_instead_of_milliseconds_are_outside_the_window(alice: Client) -> None:
    timestamp = alice.exchange.clock_ns // 1_000_000_000
    assert _account(alice, alice.signed(timestamp=timestamp))[1] == -1021


def test_permissions_and_addresses_of_a_key_are_kept(exchange: DirectExchange) -> None:
    client = Client(exchange, 1)
    client.key_id = exchange.add_hmac_key(1, "reader", Permission.READ)
    assert client.ask("account.status")["status"] == 200
    assert client.place("BUY", "45000", "0.001")["error"]["code"] == -2015
    client.key_id = exchange.add_hmac_key(1, "elsewhere", ALL, ("10.0.0.0/8",))
    assert client.ask("account.status")["error"]["code"] == -2015
    client.key_id = exchange.add_hmac_key(1, "here", ALL, ("10.0.0.0/8", "127.0.0.1"))
    assert client.ask("account.status")["status"] == 200


def test_rsa_keys_sign_requests(exchange: DirectExchange, alice: Client) -> None:
    private = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    exchange.evolve(KeyCreated("rsa-1", 1, KeyType.RSA, der, ALL, (), "", START_NS))
    params = {"apiKey": "rsa-1", "timestamp": exchange.clock_ns // 1_000_000}
    signature = private.sign(signed_payload(params).encode(), padding.PKCS1v15(), hashes.SHA256())
    params["signature"] = base64.b64encode(signature).decode()
    assert _account(alice, params)[0] == 200
    params["signature"] = base64.b64encode(signature[::-1]).decode()
    assert _account(alice, params)[1] == -1022


def test_hmac_with_the_public_key_as_secret_is_refused(alice: Client) -> None:
    params = {"apiKey": "ed-1", "timestamp": alice.exchange.clock_ns // 1_000_000}
    public = bytes(ED25519.verify_key)
    digest = hmac.new(public, signed_payload(params).encode(), hashlib.sha256)
    for text in (digest.hexdigest(), base64.b64encode(digest.digest()).decode()):
        assert _account(alice, params | {"signature": text})[1] == -1022


def test_logged_on_session_needs_only_timestamps(exchange: DirectExchange, alice: Client) -> None:
    status = _logon(alice)["result"]
    assert status["apiKey"] == "ed-1"
    assert status["authorizedSince"] == exchange.clock_ns // 1_000_000
    now = exchange.clock_ns // 1_000_000
    assert _account(alice, {"timestamp": now})[0] == 200
    assert _account(alice, {})[1] == -1102
    assert _account(alice, {"timestamp": now - 6_000})[1] == -1021
    (after,) = alice.send("session.logout")
    assert after["result"]["apiKey"] is None
    assert _account(alice, {"timestamp": now})[:2] == (401, -2014)


def test_signed_request_on_a_logged_on_session_is_its_signers(exchange: DirectExchange) -> None:
    client = Client(exchange, 2)
    _logon(client)
    assert client.ask("account.status")["result"]["uid"] == 2
    other = {"apiKey": "key-2", "timestamp": exchange.clock_ns // 1_000_000}
    assert _account(client, other)[1] == -1102  # another key than the logon's, unsigned


def test_only_ed25519_keys_log_on(alice: Client) -> None:
    (answer,) = alice.send("session.logon", alice.signed())
    assert answer["status"] == 401
    assert answer["error"]["code"] == -2015


def test_revoked_key_ends_logon_and_subscriptions_at_once(
    exchange: DirectExchange, alice: Client
) -> None:
    _logon(alice)
    alice.send("userDataStream.subscribe")
    exchange.revoke("ed-1")
    exchange.run()
    messages = alice.wire.messages()
    assert messages[0]["event"]["e"] == "eventStreamTerminated"
    assert (messages[-1]["id"], messages[-1]["status"]) == (None, 401)
    assert messages[-1]["error"]["code"] == -2015
    assert not exchange.followed
    assert _account(alice, {"timestamp": exchange.clock_ns // 1_000_000})[1] == -2014


def test_revoked_hmac_key_is_refused_from_then_on(exchange: DirectExchange, alice: Client) -> None:
    assert alice.ask("account.status")["status"] == 200
    exchange.revoke("key-1")
    assert alice.ask("account.status")["error"]["code"] == -2015


def test_lagging_directory_refuses_all_signed_requests(
    exchange: DirectExchange, alice: Client
) -> None:
    exchange.lag_ns = 3_000_000_001
    answer = alice.ask("account.status")
    assert (answer["status"], answer["error"]["code"]) == (503, -1001)
    assert alice.send("ping")[0]["status"] == 200


def test_secrets_open_only_with_the_same_cluster_secret_and_key_id() -> None:
    vault = SecretVault(b"one cluster secret")
    sealed = vault.seal("key-1", b"secret")
    assert b"secret" not in sealed
    assert vault.open("key-1", sealed) == b"secret"
    for other, key_id in ((vault, "key-2"), (SecretVault(b"another cluster secret"), "key-1")):
        with pytest.raises(SecretUnreadableError):
            other.open(key_id, sealed)
    with pytest.raises(SecretUnreadableError):
        vault.open("key-1", b"short")


def test_key_whose_secret_cannot_be_read_is_refused(exchange: DirectExchange) -> None:
    exchange.evolve(KeyCreated("broken", 1, KeyType.HMAC, b"x" * 60, ALL, (), "", START_NS))
    client = Client(exchange, 1)
    client.key_id = "broken"
    assert client.ask("account.status")["error"]["code"] == -2015
