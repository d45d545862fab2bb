"""Figures come out as a table and as lines that a program can read."""

import json

from rich.console import Console

from benchmarks.__main__ import header, lines, table

FIGURES = [
    {"name": "e2e_p50_ms", "value": 1.25, "unit": "ms", "extra": "not printed"},
    {"name": "book_only_msgs_per_s", "value": 512_000, "unit": "1/s"},
]


def test_each_line_is_one_figure_of_name_value_and_unit() -> None:
    assert [json.loads(line) for line in lines(FIGURES)] == [
        {"name": "e2e_p50_ms", "value": 1.25, "unit": "ms"},
        {"name": "book_only_msgs_per_s", "value": 512_000, "unit": "1/s"},
    ]


def test_the_table_has_a_row_for_each_figure() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table(FIGURES))
    assert "512,000" in captured.get()
    assert "1.25" in captured.get()


def test_the_header_names_machine_commit_and_what_failed() -> None:
    head = header(quick=True, failed=["e2e"])
    assert head["cores"] >= 1
    assert head["python"].startswith("3.")
    assert (head["quick"], head["failed"]) == (True, ["e2e"])
    assert set(head) >= {"machine", "commit", "cpu", "at"}
