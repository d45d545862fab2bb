"""`asset add` and `market ...`: what can be traded, and whether it may be now."""

import time

from console.node import NO_REQUEST, NOBODY, NodePort, Outcome, refused, unexpected
from exchange.answers import Answer, DirectoryDone, Refused
from exchange.directory.commands import AddAsset, AddMarket, SetMarketStatus
from exchange.instrument import Instrument, MarketStatus
from exchange.protocol.decimals import amount_text


async def add_asset(node: NodePort, code: str, name: str) -> Outcome:
    """Make an asset known."""
    answer = await node.directory(AddAsset(code, name, time.time_ns(), NOBODY, NO_REQUEST))
    return _done(answer, {"asset": code, "name": name})


async def add_market(node: NodePort, instrument: Instrument) -> Outcome:
    """Open a market; both its assets must be known."""
    answer = await node.directory(AddMarket(instrument, time.time_ns(), NOBODY, NO_REQUEST))
    return _done(answer, _facts(instrument, MarketStatus.TRADING))


async def set_status(node: NodePort, symbol: str, status: MarketStatus, reason: str) -> Outcome:
    """Halt a market, let it trade again, or take nothing but cancels; the book stays as it is."""
    answer = await node.directory(
        SetMarketStatus(symbol, status, reason, time.time_ns(), NOBODY, NO_REQUEST)
    )
    return _done(answer, {"symbol": symbol, "status": status.name.lower(), "reason": reason})


async def list_markets(node: NodePort) -> Outcome:
    """List all markets with their sizes and fees."""
    markets = await node.markets()
    return Outcome({"markets": len(markets)}, [_facts(*market) for market in markets])


def _facts(instrument: Instrument, status: MarketStatus) -> dict[str, object]:
    return {
        "symbol": instrument.symbol,
        "status": status.name.lower(),
        "base": instrument.base_asset,
        "quote": instrument.quote_asset,
        "tick": _short(instrument.tick_size),
        "lot": _short(instrument.lot_size),
        "maker_fee": _short(instrument.maker_rate_e8),
        "taker_fee": _short(instrument.taker_rate_e8),
    }


def _short(amount: int) -> str:
    """Return 10**-8 units as the shortest decimal text."""
    return amount_text(amount).rstrip("0").rstrip(".")


def _done(answer: Answer, facts: dict[str, object]) -> Outcome:
    match answer:
        case DirectoryDone():
            return Outcome(facts)
        case Refused():
            return refused(answer)
        case _:
            return unexpected(answer)
