"""Recorded order flow: a text file of operations in, requests of the public API out.

One operation a line: `N,<id>,<buy|sell>,<price>,<quantity>,<GTC|IOC>` new, `C,<id>,<quantity>`
cancel, `M,<id>,<buy|sell>,<price>,<quantity>` replace. Prices are in ticks, quantities in lots.
"""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from exchange.instrument import Instrument
from exchange.protocol.decimals import DecimalTexts

_SIDES = {"buy": "BUY", "sell": "SELL"}


class FlowError(Exception):
    """A line is not an operation; the text names file and line."""


class Operation(NamedTuple):
    """One line. A cancel has neither side nor price."""

    kind: str  # "N", "C" or "M"
    flow_id: str
    side: str = ""
    price_ticks: int = 0
    quantity_lots: int = 0
    time_in_force: str = ""


class Planned(NamedTuple):
    """A request, and the session on which it must go."""

    session: int
    method: str
    params: dict[str, Any]


def read_flow(path: Path) -> Iterator[Operation]:
    """Yield the operations of a file, packed with gzip or not.

    Raises:
        FlowError: a line is not an operation.
        OSError: not readable.
    """
    is_packed = path.suffix == ".gz"
    with gzip.open(path, "rt") if is_packed else path.open() as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield parse_operation(line)
            except (ValueError, KeyError, IndexError) as error:
                raise FlowError(f"{path}:{number}: not an operation: {line.strip()!r}") from error


def parse_operation(line: str) -> Operation:
    """Return the operation of one line; ValueError, KeyError or IndexError for anything else."""
    fields = line.strip().split(",")
    kind, flow_id = fields[0], fields[1]
    if not flow_id.removeprefix("-").isalnum():
        raise ValueError(flow_id)
    if kind == "C" and len(fields) == 3:
        return Operation("C", flow_id, quantity_lots=_positive(fields[2]))
    if kind == "N" and len(fields) == 6 and fields[5] in ("GTC", "IOC"):
        price, quantity = _positive(fields[3]), _positive(fields[4])
        return Operation("N", flow_id, _SIDES[fields[2]], price, quantity, fields[5])
    if kind == "M" and len(fields) == 5:
        price, quantity = _positive(fields[3]), _positive(fields[4])
        return Operation("M", flow_id, _SIDES[fields[2]], price, quantity, "GTC")
    raise ValueError(kind)


def plan(
    operations: Iterable[Operation], instrument: Instrument, sessions: int
) -> Iterator[Planned]:
    """Yield the requests of a flow, in its order.

    All that concerns one order goes on one session, and names orders by client order ids that are
    known beforehand, so that nothing need wait for an answer: the session's order is enough.
    """
    prices = DecimalTexts(instrument.tick_size)
    quantities = DecimalTexts(instrument.lot_size)
    symbol = instrument.symbol
    homes: dict[str, int] = {}  # flow id -> session; bounded by the flow
    replaced: dict[str, int] = {}  # flow id -> how often
    for operation in operations:
        flow_id = operation.flow_id
        session = homes.setdefault(flow_id, len(homes) % sessions)
        turn = replaced.get(flow_id, 0)
        current = _client_order_id(flow_id, turn)
        if operation.kind == "C":
            params = {"symbol": symbol, "origClientOrderId": current}
            yield Planned(session, "order.cancel", params)
            continue
        order = {
            "symbol": symbol,
            "side": operation.side,
            "type": "LIMIT",
            "timeInForce": operation.time_in_force,
            "price": prices[operation.price_ticks],
            "quantity": quantities[operation.quantity_lots],
            "newClientOrderId": current,
            "newOrderRespType": "FULL",
        }
        if operation.kind == "N":
            yield Planned(session, "order.place", order)
            continue
        replaced[flow_id] = turn + 1
        order["newClientOrderId"] = _client_order_id(flow_id, turn + 1)
        order["cancelOrigClientOrderId"] = current
        order["cancelReplaceMode"] = "STOP_ON_FAILURE"
        yield Planned(session, "order.cancelReplace", order)


def _client_order_id(flow_id: str, turn: int) -> str:
    return f"{flow_id}-{turn}" if turn else flow_id


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise ValueError(text)
    return value
