"""Who signed a request, and may they? Answered from this host's replica of the directory.

Order of checks: key, its address and permissions, presence of timestamp and signature, signature,
timing. Fail closed: a replica that is not current, or a secret that cannot be read, refuses.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from actors.secrets import SecretUnreadableError, SecretVault
from exchange.directory.commands import KeyType, Permission
from exchange.directory.events import KeyCreated
from exchange.ids import request_identity
from exchange.protocol import errors, requests
from exchange.protocol.decimals import MalformedDecimalError, PreciseDecimalError, parse_amount
from exchange.protocol.errors import RequestError
from exchange.protocol.requests import Params
from exchange.protocol.signature import signed_payload, urlencoded_payload

RECV_WINDOW_DEFAULT_NS: Final = 5_000_000_000
RECV_WINDOW_MAX_NS: Final = 60_000_000_000
AHEAD_MAX_NS: Final = 1_000_000_000
MICROSECONDS_FROM: Final = 10**15  # request timestamps of 16 digits are microseconds
SIGNATURE_LENGTH_MAX: Final = 1_024
_is_key_id = re.compile(r"[A-Za-z0-9_-]{1,128}").fullmatch


class Verifier(Protocol):
    def signature_bytes(self, text: str) -> bytes | None:
        """Return the signature in the one form that identifies the request; None: malformed."""

    def is_valid(self, payload: bytes, signature: bytes) -> bool: ...


class HmacVerifier:
    def __init__(self, secret: bytes) -> None:
        self._keyed = hmac.new(secret, digestmod=hashlib.sha256)

    def signature_bytes(self, text: str) -> bytes | None:
        try:
            return bytes.fromhex(text)
        except ValueError:
            return None

    def is_valid(self, payload: bytes, signature: bytes) -> bool:
        keyed = self._keyed.copy()  # keyed once: half the cost of a new one
        keyed.update(payload)
        return hmac.compare_digest(keyed.digest(), signature)


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


class Ed25519Verifier:
    def __init__(self, public_key: bytes) -> None:
        self._key = VerifyKey(public_key)

    def signature_bytes(self, text: str) -> bytes | None:
        return _from_base64(text)

    def is_valid(self, payload: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(payload, signature)
        except (BadSignatureError, ValueError):
            return False
        return True


class RsaVerifier:
    def __init__(self, public_key: RSAPublicKey) -> None:
        self._key = public_key

    def signature_bytes(self, text: str) -> bytes | None:
        return _from_base64(text)

    def is_valid(self, payload: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(slots=True)
class Key:
    """A key of the directory, ready to verify with."""

    key_id: str
    account_id: int
    key_type: KeyType
    permissions: int
    networks: tuple[IPv4Network | IPv6Network, ...]
    verifier: Verifier
    id_bytes: bytes
    address_seen: str = ""  # the last address that was within the networks


class KeyStore(Protocol):
    """What the directory tells about keys."""

    def key(self, key_id: str) -> KeyCreated | None: ...


class Authenticator:
    def __init__(self, directory: KeyStore, vault: SecretVault) -> None:
        self._directory = directory
        self._vault = vault
        self._keys: dict[str, Key] = {}  # at most as many as the directory has

    def forget(self, key_id: str) -> None:
        """A key was created or revoked: look it up again."""
        self._keys.pop(key_id, None)

    def permitted_key(self, params: Params, address: str, permission: int) -> Key:
        """Return the key that the parameters name. Raises RequestError: -2014, -2015."""
        key_id = params.get("apiKey")
        if type(key_id) is not str or _is_key_id(key_id) is None:
            raise RequestError(errors.KEY_FORMAT)
        key = self._keys.get(key_id) or self._load(key_id)
        self.check_permitted(key, address, permission)
        return key

    def check_permitted(self, key: Key, address: str, permission: int) -> None:
        if key.permissions & permission != permission:
            raise RequestError(errors.KEY_REJECTED)
        if key.networks and key.address_seen != address:
            if not _is_within(address, key.networks):
                raise RequestError(errors.KEY_REJECTED)
            key.address_seen = address

    def verify(self, key: Key, params: Params, now_ns: int) -> bytes:
        """Check signature and timing; return the identity of the request.

        Raises:
            RequestError: -1102, -1022, -1021, -1131.
        """
        if params.get("timestamp") is None:
            raise errors.missing("timestamp")
        text = params.get("signature")
        if type(text) is not str or not 0 < len(text) <= SIGNATURE_LENGTH_MAX:
            raise errors.missing("signature")
        verifier = key.verifier
        signature = verifier.signature_bytes(text)
        if signature is None:
            raise RequestError(errors.BAD_SIGNATURE)
        payload = signed_payload(params).encode()
        if not verifier.is_valid(payload, signature):
            other = urlencoded_payload(params).encode()
            if other == payload or not verifier.is_valid(other, signature):
                raise RequestError(errors.BAD_SIGNATURE)
        check_timing(params, now_ns)
        return request_identity(key.id_bytes, signature)

    def _load(self, key_id: str) -> Key:
        created = self._directory.key(key_id)
        if created is None:
            raise RequestError(errors.KEY_REJECTED)
        try:
            verifier = self._verifier(created)
        except (SecretUnreadableError, ValueError):
            raise RequestError(errors.KEY_REJECTED) from None
        key = Key(
            created.key_id,
            created.account_id,
            created.key_type,
            int(created.permissions),
            tuple(ip_network(network, strict=False) for network in created.addresses),
            verifier,
            created.key_id.encode(),
        )
        self._keys[key_id] = key
        return key

    def _verifier(self, created: KeyCreated) -> Verifier:
        if created.key_type == KeyType.HMAC:
            return HmacVerifier(self._vault.open(created.key_id, created.secret))
        public_key = serialization.load_der_public_key(created.secret)
        if isinstance(public_key, Ed25519PublicKey) and created.key_type == KeyType.ED25519:
            # libsodium verifies in two thirds of the time.
            return Ed25519Verifier(public_key.public_bytes_raw())
        if isinstance(public_key, RSAPublicKey) and created.key_type == KeyType.RSA:
            return RsaVerifier(public_key)
        raise ValueError(created.key_type)


def session_identity(account_id: int, method: str, params: Params) -> bytes:
    """Return the identity of an unsigned request of a logged-on session."""
    return request_identity(
        account_id.to_bytes(8, "big"), method.encode(), signed_payload(params).encode()
    )


def check_timing(params: Params, now_ns: int) -> None:
    """Refuse what is ahead of us or older than its recvWindow. Raises RequestError."""
    timestamp = requests.integer(params, "timestamp")
    if timestamp is None:
        raise errors.missing("timestamp")
    sent_ns = timestamp * (1_000 if timestamp >= MICROSECONDS_FROM else 1_000_000)
    if sent_ns >= now_ns + AHEAD_MAX_NS:
        raise RequestError(errors.TIMESTAMP_AHEAD)
    window_ns = RECV_WINDOW_DEFAULT_NS
    if params.get("recvWindow") is not None:
        window_ns = _recv_window_ns(params["recvWindow"])
    if now_ns - sent_ns > window_ns:
        raise RequestError(errors.TIMESTAMP_OUTSIDE)


def _recv_window_ns(value: object) -> int:
    """Milliseconds with up to 3 decimals."""
    if type(value) is int and 0 <= value <= 60_000:
        return value * 1_000_000
    if type(value) is not str and type(value) is not int:
        raise errors.illegal("recvWindow", "^[0-9]{1,5}(\\.[0-9]{1,3})?$")
    try:
        window = parse_amount(str(value))
    except MalformedDecimalError:
        raise errors.illegal("recvWindow", "^[0-9]{1,5}(\\.[0-9]{1,3})?$") from None
    except PreciseDecimalError:
        raise errors.too_precise("recvWindow") from None
    if window % 100_000:
        raise errors.too_precise("recvWindow")
    if window // 100 > RECV_WINDOW_MAX_NS:  # 10**-8 ms are 10**-2 ns
        raise RequestError(errors.BAD_RECV_WINDOW)
    return window // 100


def _is_within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


TRADE: Final = int(Permission.TRADE)
READ: Final = int(Permission.READ)
STREAM: Final = int(Permission.STREAM)
