"""Logs are facts with fields, one a line: for people on a terminal, JSON everywhere else.

The keys are listed in docs/logging.md. The standard library's logging (Thespian, asyncio, picows)
comes out in the same form.
"""

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.schema import LoggingSettings

# Libraries that tell their whole life at info.
_QUIET = ("asyncio", "picows", "thespian")


def setup_logging(
    settings: LoggingSettings, *, host: str = "", stream: TextIO | None = None
) -> None:
    """Send all logs of this process to `stream` (standard error), `host` naming it in each line.

    Safe to call again, in a child process after a fork too: the last call wins.
    """
    out = stream or sys.stderr
    is_json = settings.format == "json" or (settings.format == "auto" and not out.isatty())
    shared = _processors(host)
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if is_json
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(),
            timestamp_key="at",
            # Not the renderer with local variables: they hold secrets and whole orders.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if is_json:
        last.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a module's logger: `log = get_logger(__name__)`, `log.info("fact", key=1)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _processors(host: str) -> list[Processor]:
    def add_host(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if host:
            event["host"] = host
        return event

    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        add_host,
    ]
