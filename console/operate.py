"""`status`, `stop`, `audit`, `snapshot`: how the node is."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from console.exit_codes import FINDINGS, OK, UNREACHABLE
from console.node import NodePort, Outcome, unreachable
from exchange.audit import AssetLine, AuditReport
from exchange.protocol.decimals import amount_text


def status(data_dir: Path) -> Outcome:
    """Ask the node supervisor about its processes."""
    from actors.node import NodeUnreachableError, node_status

    try:
        facts: dict[str, Any] = msgspec.to_builtins(node_status(data_dir))
        del facts["type"]  # the message's tag
        return _with_rows(facts, "hosts")
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


def audit(data_dir: Path) -> Outcome:
    """Recompute all money from the journals; the outcome is FINDINGS unless it is clean.

    Its rows are the findings, or the assets where there are none.
    """
    from actors.client import NodeUnreachableError
    from console.auditing import AuditUnreadableError, audit_data_dir
    from storage.ports import StoreError

    try:
        return audited(asyncio.run(audit_data_dir(data_dir)))
    except (NodeUnreachableError, AuditUnreadableError, StoreError) as error:
        return unreachable(error)


def audited(report: AuditReport) -> Outcome:
    """Return the outcome of an audit."""
    facts = {
        "is_clean": report.is_clean,
        "accounts": report.accounts,
        "open_orders": report.open_orders,
        "trades": report.trades,
        "messages_on_their_way": report.unconsumed,
        "live_states_rebuilt": report.snapshots,
        "findings": len(report.findings),
    }
    if not report.is_clean:
        return Outcome(facts, [msgspec.to_builtins(f) for f in report.findings], FINDINGS)
    assets = [_asset_row(line) for line in report.assets]
    return Outcome(facts, assets, OK)


def _asset_row(line: AssetLine) -> dict[str, Any]:
    row = {"asset": line.asset}
    for name in ("available", "held", "fees", "clearing", "external", "difference"):
        row[name] = amount_text(getattr(line, name))
    return row


def _with_rows(facts: dict[str, Any], name: str) -> Outcome:
    """Return an outcome whose rows are the list `name` of the facts."""
    return Outcome({key: value for key, value in facts.items() if key != name}, facts.get(name))
