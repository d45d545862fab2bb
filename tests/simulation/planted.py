"""Bugs put in on purpose, each one that was ours or could be: the checker must find them."""

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from actors import wire
from actors.batch import encode
from actors.host_core import HostCore
from actors.journal import Journal
from actors.link import Link
from actors.shard import Shard
from actors.wire import Frame
from exchange.account.state import Account
from exchange.market.events import OrderRejected, TradeExecuted
from tests.simulation.shards import (
    ChokingAccount,
    SimulatedAccountShard,
    SimulatedMarketShard,
    SimulatedShards,
)

Planted = Callable[[], dict[str, Any]]


def in_shards(mixin: type) -> Planted:
    """Return what makes a World whose shards of both kinds have the methods of `mixin`."""
    account = type("PlantedAccountShard", (mixin, SimulatedAccountShard), {})
    market = type("PlantedMarketShard", (mixin, SimulatedMarketShard), {})
    shards = type("PlantedShards", (SimulatedShards,), {})
    shards.account_shard, shards.market_shard = account, market  # type: ignore[attr-defined]
    return lambda: {"shards": shards()}


def _in_accounts(process: type[ChokingAccount]) -> Planted:
    class PlantedAccountShard(SimulatedAccountShard):
        def behaviour_of(self, entity: int) -> ChokingAccount:
            return process(self, super().behaviour_of(entity).account)

    class PlantedShards(SimulatedShards):
        account_shard = PlantedAccountShard

    return lambda: {"shards": PlantedShards()}


class GapJumpingShard(Shard):
    """Takes whatever number comes next: what was lost before it never happened."""

    def on_numbered(self, item: wire.Numbered, now_ns: int) -> None:
        watermark = self.watermarks.get(item.source, 0)
        if item.messages and item.first > watermark + 1:
            self.watermarks[item.source] = item.first - 1
        super().on_numbered(item, now_ns)


class EarlyAcknowledgingShard(Shard):
    """Says that messages are durable when they are taken in."""

    def on_numbered(self, item: wire.Numbered, now_ns: int) -> None:
        super().on_numbered(item, now_ns)
        taken = self.applied(item.source)
        self.host.send_watermark(item.source, self.shard_id, taken)


class EarlyAnsweringShard(Shard):
    """Answers before the record is durable."""

    def answer(self, reply_to: str, answer: Any) -> None:
        if reply_to:
            self.host.send_answer(reply_to, Raw(encode(answer)))


class ReplayingShard(Shard):
    """Takes a message again that it has had."""

    def on_numbered(self, item: wire.Numbered, now_ns: int) -> None:
        watermark = self.watermarks.get(item.source, 0)
        if item.messages and item.first == watermark:
            self.watermarks[item.source] = watermark - 1
        super().on_numbered(item, now_ns)


class ReplayingLink(Link):
    """Hands a frame on again that it has handed on."""

    def _take_data(self, frame: Frame) -> list[Frame]:
        taken = super()._take_data(frame)
        return taken or ([frame] if frame.seq == self._received else [])


class ResendAcknowledgingCore(HostCore):
    """Takes "send from n on" as "n - 1 is durable here"."""

    def _on_resend(self, item: wire.Resend, _sender: str) -> None:
        shard = self._serving(item.source)
        lane = shard.lanes.get(item.target) if shard is not None else None
        if lane is not None and item.first <= lane.released + 1:
            lane.acknowledge(item.first - 1, self.monotonic_ns())
        super()._on_resend(item, _sender)


class AskingShard(Shard):
    """Asks again for what follows after everything it takes, which does no harm by itself."""

    def on_numbered(self, item: wire.Numbered, now_ns: int) -> None:
        super().on_numbered(item, now_ns)
        self._ask_again(item.source, now_ns)


class HastyJournal(Journal):
    """Copies entities that crashed half way."""

    def due(self, shard: Shard) -> None:
        if shard.seq - shard.snapshot_begun_seq >= 4 and shard.shard_id not in self._snapshots:
            self.begin_snapshot(shard)


class ForgetfulShard(SimulatedAccountShard):
    """Forgets which messages wait in the mailboxes of suspended entities: they are taken twice."""

    def _is_due(
        self, source: str, number: int, entity: int, holes: dict[int, tuple[int, ...]]
    ) -> bool:
        is_waiting = (source, number, entity) in self.kept
        is_first_time = self.is_hiccup(f"again-{source}-{number}-{entity}", "again")
        return (is_waiting and is_first_time) or super()._is_due(source, number, entity, holes)


class ForgetfulShards(SimulatedShards):
    account_shard = ForgetfulShard


class WideHoleShard(Shard):
    """Thinks that a message is applied when one of the two accounts that it concerns had it."""

    def close_hole(self, source: str, number: int, entity: int) -> None:
        for owner in self.holes.get(source, {}).get(number, ()):
            super().close_hole(source, number, owner)


class KeepingAccount(ChokingAccount):
    """Does not release the hold of an order that the market rejected."""

    def handle(self, message: Any) -> None:
        item = message[1]
        before = _held(self.account, item.order_ref) if type(item) is OrderRejected else None
        super().handle(message)
        if before is not None:
            asset, amount = before
            self.account.balances[asset].available -= amount
            self.account.balances[asset].held += amount


def _held(account: Account, order_ref: int) -> tuple[str, int]:
    order = account.orders[order_ref]
    return order.hold_asset, order.hold_left


class GreedyAccount(ChokingAccount):
    """Applies some fills twice."""

    def handle(self, message: Any) -> None:
        super().handle(message)
        if type(message[1]) is TradeExecuted and message[1].trade_id % 7 == 0:
            super().handle(message)


# Name -> (the family that should show it, within how many seeds, what is planted).
PLANTED: dict[str, tuple[str, int, Planted]] = {
    "a watermark jumps a gap": ("unknown-appends", 10, in_shards(GapJumpingShard)),
    "acknowledged before the commit": ("unknown-appends", 10, in_shards(EarlyAcknowledgingShard)),
    "answered before the commit": ("unknown-appends", 10, in_shards(EarlyAnsweringShard)),
    "a message is taken again": ("crashes-bad-network", 10, in_shards(ReplayingShard)),
    "a frame is taken again": ("bad-network", 10, lambda: {"link_type": ReplayingLink}),
    "a resend acknowledges": (
        "unknown-appends",
        10,
        lambda: {**in_shards(AskingShard)(), "core_type": ResendAcknowledgingCore},
    ),
    "a snapshot of a half change": ("poison", 10, lambda: {"journal_type": HastyJournal}),
    "a hole is taken twice": ("settlements", 20, lambda: {"shards": ForgetfulShards()}),
    "a hole closes for both": ("settlements", 20, in_shards(WideHoleShard)),
    "a hold stays after a rejection": ("quiet", 5, _in_accounts(KeepingAccount)),
    "a fill is applied twice": ("quiet", 5, _in_accounts(GreedyAccount)),
}
