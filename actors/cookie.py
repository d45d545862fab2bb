"""The cluster cookie: the secret that every process of a cluster shares, in a file of our own."""

import os
import secrets
from pathlib import Path

COOKIE_BYTES_MIN = 32
COOKIE_BYTES_MAX = 4096  # a file longer than this is not a cookie


class CookieError(Exception):
    """The cookie file cannot be trusted; the message is one sentence for the operator."""


def read_cookie(path: str | Path) -> bytes:
    """Return the secret. From a file, because other processes can see our argv and environment.

    Raises:
        CookieError: not there, not ours alone (owner, mode 600, no symbolic link), or too short.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        message = f"The cookie file {path} cannot be read: {error.strerror}."
        raise CookieError(message) from error
    with open(descriptor, "rb") as file:  # noqa: PTH123 (opened without following links)
        status = os.fstat(descriptor)
        secret = file.read(COOKIE_BYTES_MAX + 1).strip()
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        message = f"The cookie file {path} must belong to us alone (chmod 600)."
        raise CookieError(message)
    if not COOKIE_BYTES_MIN <= len(secret) <= COOKIE_BYTES_MAX:
        raise CookieError(f"The cookie file {path} must hold at least {COOKIE_BYTES_MIN} bytes.")
    return secret


def create_cookie(path: str | Path) -> bytes:
    """Return the secret of `path`, which is created with 32 random bytes at the first start.

    Written beside it and linked into place: a crash leaves no half cookie, and of two first starts
    at once both get the same one.

    Raises:
        CookieError: as read_cookie, or it cannot be created.
    """
    target = Path(path)
    if not target.exists():
        draft = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            _write_private(draft, secrets.token_hex(COOKIE_BYTES_MIN).encode() + b"\n")
            try:
                os.link(draft, target)
            except FileExistsError:
                pass  # another first start was quicker: its cookie is ours too
            finally:
                draft.unlink()
        except OSError as error:
            message = f"The cookie file {path} cannot be created: {error.strerror}."
            raise CookieError(message) from error
    return read_cookie(target)


def _write_private(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 (mode given at creation)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
