"""The cookie file: created once, refused when others could read or exchange it."""

import stat
from pathlib import Path

import pytest

from actors.cookie import CookieError, create_cookie, read_cookie


def test_first_start_creates_a_private_cookie_and_later_starts_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "cookie"
    secret = create_cookie(path)
    assert len(secret) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert create_cookie(path) == read_cookie(path) == secret
    assert [entry.name for entry in tmp_path.iterdir()] == ["cookie"]


def test_two_nodes_have_two_cookies(tmp_path: Path) -> None:
    assert create_cookie(tmp_path / "a") != create_cookie(tmp_path / "b")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_cookie_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "cookie"
    create_cookie(path)
    path.chmod(mode)
    with pytest.raises(CookieError, match="must belong to us alone"):
        read_cookie(path)


def test_short_cookie_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cookie"
    create_cookie(path)
    path.write_bytes(b"short\n")
    with pytest.raises(CookieError, match="at least 32 bytes"):
        read_cookie(path)


def test_missing_cookie_and_symbolic_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CookieError, match="cannot be read"):
        read_cookie(tmp_path / "cookie")
    create_cookie(tmp_path / "real")
    (tmp_path / "cookie").symlink_to(tmp_path / "real")
    with pytest.raises(CookieError, match="cannot be read"):
        read_cookie(tmp_path / "cookie")


def test_cookie_in_a_missing_directory_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CookieError, match="cannot be created"):
        create_cookie(tmp_path / "absent" / "cookie")
