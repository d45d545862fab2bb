"""Print an outcome: a table for people, one JSON object for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from console import exit_codes
from console.node import Outcome


def show(outcome: Outcome, *, as_json: bool) -> int:
    """Print the outcome and return its exit code. Refusals go to standard error, JSON never."""
    if as_json:
        facts = dict(outcome.facts)
        if outcome.rows is not None:
            facts["rows"] = outcome.rows
        print(json.dumps(facts, default=str))
        return outcome.code
    is_bad = outcome.code in (exit_codes.REFUSED, exit_codes.UNREACHABLE, exit_codes.CONFIG)
    out = sys.stderr if is_bad else sys.stdout
    for name, value in outcome.facts.items():
        # Not by rich: a secret must come out exactly as it is, ready to be copied.
        print(f"{name.replace('_', ' ')}: {_text(value)}", file=out)
    if outcome.rows is not None:
        Console(file=out, highlight=False).print(_table(outcome.rows) if outcome.rows else "(none)")
    return outcome.code


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        is_number = isinstance(rows[0][name], int) and not isinstance(rows[0][name], bool)
        table.add_column(
            name.replace("_", " "), justify="right" if is_number else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    return table


def _text(value: Any) -> str:
    match value:
        case True:
            return "yes"
        case False:
            return "no"
        case None:
            return "-"
        case str() | int() | float():
            return str(value)
        case _:
            return json.dumps(value, default=str)
