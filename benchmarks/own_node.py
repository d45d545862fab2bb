"""A node of our own to measure: on a fresh data directory and free ports, gone afterwards."""

import contextlib
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from actors.node import node_status

ROOT = Path(__file__).resolve().parent.parent
READY_S = 30.0
STOP_S = 30.0
_MARK = "VONMOTRADE_BENCHMARK"  # in the environment of all processes of the node, and of no other
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NodeFailedError(Exception):
    """The node did not become ready; the text has the end of its log."""


class OwnNode:
    """A running node. `url` is that of its WebSocket port."""

    def __init__(self, data_dir: Path, url: str, mark: str) -> None:
        self.data_dir = data_dir
        self.url = url
        self._mark = f"{_MARK}={mark}".encode()

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU time that each process of the node has used so far, by host name;
        what is no host (supervisor, Thespian) is "node"."""
        names = {host.pid: host.name for host in node_status(self.data_dir).hosts}
        used: dict[str, float] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            # Processes come and go while we look.
            with contextlib.suppress(OSError):
                if self._mark in (entry / "environ").read_bytes().split(b"\0"):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    seconds = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
                    name = names.get(int(entry.name), "node")
                    used[name] = used.get(name, 0.0) + seconds
        return used


@contextlib.contextmanager
def own_node(arguments: Sequence[str] = ()) -> Iterator[OwnNode]:
    """Run a node until the block ends; `arguments` are further options of `run_node.py start`.

    Raises:
        NodeFailedError: it did not become ready.
    """
    directory = Path(tempfile.mkdtemp(prefix="vonmotrade-"))
    mark = secrets.token_hex(8)
    ws_port, admin_port = free_port(), free_port()
    log_path = directory / "node.log"
    command = [sys.executable, str(ROOT / "run_node.py"), "start", "--log-level", "warning"]
    command += ["--data", str(directory / "data"), "--ws-port", str(ws_port)]
    command += ["--admin-port", str(admin_port), *arguments]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, _MARK: mark},
            start_new_session=True,  # Ctrl-C is for us; we stop the node in order
        )
        try:
            _wait_until_ready(process, log_path)
            yield OwnNode(directory / "data", f"ws://127.0.0.1:{ws_port}", mark)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
            shutil.rmtree(directory, ignore_errors=True)


def _wait_until_ready(process: "subprocess.Popen[bytes]", log_path: Path) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S
    while (left_s := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([process.stdout], [], [], left_s)
        line = process.stdout.readline() if ready else b""
        if line.startswith(b"Trading at "):
            return
        if ready and not line:
            break
    tail = log_path.read_text(errors="replace")[-2_000:]
    raise NodeFailedError(f"the node did not become ready; the end of its log:\n{tail}")


def free_port() -> int:
    """Return a port that is free, and below those that the system hands out by itself: a node's
    own processes take some of these before it listens on this one."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
