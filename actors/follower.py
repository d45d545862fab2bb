"""What a host knows of the rest: the directory, followed by watermark, and quotes of markets."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors import wire
from exchange.directory.decider import evolve
from exchange.directory.state import Directory
from exchange.faults import CommandQuarantined
from exchange.ids import DIRECTORY_SHARD, market_shard
from exchange.instrument import Instrument
from exchange.money import UNIT
from exchange.orders import Side
from storage.codec import decode_directory_entry

if TYPE_CHECKING:
    from actors.host_core import HostCore

FOLLOW_EVERY_NS = 500_000_000


class Follower:
    """A host's copy of the directory, and (for account hosts) the quotes that protect orders.

    It is the TradingContext of accounts: what they take from here goes into their events.
    """

    def __init__(self, core: "HostCore", *, feed: str) -> None:
        """`feed` is what to follow of every market: "data", "quotes" or "" for nothing."""
        self.directory = Directory()
        self.seq = -1  # of the directory's stream; -1: nothing heard yet
        self.heard_at_ns = 0  # monotonic
        self.on_change: list[Callable[[Any], None]] = []  # with each new event
        self._core = core
        self._feed = feed
        self._quotes: dict[str, wire.Quote] = {}
        self._asked_at_ns = 0
        core.handlers[wire.DirectoryFeed] = self._on_feed
        core.handlers[wire.Quote] = self._on_quote
        core.on_peer_restarted.append(lambda _peer: self.follow())

    @property
    def is_synced(self) -> bool:
        return self.seq >= 0

    def tick(self) -> None:
        """Ask for news, which also tells how far behind this copy is. Call every tick."""
        if self._core.monotonic_ns() - self._asked_at_ns >= FOLLOW_EVERY_NS:
            self.follow()

    def follow(self) -> None:
        """Ask for everything after what is known; asking again does no harm."""
        self._asked_at_ns = self._core.monotonic_ns()
        self._core.send_to_shard(
            DIRECTORY_SHARD, wire.Follow(DIRECTORY_SHARD, "events", max(self.seq, 0))
        )
        if self._feed:
            for symbol in self.directory.instruments:
                shard = market_shard(symbol)
                self._core.send_to_shard(shard, wire.Follow(shard, self._feed, 0))

    def _on_feed(self, item: wire.DirectoryFeed, _sender: str) -> None:
        if item.is_full:
            if item.upto < self.seq:
                return  # older than what is known
            self._replace(Directory())
        elif item.after != self.seq:
            return  # the next answer to `follow` closes the gap
        self.heard_at_ns = self._core.monotonic_ns()
        self.seq = item.upto
        entries = [decode_directory_entry(raw) for raw in item.events]
        events = [event for event in entries if not isinstance(event, CommandQuarantined)]
        for event in events:
            evolve(self.directory, event)
        for event in events:
            for callback in self.on_change:
                callback(event)

    def _replace(self, fresh: Directory) -> None:
        """Begin anew in the same object: others hold on to it."""
        for field in dataclasses.fields(Directory):
            setattr(self.directory, field.name, getattr(fresh, field.name))

    def _on_quote(self, item: wire.Quote, _sender: str) -> None:
        self._quotes[item.symbol] = item

    # ---------------------------------------------------------------- TradingContext

    def instrument(self, symbol: str) -> Instrument | None:
        return self.directory.instruments.get(symbol)

    def fee_rates(self, account_id: int, symbol: str) -> tuple[int, int]:
        return self.directory.fee_rates(account_id, symbol)

    def has_asset(self, code: str) -> bool:
        return code in self.directory.assets

    def has_account(self, account_id: int) -> bool:
        return self.directory.has_account(account_id)

    def protect_ticks(self, symbol: str, side: Side) -> int:
        """Return the best opposite price, worsened by the protection; 0: none known."""
        quote = self._quotes.get(symbol)
        instrument = self.directory.instruments.get(symbol)
        if quote is None or instrument is None:
            return 0
        if side is Side.BUY:
            best = quote.ask_ticks or quote.last_ticks
            worst = best * (UNIT + instrument.protection_e8) // UNIT
            return min(worst, instrument.price_ticks_max)
        best = quote.bid_ticks or quote.last_ticks
        worst = -(-best * (UNIT - instrument.protection_e8) // UNIT)
        return max(worst, instrument.price_ticks_min) if best else 0
