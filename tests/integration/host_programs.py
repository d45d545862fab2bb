"""Programs of hosts for tests: small ones that do one thing each."""

import asyncio
import os
import time
from pathlib import Path

from actors.control import HostControl, HostSpec


async def steady(spec: HostSpec, control: HostControl) -> None:
    """Becomes ready, answers, stops when asked, and says in which order."""
    control.on("echo", lambda body: body)
    control.on("hang", _hang)
    control.report({"pid": os.getpid(), "incarnation": spec.incarnation})
    control.ready()
    await control.stopping.wait()
    with (Path(spec.data_dir) / "stopped").open("a") as file:
        file.write(f"{spec.name}\n")


async def crashing(spec: HostSpec, control: HostControl) -> None:
    """Becomes ready, and crashes once there is a file "crash"; again and again."""
    control.ready()
    await _file_exists(spec, "crash")
    raise ValueError("crashes on purpose")


async def failing_start(spec: HostSpec, control: HostControl) -> None:
    """Never becomes ready."""
    raise ValueError("cannot start")


async def endless_start(spec: HostSpec, control: HostControl) -> None:
    """Recovers until it is stopped."""
    control.report({"recovering": True})
    await control.stopping.wait()


async def returning(spec: HostSpec, control: HostControl) -> None:
    """Becomes ready, and returns unasked once there is a file "crash"."""
    control.ready()
    await _file_exists(spec, "crash")


async def deaf(spec: HostSpec, control: HostControl) -> None:
    """Does not stop when asked."""
    control.ready()
    await asyncio.Event().wait()


async def _file_exists(spec: HostSpec, name: str) -> None:
    while not (Path(spec.data_dir) / name).exists():
        await asyncio.sleep(0.01)


def _hang(body: bytes) -> bytes:
    time.sleep(3600)
    return body
