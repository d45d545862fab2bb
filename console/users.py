"""`user create`, `key create`, `key revoke`: who may trade. A secret is shown once, here."""

import base64
import binascii
import enum
import secrets
import string
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from console.node import NO_REQUEST, NOBODY, NodePort, Outcome, refused, unexpected
from exchange.answers import DirectoryDone, Refused
from exchange.directory.commands import CreateKey, CreateUser, KeyType, Permission, RevokeKey

_ALPHABET = string.ascii_letters + string.digits
KEY_ID_CHARACTERS = 32
SECRET_CHARACTERS = 64
# DER before the 32 bytes of an Ed25519 key, RFC 8410: SubjectPublicKeyInfo and PKCS #8.
_PUBLIC_PREFIX = bytes.fromhex("302a300506032b6570032100")
_PRIVATE_PREFIX = bytes.fromhex("302e020100300506032b657004220420")


class KeyFileError(Exception):
    """A public key file cannot be used; the text is the sentence to print."""


class KeyChoice(enum.Enum):
    """The kinds of key that can be made here."""

    HMAC = "hmac"
    ED25519 = "ed25519"


async def create_user(node: NodePort, name: str) -> Outcome:
    """Create a user; the outcome has its account."""
    answer = await node.directory(CreateUser(name, time.time_ns(), NOBODY, NO_REQUEST))
    match answer:
        case DirectoryDone():
            return Outcome({"account": answer.created_id, "name": name})
        case Refused():
            return refused(answer)
        case _:
            return unexpected(answer)


async def create_key(
    node: NodePort,
    account_id: int,
    choice: KeyChoice,
    *,
    public_key: bytes | None = None,
    permissions: Permission = Permission.READ | Permission.TRADE | Permission.STREAM,
    addresses: Sequence[str] = (),
    label: str = "",
) -> Outcome:
    """Create a key for a user; the outcome shows what the user must keep, this once.

    `public_key`: of an Ed25519 pair that the user made (DER); else a pair is made here.
    """
    key_id = random_text(KEY_ID_CHARACTERS)
    secret_facts: dict[str, Any] = {}
    if choice is KeyChoice.HMAC:
        secret = random_text(SECRET_CHARACTERS)
        kept = node.seal(key_id, secret.encode())
        secret_facts["secret"] = secret
    elif public_key is not None:
        kept = public_key
    else:
        seed = SigningKey.generate()
        kept = _PUBLIC_PREFIX + bytes(seed.verify_key)
        secret_facts["seed_hex"] = bytes(seed).hex()
        secret_facts["private_key"] = private_key_pem(bytes(seed))
    answer = await node.directory(
        CreateKey(
            key_id,
            account_id,
            KeyType[choice.name],
            kept,
            permissions,
            tuple(addresses),
            label,
            time.time_ns(),
            NOBODY,
            NO_REQUEST,
        )
    )
    match answer:
        case DirectoryDone():
            return Outcome(
                {"key_id": key_id, "type": choice.value, "account": account_id, **secret_facts}
            )
        case Refused():
            return refused(answer)
        case _:
            return unexpected(answer)


async def revoke_key(node: NodePort, key_id: str) -> Outcome:
    """Revoke a key, everywhere, within a second; its id is never used again."""
    answer = await node.directory(RevokeKey(key_id, time.time_ns(), NOBODY, NO_REQUEST))
    match answer:
        case DirectoryDone():
            return Outcome({"key_id": key_id, "revoked": True})
        case Refused():
            return refused(answer)
        case _:
            return unexpected(answer)


def read_public_key(path: Path) -> bytes:
    """Return the Ed25519 public key (DER) of a PEM or DER file.

    Raises:
        KeyFileError: not readable, or not an Ed25519 public key.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}.") from error
    lines = data.strip().splitlines()
    if lines and lines[0].strip() == b"-----BEGIN PUBLIC KEY-----":
        try:
            data = base64.b64decode(b"".join(line.strip() for line in lines[1:-1]), validate=True)
        except binascii.Error as error:
            raise KeyFileError(f"{path}: not a PEM file.") from error
    if len(data) != len(_PUBLIC_PREFIX) + 32 or not data.startswith(_PUBLIC_PREFIX):
        raise KeyFileError(f"{path}: not an Ed25519 public key (PEM or DER).")
    return data


def private_key_pem(seed: bytes) -> str:
    """Return an Ed25519 private key as clients read it (PKCS #8 PEM)."""
    text = base64.b64encode(_PRIVATE_PREFIX + seed).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----"


def random_text(length: int) -> str:
    """Return letters and digits nobody can guess, 5.95 bits each."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
