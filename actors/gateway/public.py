"""Methods that need no key: time, instruments, depth, trades. Answered from this host."""

from itertools import islice
from typing import TYPE_CHECKING, Final

from actors.gateway.calls import Call
from exchange.instrument import Instrument, MarketStatus
from exchange.protocol import errors, requests, results
from exchange.protocol.errors import RequestError
from exchange.protocol.exchange_info import exchange_info
from exchange.protocol.requests import is_symbol

if TYPE_CHECKING:
    from actors.gateway.gateway import Gateway
    from actors.gateway.market_data import MarketView

DEPTH_DEFAULT: Final = 100
DEPTH_MAX: Final = 5_000
TRADES_DEFAULT: Final = 500
TRADES_MAX: Final = 1_000
SYMBOLS_MAX: Final = 1_000


def ping(_: "Gateway", __: Call) -> str:
    return "{}"


def time(_: "Gateway", call: Call) -> str:
    return f'{{"serverTime":{call.received_at_ns // call.port.unit}}}'


def info(gateway: "Gateway", call: Call) -> str:
    return exchange_info(
        _markets(gateway, call),
        gateway.limits.announced(),
        call.received_at_ns,
        call.port.unit,
    )


def depth(gateway: "Gateway", call: Call) -> str:
    limit = requests.limit(call.params, DEPTH_DEFAULT, DEPTH_MAX)
    view = _live(gateway, call)
    bids, asks = view.book.top(limit)
    return results.depth_result(view.book.update_id, bids, asks, view.texts)


def recent_trades(gateway: "Gateway", call: Call) -> str:
    limit = requests.limit(call.params, TRADES_DEFAULT, TRADES_MAX)
    view = _live(gateway, call)
    trades = islice(view.recent, max(len(view.recent) - limit, 0), None)
    return results.public_trades(trades, view.texts, call.port.unit)


def _live(gateway: "Gateway", call: Call) -> "MarketView":
    """Return the market; without its full state there is nothing true to say."""
    view = gateway.market_of(call)
    if not view.is_live:
        raise RequestError(errors.DISCONNECTED)
    return view


def _markets(gateway: "Gateway", call: Call) -> list[tuple[Instrument, MarketStatus]]:
    directory = gateway.backend.directory
    symbols = _symbols(call.params)
    wanted = list(directory.instruments) if symbols is None else symbols
    rows = []
    for symbol in wanted:
        instrument = directory.instrument(symbol)
        if instrument is None:
            raise RequestError(errors.BAD_SYMBOL)
        rows.append((instrument, directory.status(symbol)))
    return rows


def _symbols(params: requests.Params) -> list[str] | None:
    if params.get("symbol") is not None:
        if params.get("symbols") is not None:
            raise RequestError(errors.BAD_COMBINATION)
        return [requests.symbol(params)]
    symbols = params.get("symbols")
    if symbols is None:
        return None
    if type(symbols) is not list or not 0 < len(symbols) <= SYMBOLS_MAX:
        raise errors.illegal("symbols", requests.SYMBOL_PATTERN)
    for symbol in symbols:
        if type(symbol) is not str or is_symbol(symbol) is None:
            raise errors.illegal("symbols", requests.SYMBOL_PATTERN)
    return symbols
