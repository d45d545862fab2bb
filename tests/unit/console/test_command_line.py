"""What is typed is understood or refused with a sentence that names the argument."""

import json

import pytest
from typer.testing import CliRunner

from console import exit_codes
from console.app import app
from console.arguments import instrument, rate, units
from console.node import Outcome
from console.output import show
from exchange.money import UNIT

MARKET_ADD = ["market", "add", "X", "--base", "A", "--quote", "B"]
WRONG = [
    (["deposit", "x", "USDT", "1"], "account"),
    (["deposit", "0", "USDT", "1"], "account"),
    (["deposit", "1", "USDT", "1e5"], "AMOUNT"),
    (["deposit", "1", "USDT", "0.000000001"], "more than 8 decimals"),
    (["deposit", "1", "USDT", "92233720368.54775808"], "more than 92233720368.54775807"),
    (["key", "create", "--user", "1", "--type", "dsa"], "--type"),
    (["key", "create", "--user", "1", "--type", "hmac", "--permissions", "fly"], "--permissions"),
    (["key", "create", "--user", "1", "--type", "hmac", "--public-key", "f"], "--public-key"),
    (["key", "create", "--user", "1", "--type", "hmac", "--address", "pear"], "--address"),
    (["market", "halt", "BTCUSDT"], "--reason"),
    (
        [
            "market",
            "add",
            "X",
            "--base",
            "A",
            "--quote",
            "B",
            "--tick",
            "0.00000001",
            "--lot",
            "1e3",
        ],
        "--lot",
    ),
    (
        [*MARKET_ADD, "--tick", "0", "--lot", "1"],
        "positive multiple",
    ),
    (["fly"], "No such command"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG)
def test_a_wrong_command_line_is_exit_code_2_and_names_the_argument(
    arguments: list[str], named: str
) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == exit_codes.USAGE
    assert named in result.output


@pytest.mark.parametrize(
    "command",
    [
        [],
        *(["start"], ["stop"], ["demo"], ["status"], ["audit"], ["snapshot"]),
        *(["deposit"], ["withdraw"], ["user", "create"], ["key", "create"], ["key", "revoke"]),
        *(["asset", "add"], ["market", "add"], ["market", "halt"], ["market", "resume"]),
        *(["market", "cancel-only"], ["market", "list"]),
    ],
)
def test_every_command_teaches_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == exit_codes.OK
    assert "Example: run_node.py" in result.output or not command


def test_a_bad_setting_ends_the_start_with_one_sentence() -> None:
    result = CliRunner().invoke(app, ["start", "--ws-port", "0"])
    assert result.exit_code == exit_codes.CONFIG
    assert result.output.count("\n") == 1
    assert "gateway.ws_port: must be a whole number" in result.output


def test_sizes_and_fees_become_integers() -> None:
    built = instrument(
        "BTCUSDT",
        "BTC",
        "USDT",
        "0.01",
        "0.001",
        maker_fee="0.1%",
        taker_fee="0.002",
        price_max="100000",
        quantity_min="0.01",
        notional_min="10",
        protection="2%",
        stp="none",
        band_up="",
    )
    assert (built.tick_size, built.lot_size) == (UNIT // 100, UNIT // 1000)
    assert (built.maker_rate_e8, built.taker_rate_e8) == (100_000, 200_000)
    assert (built.price_ticks_max, built.quantity_lots_min) == (10_000_000, 10)
    assert (built.notional_min, built.protection_e8) == (10 * UNIT, 2_000_000)
    assert (built.stp_default, built.band_up_e8) == (0, 5 * UNIT)


def test_percent_and_proportion_are_the_same_rate() -> None:
    assert rate("0.1%", "x") == rate("0.001", "x") == 100_000


def test_a_price_between_two_ticks_is_refused() -> None:
    with pytest.raises(Exception, match="not a multiple"):
        units("0.015", UNIT // 100, "--price-min")


@pytest.mark.parametrize("code", [exit_codes.OK, exit_codes.REFUSED])
def test_json_goes_to_standard_output_whatever_the_outcome(
    capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert show(Outcome({"a": 1}, [{"b": True}], code), as_json=True) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": 1, "rows": [{"b": True}]}
    assert captured.err == ""


def test_for_people_refusals_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show(Outcome({"refused": "market_closed"}, code=exit_codes.REFUSED), as_json=False)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "refused: market_closed\n")


def test_a_secret_is_printed_exactly_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "[bold]" + "x" * 200 + ":smile:"
    show(Outcome({"secret": secret}), as_json=False)
    assert capsys.readouterr().out == f"secret: {secret}\n"


def test_rows_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        Outcome({}, [{"market": "A", "is_open": True}, {"market": "B", "is_open": None}]),
        as_json=False,
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["market", "is", "open"], ["A", "yes"], ["B", "-"]]


def test_a_row_is_one_line_however_long_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    row = dict.fromkeys(("available", "held", "fees", "external"), "92233720368.54775807")
    show(Outcome({}, [row, row]), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [list(row), list(row.values()), list(row.values())]


def test_for_people_what_is_empty_is_left_out_of_a_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reports = {"projection": {"state": "projecting", "error": "", "set_aside": {}}}
    show(Outcome({"reports": reports}), as_json=False)
    assert capsys.readouterr().out == "reports: projection (state projecting)\n"
