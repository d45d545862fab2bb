"""Program of a shard host: recovers its shards from the hot store and runs their pipelines."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from actors import wire
from actors.account_shard import AccountShard
from actors.control import HostControl, HostSpec
from actors.cookie import read_cookie
from actors.directory_shard import DirectoryShard
from actors.follower import Follower
from actors.host_loop import HostLoop, tune_garbage_collection
from actors.journal import Journal
from actors.market_shard import MarketShard
from actors.placement import NodePlacement, StoredPlacement
from actors.shard import Shard, ShardState
from config.logging import setup_logging
from config.schema import NodeConfig, decode_config
from exchange.errors import ExchangeError
from exchange.ids import DIRECTORY_SHARD, market_shard
from storage.factory import open_hot_store
from storage.ports import (
    BatchRecord,
    CorruptError,
    HotStore,
    OutcomeUnknownError,
    StoreError,
)

log = structlog.get_logger(__name__)

FOLLOW_AGAIN_S = 0.01
DIRECTORY_WARNING_S = 5.0  # how often it is said that the directory is not known yet
RECOVER_AGAIN_S = (0.05, 0.2, 1.0, 5.0)  # back-off while the store does not answer


class ShardHost(HostLoop):
    """A host that owns shards."""

    # Each order that is admitted makes up to three messages between shards: with equal frames
    # settlement would fall behind admission for as long as the load lasts.
    frame_share = 4

    def __init__(
        self,
        spec: HostSpec,
        config: NodeConfig,
        placement: NodePlacement,
        secret: bytes,
        store: HotStore,
        report: Any,
    ) -> None:
        super().__init__(spec.name, spec.incarnation, config, placement, secret)
        self._placement = placement
        self._store = store
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._recovering: set[str] = set()
        self._announcements: dict[tuple[str, str], None] = {}  # (peer, shard): to be told
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        has_accounts = spec.name in placement.account_hosts
        self.follower = Follower(self.core, feed="quotes" if has_accounts else "")
        self.journal = Journal(self.core, store, config.pipeline.snapshot_every_events, _join)
        core = self.core
        core.on_shard_stopped = self._on_stopped
        core.on_shard_missing = self.open_shard
        core.on_batch_closed = self.journal.due
        core.on_refill = lambda shard, lane: self._spawn(self.journal.refill(shard, lane))
        core.on_rebuild = lambda shard, entity: self._spawn(self._rebuild(shard, entity))
        core.on_history_lost = self._on_history_lost
        self.follower.on_change.append(lambda _event: self._open_markets())

    # ---------------------------------------------------------------- appending

    def append(self, records: list[BatchRecord]) -> None:
        self._spawn(self._append(records))

    async def _append(self, records: list[BatchRecord]) -> None:
        timeout_s = self.config.pipeline.append_timeout_ms / 1000
        results: list[StoreError | None]
        try:
            async with asyncio.timeout(timeout_s):
                results = await self._store.append(records)
        except TimeoutError:
            unknown = OutcomeUnknownError(f"no answer of the store for {timeout_s} s")
            results = [unknown] * len(records)
        self.core.committed(results)
        if self.core.wants_turn:
            self.turn_soon()

    # ---------------------------------------------------------------- shards

    def open_shard(self, shard_id: str) -> None:
        """Recover a shard that this host owns and does not run, unless it is on already.

        Not before the directory is known here: who sent it something sends it again. The
        directory's own shard waits for nothing.
        """
        is_due = self.follower.is_synced or shard_id == DIRECTORY_SHARD
        if is_due and shard_id not in self._recovering:
            self._recovering.add(shard_id)
            self._spawn(self._recover(shard_id))

    async def recover_all(self) -> None:
        """Recover every shard of this host, those the store knows and those it must have.

        The directory comes first, and accounts wait until it is known here: they would refuse
        for good what they have not heard of yet.
        """
        known = [
            shard_id
            for shard_id in await self._store.shards()
            if self.core.placement.host_of(shard_id) == self.core.name
        ]
        always = self._placement.shards_of(self.core.name, self.config.hosts.account_shards)
        for shard_id in dict.fromkeys([*always, *known]):
            if shard_id != DIRECTORY_SHARD:
                await self._until_directory_known()
            # A message that came meanwhile may have opened it: it serves, or will soon.
            if shard_id not in self._recovering and shard_id not in self.core.shards:
                self._recovering.add(shard_id)
                await self._recover(shard_id)
        while self._recovering:
            if self.failure.done():
                self.failure.result()
            await asyncio.sleep(FOLLOW_AGAIN_S)

    async def _until_directory_known(self) -> None:
        waited_s = 0.0
        while not self.follower.is_synced:
            self.follower.follow()
            self.turn_soon()
            await asyncio.sleep(FOLLOW_AGAIN_S)
            waited_s += FOLLOW_AGAIN_S
            if waited_s % DIRECTORY_WARNING_S < FOLLOW_AGAIN_S:
                log.warning("directory_unknown", waited_s=round(waited_s))

    def _open_markets(self) -> None:
        for symbol in self.follower.directory.instruments:
            shard_id = market_shard(symbol)
            if (
                self.core.placement.host_of(shard_id) == self.core.name
                and shard_id not in self.core.shards
            ):
                self.open_shard(shard_id)

    def _new_shard(self, shard_id: str) -> Shard:
        kind = shard_id.partition("/")[0]
        shards = self.config.hosts.account_shards
        if kind == "account":
            return AccountShard(shard_id, self.core, self.follower, shards)
        if kind == "market":
            return MarketShard(shard_id, self.core, shards)
        assert shard_id == DIRECTORY_SHARD
        return DirectoryShard(shard_id, self.core)

    async def _recover(self, shard_id: str) -> None:
        """Rebuild a shard from its stream; wait for the store as long as it takes."""
        attempt = 0
        while True:
            shard = self._new_shard(shard_id)
            self.core.shards[shard_id] = shard
            try:
                await self.journal.recover(shard)
                break
            except (CorruptError, ExchangeError, msgspec.MsgspecError, AssertionError) as error:
                shard.state = ShardState.FAILED
                log.critical("shard_failed", shard=shard_id, error=repr(error))
                self._report({"event": "shard_failed", "shard": shard_id, "error": repr(error)})
                break
            except StoreError as error:
                delay_s = RECOVER_AGAIN_S[min(attempt, len(RECOVER_AGAIN_S) - 1)]
                attempt += 1
                log.warning("store_unavailable", shard=shard_id, error=str(error), again_s=delay_s)
                await asyncio.sleep(delay_s)
        self._recovering.discard(shard_id)
        self._announcements.update(dict.fromkeys((peer, shard_id) for peer in self.core.links))
        self.turn_soon()

    async def _rebuild(self, shard: Shard, entity: int) -> None:
        """Fold a crashed entity anew once its last events are durable; again if the store fails."""
        while shard.state is ShardState.SERVING:
            if self.journal.is_durable_for(shard, entity):
                try:
                    await self.journal.rebuild(shard, entity, self._new_shard(shard.shard_id))
                except StoreError as error:
                    log.warning("rebuild_failed", shard=shard.shard_id, error=str(error))
                    await asyncio.sleep(RECOVER_AGAIN_S[-2])
                    continue
                self.turn_soon()
                return
            await asyncio.sleep(0.001)

    def _on_history_lost(self, shard: Shard, item: wire.Resend) -> None:
        """Another shard has what this stream does not: an old copy of the store was put in place.

        Going on would number messages anew that were already consumed. An operator must act.
        """
        shard.stop()
        shard.state = ShardState.FAILED
        facts = {"shard": shard.shard_id, "target": item.target, "wanted": item.first}
        log.critical("history_lost", **facts)
        self._report({"event": "history_lost", **facts})

    def _on_stopped(self, shard: Shard, error: StoreError) -> None:
        log.error("shard_stopped", shard=shard.shard_id, seq=shard.seq, error=repr(error))
        self._report({"event": "shard_stopped", "shard": shard.shard_id, "error": repr(error)})
        self.open_shard(shard.shard_id)

    # ---------------------------------------------------------------- for operators

    def status(self, _body: bytes) -> bytes:
        """Return figures of every shard and link, for the console."""
        shards = [
            {
                "shard": shard.shard_id,
                "state": shard.state.value,
                "epoch": shard.epoch,
                "seq": shard.durable_seq,
                "entities": len(shard.entities),
                "suspended": len(shard.suspended),
                "snapshot_seq": shard.snapshot_seq,
                "projected_seq": shard.projected_seq,
            }
            for shard in self.core.shards.values()
        ]
        return msgspec.msgpack.encode({"shards": shards})

    async def snapshot(self, _body: bytes) -> bytes:
        """Have every shard write a snapshot now; return their positions."""
        for shard in list(self.core.shards.values()):
            if shard.state is ShardState.SERVING:
                self.journal.want(shard)
        self.turn_soon()
        while any(self.journal.is_busy(shard) for shard in self.core.shards.values()):
            await asyncio.sleep(0.01)
        return msgspec.msgpack.encode(
            [
                {"shard": shard.shard_id, "seq": shard.snapshot_seq}
                for shard in self.core.shards.values()
            ]
        )

    # ---------------------------------------------------------------- time and end

    def ticked(self) -> None:
        for peer, shard_id in list(self._announcements):
            link = self.core.links.get(peer)
            if link is None or link.put(wire.ShardServing(shard_id)):
                del self._announcements[peer, shard_id]  # else the link is full: again next time
        self.follower.tick()
        running = self.journal.step()
        if running is not None:
            self._spawn(self.journal.write(running))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A bug in the pipeline itself: nothing here can be trusted any more.
            error = task.exception()
            if error is not None and not self.failure.done():
                self.failure.set_exception(error)

    async def drain(self) -> None:
        """Wait until all that was taken in is durable and its outputs are with the transport.

        Not until peers acknowledge: some have stopped already, and the journal is the outbox.
        """
        for _ in range(200):
            if self.core.is_quiet:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)


async def _join(pieces: Sequence[bytes]) -> bytes:
    # Of many megabytes bytes.join lets other threads run while it copies.
    return await asyncio.to_thread(b"".join, pieces)


async def run(spec: HostSpec, control: HostControl) -> None:
    """Recover, serve until told to stop, drain."""
    config = decode_config(spec.config)
    setup_logging(config.logging, host=spec.name)
    placement = StoredPlacement(config)
    secret = read_cookie(config.cookie_path)
    store = open_hot_store(config.hot_url(spec.name))
    host = ShardHost(spec, config, placement, secret, store, control.report)
    await host.start()
    await host.recover_all()
    control.on("status", host.status)
    control.on("snapshot", host.snapshot)
    tune_garbage_collection()
    control.ready()
    try:
        stopping: asyncio.Future[Any] = asyncio.ensure_future(control.stopping.wait())
        await asyncio.wait({stopping, host.failure}, return_when=asyncio.FIRST_COMPLETED)
        if host.failure.done():
            host.failure.result()
        await host.drain()
    finally:
        host.close()
        await store.close()
