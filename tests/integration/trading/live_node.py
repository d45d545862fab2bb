"""A whole node in processes of its own, started as operators start it; its hosts can be killed."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from actors.node import NodeUnreachableError, node_status
from benchmarks.client import Credentials
from benchmarks.own_node import free_port
from console.auditing import AuditUnreadableError, audit_data_dir
from console.connection import connect_node
from console.node import NodePort
from console.provision import ensure_market, new_trader
from console.users import KeyChoice
from exchange.audit import AuditReport
from exchange.instrument import Instrument
from tests.support.node_process import members

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 20.0  # of any one wait: reached only when something is wrong
POLL_S = 0.02

INSTRUMENT = Instrument(
    symbol="BTCUSDT",
    base_asset="BTC",
    quote_asset="USDT",
    tick_size=1_000_000,  # 0.01
    lot_size=1_000,  # 0.00001
    notional_min=500_000_000,  # 5
    quantity_lots_max=100_000_000,  # 1000
    market_quantity_lots_max=10_000_000,  # 100
    price_ticks_max=100_000_000,  # 1000000
    maker_rate_e8=20_000,  # 0.02 %
    taker_rate_e8=100_000,  # 0.1 %
)


async def until(condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    """Return once `condition` holds; fail, naming `what`, if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(POLL_S)


async def within(coroutine: Coroutine[Any, Any, Any], what: str) -> Any:
    """Return the coroutine's result; fail, naming `what`, if it takes too long."""
    try:
        return await asyncio.wait_for(coroutine, TIMEOUT_S)
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what}") from None


class LiveNode:
    """`run_node.py start` on `directory`/data. Started again, it is on the same data and ports."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        self.data_dir = directory / "data"
        self.log = directory / "node.log"
        self.ws_port, self.admin_port = free_port(), free_port()
        self.url = f"ws://127.0.0.1:{self.ws_port}"
        self._config = directory / "node.toml"
        self._config.write_text(settings)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it serves."""
        command = [sys.executable, str(ROOT / "run_node.py"), "start", "--log-level", "warning"]
        command += ["--config", str(self._config), "--data", str(self.data_dir)]
        command += ["--ws-port", str(self.ws_port), "--admin-port", str(self.admin_port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        assert self.process.stdout is not None
        deadline = time.monotonic() + TIMEOUT_S
        while (left_s := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self.process.stdout], [], [], left_s)
            line = self.process.stdout.readline() if ready else b""
            if line.startswith(b"Trading at "):
                return
            assert line or not ready, f"the node ended:\n{self.log_tail()}"
        raise AssertionError(f"the node did not become ready:\n{self.log_tail()}")

    def stop(self) -> int:
        """Have it end as an operator does and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def kill_all(self) -> None:
        """Kill all of its processes at once: the machine lost power, as far as it can tell."""
        assert self.process is not None
        pids = {self.process.pid, *members(os.getpgid(node_status(self.data_dir).pid))}
        for pid in pids - {os.getpid()}:
            with contextlib.suppress(ProcessLookupError):  # its parent's death was noticed first
                os.kill(pid, signal.SIGKILL)
        self._ended()

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(TIMEOUT_S)
            if self.process.poll() is None:
                self.kill_all()

    def _ended(self) -> int:
        assert self.process is not None and self.process.stdout is not None
        code = self.process.wait(TIMEOUT_S)
        self.process.stdout.close()
        return code

    # ---------------------------------------------------------------- its hosts

    def pid_of(self, name: str) -> int:
        """Return the pid of a host that is ready, 0 while it is not."""
        try:
            hosts = node_status(self.data_dir).hosts
        except NodeUnreachableError:
            return 0
        return next((host.pid for host in hosts if (host.name, host.phase) == (name, "ready")), 0)

    def signal_host(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a host and return the pid that got it."""
        pid = self.pid_of(name)
        assert pid, f"{name} is not ready"
        os.kill(pid, number)
        return pid

    async def restarted(self, name: str, former_pid: int) -> None:
        await until(lambda: self.pid_of(name) not in (0, former_pid), f"{name} restarted")

    # ---------------------------------------------------------------- what operators do

    async def traders(
        self, choices: Mapping[str, KeyChoice], deposits: Mapping[str, int]
    ) -> dict[str, Credentials]:
        """Open the market and create traders, each with a key and the same money."""
        async with connect_node(self.data_dir) as operator:
            await ensure_market(operator, INSTRUMENT)
            return {
                name: await new_trader(operator, name, choice, deposits)
                for name, choice in choices.items()
            }

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator[NodePort]:
        async with connect_node(self.data_dir) as operator:
            yield operator

    async def settled_audit(self) -> AuditReport:
        """Return the audit once no message is on its way; nobody trades meanwhile."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                report = await audit_data_dir(self.data_dir)
                if report.findings or not report.unconsumed:
                    return report
                trouble = f"{report.unconsumed} messages on their way"
            except AuditUnreadableError as error:
                trouble = str(error)
            assert time.monotonic() < deadline, f"waited in vain: settled: {trouble}"
            await asyncio.sleep(POLL_S)

    def command(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run a command of the real command line; return its exit code and its JSON."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "run_node.py"), *words, "--data", self.data_dir, "--json"],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        facts = json.loads(done.stdout) if done.stdout.strip() else {}
        assert not done.stderr or done.returncode == 2, done.stderr.decode()
        return done.returncode, facts

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-3_000:]
