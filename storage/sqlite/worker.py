"""A thread that runs blocking calls one after the other, for an event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from config.logging import get_logger

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Worker:
    """Runs calls in the order they came. Its queue is bounded by its callers, who wait for each."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def run(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[T]":
        """Call `function` in the thread; the future gets what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._is_closed:
            future.set_exception(RuntimeError("the store is closed"))
            return future
        self._jobs.put((loop, future, lambda: function(*args, **kwargs)))
        return future

    def close(self) -> None:
        """Run what was accepted, then end the thread; returns when it has ended. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            result: Any = None
            failure: BaseException | None = None
            try:
                result = call()
            except Exception as error:  # noqa: BLE001  whoever waits gets it; the thread lives on
                failure = error
            try:
                loop.call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:
                log.warning("store_result_unwanted", reason="event loop is closed")


def _settle(future: "asyncio.Future[Any]", result: object, failure: BaseException | None) -> None:
    if future.done():
        return  # cancelled: whoever waited has given up, and must take the outcome as unknown
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
