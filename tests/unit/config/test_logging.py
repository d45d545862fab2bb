"""One line a fact, in one form, whoever logs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from config.logging import get_logger, setup_logging
from config.schema import LoggingSettings


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged(settings: LoggingSettings) -> io.StringIO:
    out = io.StringIO()
    setup_logging(settings, host="markets-1", stream=out)
    return out


def test_a_fact_is_one_json_object_with_its_fields() -> None:
    out = logged(LoggingSettings())
    get_logger("actors.market").info("market_recovered", market="BTCUSDT", events=3)
    line = json.loads(out.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "market_recovered",
        "market": "BTCUSDT",
        "events": 3,
        "level": "info",
        "logger": "actors.market",
        "host": "markets-1",
    }


def test_the_standard_library_logs_in_the_same_form() -> None:
    out = logged(LoggingSettings())
    logging.getLogger("zmq").warning("lost %d", 2)
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["host"]) == ("lost 2", "warning", "markets-1")


def test_lines_below_the_level_are_left_out() -> None:
    out = logged(LoggingSettings(level="warning"))
    get_logger("x").info("quiet")
    logging.getLogger("y").info("quiet")
    assert out.getvalue() == ""


def test_a_traceback_shows_no_local_variables() -> None:
    for form in ("json", "console"):
        out = logged(LoggingSettings(format=form))
        try:
            fail_with_secret()
        except ValueError:
            get_logger("x").exception("failed")
        assert "ValueError" in out.getvalue()
        assert "hunter2" not in out.getvalue()


def fail_with_secret() -> None:
    secret = "".join(["hunter", "2"])
    raise ValueError(len(secret))


def test_a_second_setup_replaces_the_first() -> None:
    first = logged(LoggingSettings())
    second = logged(LoggingSettings())
    get_logger("x").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
