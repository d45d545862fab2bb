"""Print an outcome: a table for people, one JSON object for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from console import exit_codes
from console.node import Outcome

# A row is one line on any terminal: an amount that is folded at a column's edge is misread.
WIDTH_MAX = 1000


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
        table = _table(outcome.rows) if outcome.rows else "(none)"
        Console(file=out, highlight=False, width=WIDTH_MAX).print(table)
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
        case Mapping():
            # What is empty says nothing to a person.
            return ", ".join(f"{key} {_nested(item)}" for key, item in value.items() if item)
        case _:
            return json.dumps(value, default=str)


def _nested(value: Any) -> str:
    return f"({_text(value)})" if isinstance(value, Mapping) else _text(value)
