"""A request under way: who asked, what is still to be answered, and what the answer needs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    PlaceOrder,
    ReadAccount,
    ReplaceOrder,
)
from exchange.answers import Answer
from exchange.protocol.errors import DialectError
from exchange.protocol.requests import Params
from exchange.protocol.texts import MarketTexts

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway

PendingCommand = (
    PlaceOrder | CancelOrder | CancelAllOrders | ReplaceOrder | AmendOrder | ReadAccount
)


# Makes the result of an answer, or raises RequestError (ReplaceError with its data).
Complete = Callable[["Gateway", "Call", Answer], str | None]


class Port(Protocol):
    """Where a call came from and its answer goes: a WebSocket session, later also REST."""

    address: str
    unit: int  # ns in one unit of time on the wire
    pending: int  # calls that wait for an answer of the exchange

    def deliver(self, call: "Call", answer: Answer | DialectError | str) -> None:
        """Hand over, to the port's own process, what ends the call: the exchange's answer, a
        refusal, or a result that is ready."""


class Call:
    """Made for each request; one object from decoding to answer."""

    __slots__ = (
        "account_id",
        "after_ns",
        "command",
        "complete",
        "deadline_ns",
        "detail",
        "has_placed",
        "id",
        "identity",
        "is_asked",
        "method",
        "params",
        "port",
        "received_at_ns",
        "request_id",
        "shard",
        "texts",
    )

    def __init__(
        self, port: Port, id_json: str, method: str, params: Params, received_at_ns: int
    ) -> None:
        self.port = port
        self.id = id_json
        self.method = method
        self.params = params
        self.received_at_ns = received_at_ns
        self.account_id = 0
        self.identity = b""
        self.request_id = 0  # 0 until it waits for an answer (pending.py)
        self.shard = ""  # of the account
        self.texts: MarketTexts | None = None  # of the market that it is about
        self.is_asked = False  # its account was asked for the outcome
        self.has_placed = False  # an order: the response tells the counts of orders
        self.command: PendingCommand | None = None
        self.detail = ""  # what the answer needs besides the command: ACK, RESULT or FULL
        self.complete: Complete | None = None
        self.after_ns = 0  # when to ask what became of it
        self.deadline_ns = 0
