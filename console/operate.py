"""`status`, `stop`, `audit`, `snapshot`: how the node is."""

from pathlib import Path
from typing import Any

import msgspec

from console.exit_codes import FINDINGS, OK, UNREACHABLE
from console.node import NodePort, Outcome, unreachable


def status(data_dir: Path) -> Outcome:
    """Ask the node supervisor about its processes."""
    from actors.node import NodeUnreachableError, node_status

    try:
        return _with_rows(msgspec.to_builtins(node_status(data_dir)), "hosts")
    except NodeUnreachableError as error:
        return unreachable(error)


def stop(data_dir: Path) -> Outcome:
    """Stop the node in order and wait until all its processes are gone."""
    from actors.node import NodeUnreachableError, stop_node

    try:
        was_running = stop_node(data_dir)
    except NodeUnreachableError as error:
        return unreachable(error)
    return Outcome({"stopped": was_running}, code=OK if was_running else UNREACHABLE)


async def snapshot(node: NodePort) -> Outcome:
    """Have every shard write a snapshot now."""
    return _with_rows(await node.snapshot(), "shards")


async def audit(node: NodePort) -> Outcome:
    """Recompute all money from the journals; the outcome is FINDINGS unless it is clean."""
    report = await node.audit()
    facts: dict[str, Any] = msgspec.to_builtins(report)
    facts["is_clean"] = bool(report.is_clean)
    code = OK if report.is_clean else FINDINGS
    return msgspec.structs.replace(_with_rows(facts, "findings"), code=code)


def _with_rows(facts: dict[str, Any], name: str) -> Outcome:
    """Return an outcome whose rows are the list `name` of the facts."""
    return Outcome({key: value for key, value in facts.items() if key != name}, facts.get(name))
