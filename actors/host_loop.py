"""Runs a HostCore under asyncio: transport, clock, ticks. The only place where it meets time."""

import asyncio
import gc
import random
import re
import time
from pathlib import Path

import structlog

from actors.host_core import HostCore, Placement
from actors.link import ACK_DELAY_NS, Link
from actors.transport.factory import open_transport
from actors.transport.port import Transport
from config.schema import NodeConfig
from storage.ports import BatchRecord

log = structlog.get_logger(__name__)

TICK_S = 0.02
CLIENT_PREFIX = "client-"  # peers that come and go: command lines, benchmarks
CLIENT_SILENT_NS = 60_000_000_000  # then its link is forgotten
HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


def endpoint_of(data_dir: str, host: str) -> str:
    """Return where a host of this node listens: a restarted host listens at the same place."""
    assert HOST_NAME.fullmatch(host), host  # it becomes part of a path
    return f"ipc://{Path(data_dir, 'run', 'sockets', host).absolute()}"


class HostLoop:
    """One host's core on the running event loop."""

    frame_share = 1  # how many times the usual weight a frame of this host may have

    def __init__(
        self,
        name: str,
        incarnation: int,
        config: NodeConfig,
        placement: Placement,
        secret: bytes,
    ) -> None:
        self.config = config
        self.core = HostCore(
            name,
            incarnation,
            placement=placement,
            randomness=random.Random(incarnation),
            clock_ns=time.time_ns,
            monotonic_ns=time.monotonic_ns,
            new_link=self._new_link,
            submit=self.append,
        )
        self.transport: Transport = open_transport(
            "stream", endpoint_of(config.node.data_dir, name), secret
        )
        self._loop = asyncio.get_running_loop()
        self._is_turn_due = False
        self._ticker: asyncio.TimerHandle | None = None
        self._flusher: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen and begin to tick."""
        await self.transport.start(self._on_message)
        self._tick()

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        self.transport.close()

    def append(self, records: list[BatchRecord]) -> None:
        raise AssertionError("a host without shards has nothing to append")

    def turn_soon(self) -> None:
        """Run a turn when this turn of the event loop has taken in all there is."""
        if not self._is_turn_due:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def _new_link(self, peer: str, core: HostCore) -> Link:
        pipeline = self.config.pipeline
        self.transport.set_peer(peer, endpoint_of(self.config.node.data_dir, peer))
        return Link(
            core.name,
            peer,
            core.incarnation,
            lambda data: self.transport.send(peer, data),
            core.peer_restarted,
            window=pipeline.window,
            frame_items_max=pipeline.frame_items_max * self.frame_share,
            buffer_items_max=pipeline.buffer_items_max,
            resend_after_ns=pipeline.resend_after_ms * 1_000_000,
        )

    def _on_message(self, data: bytes) -> None:
        self.core.on_message(data)
        self.turn_soon()

    def _forget_clients(self) -> None:
        """Drop the links of clients that have not been heard of: they do not say goodbye."""
        oldest_ns = time.monotonic_ns() - CLIENT_SILENT_NS
        for peer in [peer for peer in self.core.links if peer.startswith(CLIENT_PREFIX)]:
            if self.core.heard_at_ns.get(peer, 0) < oldest_ns:
                self.core.forget_peer(peer)
                self.transport.remove_peer(peer)

    def _turn(self) -> None:
        self._is_turn_due = False
        self.core.turn()
        if self.core.wants_turn:
            self.turn_soon()
        elif self.core.has_delayed and self._flusher is None:
            self._flusher = self._loop.call_later(ACK_DELAY_NS / 1e9, self._flush_delayed)

    def _flush_delayed(self) -> None:
        self._flusher = None
        self.core.flush()

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_S, self._tick)
        self.core.tick()
        self.ticked()
        self._forget_clients()
        if self.core.wants_turn:
            self.turn_soon()

    def ticked(self) -> None:
        """What a kind of host does every tick."""


def tune_garbage_collection() -> None:
    """Call it once, when all that lives long is there: it is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
