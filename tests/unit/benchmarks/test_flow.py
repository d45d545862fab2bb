"""Recorded flow is read strictly, and becomes requests that keep each order's causality."""

import gzip
from pathlib import Path

import pytest

from benchmarks.flow import FlowError, Operation, parse_operation, plan, read_flow
from exchange.instrument import Instrument
from exchange.money import UNIT

ES = Instrument(
    symbol="ESUSD", base_asset="ES", quote_asset="USD", tick_size=UNIT // 4, lot_size=UNIT
)


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("N,12,buy,19196,2,GTC\n", Operation("N", "12", "BUY", 19196, 2, "GTC")),
        ("N,13,sell,19197,1,IOC", Operation("N", "13", "SELL", 19197, 1, "IOC")),
        ("C,-12,1", Operation("C", "-12", quantity_lots=1)),
        ("C,12,1", Operation("C", "12", quantity_lots=1)),
        ("M,12,buy,19190,5", Operation("M", "12", "BUY", 19190, 5, "GTC")),
    ],
)
def test_every_kind_of_line_is_read(line: str, operation: Operation) -> None:
    assert parse_operation(line) == operation


@pytest.mark.parametrize(
    "line",
    [
        "",
        "N",
        "X,1,2",
        "N,1,hold,5,5,GTC",
        "N,1,buy,5,5,FOK",
        "N,1,buy,5.5,5,GTC",
        "N,1,buy,0,5,GTC",
        "N,1,buy,5,-1,GTC",
        "C,1",
        "C,1-2,1",
        "M,1,buy,5,5,GTC",
    ],
)
def test_a_line_that_is_no_operation_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.csv"
    path.write_text(f"C,1,1\n{line}\n")
    with pytest.raises(FlowError, match=r"flow\.csv:2: not an operation"):
        list(read_flow(path))


def test_packed_and_plain_files_read_alike(tmp_path: Path) -> None:
    text = "N,1,buy,10,1,GTC\nC,1,1\n"
    plain, packed = tmp_path / "flow.csv", tmp_path / "flow.csv.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert list(read_flow(plain)) == list(read_flow(packed))


def test_prices_are_ticks_and_quantities_lots_of_the_instrument() -> None:
    planned = list(plan([parse_operation("N,1,buy,19196,2,IOC")], ES, sessions=4))
    assert planned[0].method == "order.place"
    params = planned[0].params
    assert (params["price"], params["quantity"]) == ("4799.00000000", "2.00000000")
    assert (params["side"], params["timeInForce"]) == ("BUY", "IOC")


def test_all_of_an_order_goes_on_one_session_under_names_that_follow_each_other() -> None:
    lines = ["N,a,buy,9,1,GTC", "N,b,sell,9,1,GTC", "M,a,buy,8,1", "M,a,buy,7,2", "C,a,2", "C,b,1"]
    planned = list(plan(map(parse_operation, lines), ES, sessions=2))
    assert [request.session for request in planned] == [0, 1, 0, 0, 0, 1]
    replaces = [p.params for p in planned if p.method == "order.cancelReplace"]
    assert [
        (p["cancelOrigClientOrderId"], p["newClientOrderId"], p["cancelReplaceMode"])
        for p in replaces
    ] == [("a", "a-1", "STOP_ON_FAILURE"), ("a-1", "a-2", "STOP_ON_FAILURE")]
    cancels = [p.params["origClientOrderId"] for p in planned if p.method == "order.cancel"]
    assert cancels == ["a-2", "b"]


def test_a_cancel_of_an_order_never_seen_still_has_a_session() -> None:
    planned = list(plan([parse_operation("C,zz,1")], ES, sessions=3))
    assert (planned[0].session, planned[0].params["origClientOrderId"]) == (0, "zz")
