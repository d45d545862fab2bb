"""HMAC secrets at rest: encrypted under the cluster secret, each under a key of its own."""

from hashlib import blake2b
from typing import Final

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

CLUSTER_SECRET_BYTES_MIN: Final = 16


class SecretUnreadableError(Exception):
    """Sealed under another cluster secret or for another key id, or damaged."""


class SecretVault:
    """Seals secrets for the directory and opens them where requests are verified.

    The encryption key is derived from the cluster secret and the id of the API key, so a sealed
    secret moved to another key id cannot be opened.
    """

    def __init__(self, cluster_secret: bytes) -> None:
        assert len(cluster_secret) >= CLUSTER_SECRET_BYTES_MIN
        self._root = blake2b(cluster_secret, digest_size=32, person=b"api-key-secrets").digest()

    def seal(self, key_id: str, secret: bytes) -> bytes:
        return bytes(self._box(key_id).encrypt(secret))

    def open(self, key_id: str, sealed: bytes) -> bytes:
        """Return the secret; raise SecretUnreadableError if it cannot be authenticated."""
        try:
            return self._box(key_id).decrypt(sealed)
        except (CryptoError, ValueError) as error:
            raise SecretUnreadableError(str(error)) from error

    def _box(self, key_id: str) -> SecretBox:
        return SecretBox(blake2b(key_id.encode(), key=self._root, digest_size=32).digest())
