# ruff: noqa: N816 (Thespian's naming)
from collections.abc import Callable
from typing import Any

startAdmin: Callable[..., None]
startChild: Callable[..., None]
startupASLogger: Callable[..., None]
ThespianLogForwarder: Callable[..., Any]
