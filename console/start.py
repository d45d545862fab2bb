"""`start`: read the settings, build the node, run it until told to stop. The composition root."""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.control import HostSpec
from actors.node_messages import NodeOptions
from config.load import ConfigError, load_config, override
from config.logging import get_logger, setup_logging
from config.schema import NodeConfig, encode_config
from console import exit_codes

log = get_logger(__name__)

ROOT = Path(__file__).resolve().parent.parent
DEMO_STOP_S = 5  # then it is killed
# Of a node's progress; the node's own processes log the rest themselves.
_TOLD_HERE = frozenset({"started", "ready", "stopping", "ended"})


@dataclass(frozen=True, slots=True)
class StartOptions:
    """The command line of `start`; None leaves what the settings say."""

    config: Path | None = None
    data: Path | None = None
    demo: bool = False
    host: str | None = None
    ws_port: int | None = None
    admin_port: int | None = None
    log_level: str | None = None
    log_format: str | None = None


def settings(options: StartOptions) -> NodeConfig:
    """Return the settings that file and command line make together, the data directory absolute.

    Raises:
        ConfigError: as config.load.
    """
    config = load_config(options.config)
    data = options.data if options.data is not None else Path(config.node.data_dir)
    config = override(config, "node", data_dir=str(data.absolute()), admin_port=options.admin_port)
    config = override(config, "gateway", host=options.host, ws_port=options.ws_port)
    return override(config, "logging", level=options.log_level, format=options.log_format)


def node_options(config: NodeConfig) -> NodeOptions:
    """Return the node that the settings describe: which hosts, in which order they start.

    The projection comes last: should it give up, nothing else is started again with it.
    """
    hosts = [
        *(("shards", f"accounts-{n}") for n in range(1, config.hosts.account_hosts + 1)),
        *(("shards", f"markets-{n}") for n in range(1, config.hosts.market_hosts + 1)),
        ("gateway", "gateway-1"),
    ]
    if config.projection.enabled:
        hosts.append(("projection", "projection"))
    encoded = encode_config(config)
    return NodeOptions(
        name=config.node.name,
        data_dir=config.node.data_dir,
        admin_port=config.node.admin_port,
        bind_address=config.node.bind_address,
        cookie_file=config.cookie_path,
        hang_deadline_ms=config.node.hang_deadline_ms,
        stop_timeout_ms=config.node.stop_deadline_ms,
        hosts=tuple(
            HostSpec(name=name, kind=kind, data_dir=config.node.data_dir, config=encoded)
            for kind, name in hosts
        ),
    )


def start_and_run(options: StartOptions) -> int:
    """Run a node and return the exit code of the command."""
    from actors.client import publish_config
    from actors.node import NodeStartError, run_node
    from actors.placement import check_layout
    from storage.ports import StoreError

    try:
        config = settings(options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return exit_codes.CONFIG
    setup_logging(config.logging, host=config.node.name)
    data_dir = Path(config.node.data_dir)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir.chmod(0o700)  # it holds everybody's money and keys
    except OSError as error:
        print(f"{data_dir}: cannot be created: {error.strerror}.", file=sys.stderr)
        return exit_codes.CONFIG
    address = f"ws://{config.gateway.host}:{config.gateway.ws_port}"

    def on_progress(event: dict[str, Any]) -> None:
        facts = {name: value for name, value in event.items() if name != "event"}
        log.log(
            logging.INFO if event["event"] in _TOLD_HERE else logging.DEBUG,
            f"node_{event['event']}",
            **facts,
        )
        if event["event"] == "started":
            publish_config(config)  # not before: another node may have been running here
        if event["event"] == "ready":
            print(f"Trading at {address}/ws-api/v3 and {address}/ws (Ctrl-C stops).", flush=True)

    try:
        check_layout(config)
        with _demo(config, options) if options.demo else contextlib.nullcontext():
            code = run_node(node_options(config), on_progress)
    except StoreError as error:
        print(f"{data_dir}: {error}.", file=sys.stderr)
        return exit_codes.CONFIG
    except NodeStartError as error:
        print(error, file=sys.stderr)
        return exit_codes.NODE_FAILED
    return exit_codes.OK if code == 0 else exit_codes.NODE_FAILED


def run_demo_here(options: StartOptions, parent_pid: int) -> int:
    """Be the demo's process; return the exit code of the command."""
    from console.demo import run_demo

    try:
        config = settings(options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return exit_codes.CONFIG
    setup_logging(config.logging, host="demo")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_demo(config, parent_pid=parent_pid))
    return exit_codes.OK


@contextlib.contextmanager
def _demo(config: NodeConfig, options: StartOptions) -> Iterator[None]:
    """Run the demo in a process of its own, which ends with this one."""
    command = [sys.executable, str(ROOT / "run_node.py"), "demo", "--parent", str(os.getpid())]
    if options.config is not None:
        command += ["--config", str(options.config)]
    command += ["--data", config.node.data_dir]
    command += ["--host", config.gateway.host, "--ws-port", str(config.gateway.ws_port)]
    command += ["--log-level", config.logging.level, "--log-format", config.logging.format]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(DEMO_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
