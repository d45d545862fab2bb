"""What must be true when a simulated node has healed: money, streams, answers, feeds.

It reads the disks and what traders were told. Sources: DESIGN.md section 6; invariants I1 to I5 and
I7 of the fault matrix. Price-time priority (I6) is the law of tests/property/test_market_laws.py.
"""

from typing import Any, cast

from actors.account_shard import AccountShard
from actors.audit import EntityDownError, audit_streams
from actors.audit_snapshots import payload_of
from actors.directory_shard import DirectoryShard
from actors.market_shard import MarketShard
from actors.shard import Shard
from actors.shard_snapshot import decode_shard_state
from exchange.account.reports import user_events
from exchange.answers import AccountPosition
from exchange.directory import snapshot as directory_snapshot
from exchange.ids import DIRECTORY_SHARD, account_shard, market_shard
from storage.codec import decode_account_entry, decode_body
from storage.memory import MemoryHotStore
from tests.simulation.history import History
from tests.simulation.traders import Traders
from tests.simulation.truth import check_answers, check_requests, check_verdicts
from tests.simulation.world import ACCOUNT_SHARDS, World, complete

NO_LIMIT = 10**6


def check_money(world: World) -> None:
    """The audit of the streams, at whatever positions they are."""
    stores = [MemoryHotStore(disk) for disk in world.disks.values()]
    try:
        report = complete(audit_streams(stores, ACCOUNT_SHARDS))
    except EntityDownError:
        return  # a process is being rebuilt: the audit of a live node tries again too
    assert report.is_clean, report.findings[:3]


def check_all(world: World, traders: Traders) -> None:
    check_money(world)
    history = History(world)
    check_streams(history)
    check_verdicts(history)
    check_requests(traders)
    check_answers(traders, history)
    check_states(world, history)
    check_directories(world)
    check_user_events(traders, history)
    check_market_data(world, traders, history)


def check_streams(history: History) -> None:
    """One writer at a time: numbers gapless, epochs never go back."""
    for shard, records in history.records.items():
        seq = epoch = 0
        for record in records:
            assert record.first_seq == seq + 1, (shard, seq, record.first_seq)
            assert record.epoch >= epoch, (shard, epoch, record.epoch)
            seq, epoch = record.last_seq, record.epoch


def check_states(world: World, history: History) -> None:
    """What is folded from the first record equals the snapshots and the live state, in bytes."""
    shards = {shard.shard_id: shard for shard in world.serving_shards()}
    assert set(shards) == set(history.records)
    for disk in world.disks.values():
        for shard_id in disk.streams:
            live = shards[shard_id]
            for kept in disk.snapshots(shard_id):
                state, folded = decode_shard_state(kept.payload), history.fold(shard_id, kept.seq)
                assert folded.seq == kept.seq, (shard_id, folded.seq, kept.seq)
                assert payload_of(folded) == state.payload, ("snapshot is not the fold", shard_id)
                _check_headers(folded, state.watermarks, state.holes)
                for target, (last, acked, _) in state.lanes.items():
                    assert folded.lane(target).last == last >= acked, (shard_id, target)
            folded = history.fold(shard_id, live.seq)
            assert folded.seq == live.seq == live.durable_seq
            assert payload_of(folded) == payload_of(live), ("live is not the fold", shard_id)
            _check_headers(folded, live.watermarks, live.holes)
            assert not any(live.holes.values()), ("a message was never applied", live.holes)
            for target, lane in live.lanes.items():
                assert folded.lane(target).last == lane.last, (shard_id, target)


def _check_headers(folded: Shard, watermarks: dict[str, int], holes: dict[str, Any]) -> None:
    assert _filled(folded.watermarks) == _filled(watermarks), folded.shard_id
    assert _holes(folded.holes) == _holes(holes), (folded.shard_id, folded.holes, holes)


def _filled(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value}


def _holes(holes: dict[str, Any]) -> dict[str, dict[int, tuple[int, ...]]]:
    return {
        source: {number: tuple(sorted(entities)) for number, entities in numbers.items()}
        for source, numbers in holes.items()
        if numbers
    }


def check_directories(world: World) -> None:
    """Every host's copy of the directory is the directory."""
    for shard in world.serving_shards():
        if isinstance(shard, DirectoryShard):
            original = directory_snapshot.encode(shard.directory)
            for host in [*world.hosts.values(), *world.hosts_without_shards.values()]:
                copy = directory_snapshot.encode(host.follower.directory)
                assert copy == original, ("a copy of the directory differs", host.name)
                assert host.follower.seq == shard.seq
            return
    raise AssertionError(f"nobody serves {DIRECTORY_SHARD}")


def check_user_events(traders: Traders, history: History) -> None:
    """What subscribers were told is what the streams say, and they were told all of it."""
    for account_id, feed in traders.subscribers.users.items():
        shard_id = account_shard(account_id, ACCOUNT_SHARDS)
        due = _reports_of(account_id, shard_id, history)
        last = max(due, default=0)
        assert feed.last == last, ("user events missing at the end", account_id, feed.last, last)
        for number, report in feed.reports.items():
            assert report == due[number], ("a user event that did not happen", report)
        for number in range(feed.first + 1, last + 1):
            in_gap = any(after < number <= upto for after, upto in feed.gaps)
            assert number in feed.reports or in_gap, ("a user event lost", account_id, number)


def _reports_of(account_id: int, shard_id: str, history: History) -> dict[int, Any]:
    shard = history.fold(shard_id, 0)
    assert isinstance(shard, AccountShard)
    reports: dict[int, Any] = {}
    for record in history.records[shard_id]:
        body = decode_body(record.payload)
        for entity, raw in zip(body.entities, body.entries, strict=True):
            if entity == account_id:
                shard.replay_entry(entity, raw)
                account = shard.accounts[account_id]
                for event in user_events(account, cast(Any, decode_account_entry(raw))):
                    if type(event) is not AccountPosition:
                        reports[event.user_seq] = event
    return reports


def check_market_data(world: World, traders: Traders, history: History) -> None:
    """Followers' books equal the markets', and every trade they saw happened."""
    shards = {shard.shard_id: shard for shard in world.serving_shards()}
    for symbol, copy in traders.subscribers.depths.items():
        shard = shards[market_shard(symbol)]
        assert isinstance(shard, MarketShard)
        market = shard.market
        assert copy.book.update_id == market.update_id, (symbol, copy.book.update_id)
        book = market.book.depth_bids(NO_LIMIT), market.book.depth_asks(NO_LIMIT)
        assert copy.book.top(NO_LIMIT) == book, ("a follower's book differs", symbol)
        for trade_id, trade in copy.trades.items():
            event = history.trades[symbol, trade_id]
            assert (trade.price_ticks, trade.quantity_lots, trade.quote_amount) == (
                event.price_ticks,
                event.quantity_lots,
                event.quote_amount,
            )
