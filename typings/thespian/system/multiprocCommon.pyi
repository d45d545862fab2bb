# ruff: noqa: N816 (Thespian's naming)
from collections.abc import Callable
from typing import Any

startChild: Callable[..., None]
startupASLogger: Callable[..., None]
ThespianLogForwarder: Callable[..., Any]
