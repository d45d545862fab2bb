"""A node in a process of its own, for tests that kill it."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from actors.control import HostSpec
from actors.node import node_status
from actors.node_messages import NodeOptions, NodeStatus
from benchmarks.own_node import free_port

TIMEOUT_S = 20.0  # of any one wait: reached only when something is wrong


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail, naming `what`, if it never does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        select.select([], [], [], 0.01)


def host(name: str, kind: str, data_dir: Path) -> HostSpec:
    return HostSpec(name=name, kind=kind, data_dir=str(data_dir))


class NodeProcess:
    """Starts tests/integration/node_program.py and reads its events."""

    def __init__(
        self, data_dir: Path, *kinds: str, port: int = 0, call: str = "run", **options: Any
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.options = NodeOptions(
            data_dir=str(data_dir),
            admin_port=self.port,
            hosts=tuple(
                host(f"{kind}-{number}", kind, data_dir) for number, kind in enumerate(kinds)
            ),
            ping_period_ms=100,
            **options,
        )
        self.events: list[dict[str, Any]] = []
        self.log = data_dir.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.integration.node_program",
                    msgspec.json.encode(self.options),
                    call,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._unread = b""

    def __enter__(self) -> "NodeProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        for pid in members(self.group) if self.group else []:
            os.kill(pid, signal.SIGKILL)

    @property
    def group(self) -> int:
        return self._started("group")

    @property
    def node_pid(self) -> int:
        return self._started("pid")

    def _started(self, field: str) -> int:
        events = [event for event in self.events if event["event"] == "started"]
        return int(events[0][field]) if events else 0

    def wait_event(self, name: str, **fields: Any) -> dict[str, Any]:
        """Return the next event of this name and these fields, reading past others."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            event = self._next_event(deadline)
            assert event is not None, f"no event {name} {fields}: {self.log.read_text()[-3000:]}"
            if event["event"] == name and fields.items() <= event.items():
                return event

    def wait_ready(self) -> "NodeProcess":
        self.wait_event("ready")
        return self

    def wait_exit(self) -> int:
        """Return the exit code, having read all events."""
        while self._next_event(time.monotonic() + TIMEOUT_S) is not None:
            pass
        return self.process.wait(TIMEOUT_S)

    def status(self) -> NodeStatus:
        return node_status(self.data_dir)

    def pid_of(self, name: str) -> int:
        """Return the pid of a host, 0 while there is none."""
        return next((state.pid for state in self.status().hosts if state.name == name), 0)

    def wait_restarted(self, name: str, former_pid: int) -> None:
        wait_until(lambda: self.is_ready(name, former_pid), f"{name} restarted")

    def is_ready(self, name: str, former_pid: int) -> bool:
        return any(
            state.name == name and state.pid != former_pid and state.phase == "ready"
            for state in self.status().hosts
        )

    def _next_event(self, deadline: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            data = os.read(descriptor, 65536) if ready else b""
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        event: dict[str, Any] = msgspec.json.decode(line)
        self.events.append(event)
        return event


def members(group: int) -> list[int]:
    """Return the live processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def listeners(pid: int) -> list[tuple[str, int]]:
    """Return the TCP addresses that a process listens on."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:  # 0A: listening
            address, port = fields[1].split(":")
            packed = bytes.fromhex(address)[::-1]
            found.append((socket.inet_ntoa(packed), int(port, 16)))
    return found
