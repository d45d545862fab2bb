"""One node for one data directory: a lock that lives exactly as long as the node's processes.

The lock is on a file descriptor that every process of the node inherits, so it is free only when
the last of them is gone: also the test that all are. It is never unlocked, only closed.
"""

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Final

import msgspec

LOCK_NAME: Final = "lock"
POLL_S: Final = 0.02
SETTLE_S: Final = 0.2  # between locking and writing its name into the file a starter needs less
GONE_TIMEOUT_S: Final = 5.0  # processes that got SIGKILL are gone by then, or the disk hangs


class NodeBusyError(Exception):
    """Another node uses this data directory; the message is one sentence for the operator."""


class Starter(msgspec.Struct, frozen=True, kw_only=True):
    """Who took the lock. `born` is the kernel's start time: process ids are used again."""

    pid: int
    born: int


class NodeLock:
    """The lock, held by this process and all that it forks."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, run_dir: Path) -> "NodeLock":
        """Take the lock. What remains of a node whose starter is dead is killed first.

        Raises:
            NodeBusyError: a node is running here.
        """
        path = run_dir / LOCK_NAME
        descriptor = _try_lock(path)
        if descriptor is None:
            _end_remains(path)
            descriptor = _lock_within(path, GONE_TIMEOUT_S)
        if descriptor is None:
            raise NodeBusyError(_busy(path))
        starter = Starter(pid=os.getpid(), born=_born(os.getpid()) or 0)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(starter), 0)
        return cls(path, descriptor)

    def wait_until_alone(self) -> bool:
        """Return whether all other processes of the node are gone, killing those that are not.

        The lock is held again afterwards, by this process alone.
        """
        os.close(self._descriptor)
        descriptor = _lock_within(self._path, SETTLE_S)
        if descriptor is None:
            _kill_holders(self._path)
            descriptor = _lock_within(self._path, GONE_TIMEOUT_S)
        self._descriptor = -1 if descriptor is None else descriptor
        return descriptor is not None

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_locked(run_dir: Path) -> bool:
    """Return whether any process of a node lives on this data directory."""
    path = run_dir / LOCK_NAME
    if not path.exists():
        return False
    descriptor = _try_lock(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _try_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _lock_within(path: Path, timeout_s: float) -> int | None:
    deadline = time.monotonic() + timeout_s
    while (descriptor := _try_lock(path)) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return descriptor


def _end_remains(path: Path) -> None:
    """Kill what holds the lock if its starter is dead.

    Raises:
        NodeBusyError: its starter lives.
    """
    before = _starter(path)
    time.sleep(SETTLE_S)
    after = _starter(path)
    if after != before or (after is not None and _born(after.pid) == after.born):
        raise NodeBusyError(_busy(path))
    _kill_holders(path)


def _kill_holders(path: Path) -> None:
    """Kill every process of ours that has the lock file open: all that is left of a node."""
    target = os.path.realpath(path)
    for entry in os.listdir("/proc"):  # noqa: PTH208 (names only, some gone when we look)
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            descriptors = os.listdir(f"/proc/{entry}/fd")  # noqa: PTH208
            links = [os.readlink(f"/proc/{entry}/fd/{name}") for name in descriptors]  # noqa: PTH115
        except OSError:
            continue  # gone, or not ours
        if target in links:
            try:
                os.kill(int(entry), signal.SIGKILL)
            except ProcessLookupError:
                continue


def _starter(path: Path) -> Starter | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Starter)
    except (OSError, msgspec.MsgspecError):
        return None


def _born(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None if there is none, or
    only its zombie."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = content.rpartition(")")[2].split()  # the name before may hold anything
    return None if fields[0] == "Z" else int(fields[19])


def _busy(path: Path) -> str:
    starter = _starter(path)
    who = "" if starter is None else f" (process {starter.pid})"
    return f"A node is already running on {path.parent.parent}{who}."
