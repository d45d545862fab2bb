"""All measurements: `python -m benchmarks [--quick]`; a table, then one JSON object a line."""

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
# Each has run(quick) -> [{"name", "value", "unit"}]; from the smallest part to the whole.
MODULES = ("book", "light", "link", "cluster", "recovery", "e2e")


def main() -> int:
    """Run the measurements and return 1 if one of them failed, after having run the others."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="all measurements")
    parser.add_argument("--quick", action="store_true", help="within 50 s, less exact")
    parser.add_argument("only", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.only) - set(MODULES))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    progress = Console(stderr=True)
    figures: list[dict[str, Any]] = []
    failed: list[str] = []
    for module in arguments.only or MODULES:
        progress.print(f"{module} ...")
        began = time.monotonic()
        try:
            figures += importlib.import_module(f"benchmarks.{module}").run(arguments.quick)
        except Exception:  # noqa: BLE001 (one that fails must not hide what the others measured)
            progress.print_exception()
            failed.append(module)
        progress.print(f"{module}: {time.monotonic() - began:.1f} s")
    Console().print(table(figures))
    print(json.dumps(header(arguments.quick, failed)))
    for line in lines(figures):
        print(line)
    return 1 if failed else 0


def table(figures: Iterable[dict[str, Any]]) -> Table:
    """Return the figures as a table for people."""
    shown = Table(box=None, header_style="bold")
    shown.add_column("measurement")
    shown.add_column("value", justify="right")
    shown.add_column("unit")
    for figure in figures:
        value = figure["value"]
        text = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
        shown.add_row(str(figure["name"]), text, str(figure["unit"]))
    return shown


def lines(figures: Iterable[dict[str, Any]]) -> list[str]:
    """Return one JSON object a figure, of name, value and unit alone."""
    return [json.dumps({key: f[key] for key in ("name", "value", "unit")}) for f in figures]


def header(quick: bool, failed: list[str]) -> dict[str, Any]:
    """Return what the figures are worth nothing without: machine, commit, kind of run."""
    return {
        "machine": platform.node(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": platform.platform(),
        "commit": _commit(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "failed": failed,
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """Return the commit, with a plus sign where files differ from it; "" outside of git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
