"""Sealing messages on a stream: who is there, nothing changed, nothing played back, nothing read.

Sans-IO. Both ends hold the cluster's secret. Whoever connects and whoever listens prove it to each
other with a keyed hash (BLAKE2b) over two fresh nonces; from these follows the key of this one
connection. Each message is sealed with AES-256-GCM under its running number as nonce, so one that
was changed, repeated, left out or taken from another connection does not open.

    connecting: greeting (8) nonce (32)
    listening:  nonce (32) proof (32)
    connecting: proof (32), then messages: length (4, big-endian, of what follows), sealed bytes
"""

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.transport.port import MESSAGE_BYTES_MAX

GREETING: Final = b"vonmo/1\n"
NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
HELLO_BYTES: Final = len(GREETING) + NONCE_BYTES
REPLY_BYTES: Final = NONCE_BYTES + PROOF_BYTES
LENGTH_BYTES: Final = 4
_TAG_BYTES: Final = 16
SEALED_BYTES_MAX: Final = MESSAGE_BYTES_MAX + _TAG_BYTES


class SealError(Exception):
    """What arrived was not made by a holder of the secret for this place in this connection."""


class Handshake:
    """The secrets of one connection, once both nonces are known."""

    def __init__(self, secret: bytes, connecting_nonce: bytes, listening_nonce: bytes) -> None:
        assert len(secret) >= 16
        assert len(connecting_nonce) == len(listening_nonce) == NONCE_BYTES
        nonces = connecting_nonce + listening_nonce
        key = hashlib.blake2b(secret, digest_size=32, person=b"stream-key").digest()
        self.connecting_proof = _derive(key, nonces, b"connecting-proof")
        self.listening_proof = _derive(key, nonces, b"listening-proof")
        self.key = _derive(key, nonces, b"message-key")


def is_proof(expected: bytes, given: bytes) -> bool:
    """Compare proofs in constant time."""
    return hmac.compare_digest(expected, given)


class Sealer:
    """The sending end of a connection."""

    __slots__ = ("_encrypt", "_number")

    def __init__(self, key: bytes) -> None:
        self._encrypt = AESGCM(key).encrypt
        self._number = 0

    def seal(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the length and the sealed bytes of the next message, to be sent in this order."""
        self._number += 1
        sealed = self._encrypt(self._number.to_bytes(12, "big"), data, None)
        return len(sealed).to_bytes(LENGTH_BYTES, "big"), sealed


class Opener:
    """The receiving end of a connection: bytes as they come in, messages out."""

    __slots__ = ("_decrypt", "_needed", "_number", "_pending")

    def __init__(self, key: bytes) -> None:
        self._decrypt = AESGCM(key).decrypt
        self._number = 0
        self._pending = bytearray()  # of a message that is not complete: bounded by its length
        self._needed = LENGTH_BYTES  # bytes that `_pending` must hold before looking is worth it

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are complete with `data`.

        Raises:
            SealError: a message does not open, or is too long: close the connection.
        """
        pending = self._pending
        if not pending:
            messages, used = self._open_all(data)
            if used < len(data):
                pending += memoryview(data)[used:]
            return messages
        pending += data
        if len(pending) < self._needed:
            return []
        messages, used = self._open_all(pending)
        del pending[:used]
        return messages

    def _open_all(self, data: bytes | bytearray) -> tuple[list[bytes], int]:
        """Open the whole messages at the start of `data`; return them and the bytes used."""
        messages: list[bytes] = []
        position, end = 0, len(data)
        with memoryview(data) as view:
            while True:
                start = position + LENGTH_BYTES
                if start > end:
                    self._needed = LENGTH_BYTES
                    return messages, position
                size = int.from_bytes(view[position:start], "big")
                if not _TAG_BYTES <= size <= SEALED_BYTES_MAX:
                    raise SealError("length")
                if start + size > end:
                    self._needed = LENGTH_BYTES + size
                    return messages, position
                self._number += 1
                with view[start : start + size] as sealed:
                    try:
                        message = self._decrypt(self._number.to_bytes(12, "big"), sealed, None)
                    except InvalidTag:
                        raise SealError("tag") from None
                messages.append(message)
                position = start + size


def _derive(key: bytes, nonces: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(nonces, digest_size=32, key=key, person=purpose[:16]).digest()
