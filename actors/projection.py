"""Program of the projection host: keeps the cold store up to date, and steps back for trading.

Whatever the cold store suffers, trading goes on: the projection waits, tries again and says so.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from actors import wire
from actors.control import HostControl, HostSpec
from actors.cookie import read_cookie
from actors.host_loop import HostLoop
from actors.placement import StoredPlacement
from actors.projector import Projector
from config.logging import get_logger, setup_logging
from config.schema import decode_config
from storage.factory import open_cold_store, open_hot_reader
from storage.ports import ColdStore, HotReader, StoreError

log = get_logger(__name__)

NICENESS: Final = 15  # trading gets the processor first
ANNOUNCE_EVERY_S: Final = 1.0
BACK_OFF_S: Final = (0.1, 0.5, 2.0, 5.0)
# Under load pages of the store are written less often for the same rows, so wait for more of them.
BUSY_EVENTS: Final = 500  # in one step
BUSY_POLLS: Final = 8  # times poll_ms


async def run(spec: HostSpec, control: HostControl) -> None:
    """Project until told to stop, and tell the shards how far they are in history."""
    config = decode_config(spec.config)
    setup_logging(config.logging, host=spec.name)
    placement = StoredPlacement(config)
    os.nice(NICENESS)
    host = HostLoop(spec.name, spec.incarnation, config, placement, read_cookie(config.cookie_path))
    await host.start()

    def on_progress(shard: str, seq: int) -> None:
        host.core.send_to_shard(shard, wire.Projected(shard, seq))
        host.turn_soon()

    control.ready()  # trading does not wait for history
    urls = [config.hot_url(slot) for slot in (*placement.account_hosts, *placement.market_hosts)]
    projection = Projection(
        urls,
        config.cold_url,
        control,
        on_progress,
        poll_s=config.projection.poll_ms / 1000,
    )
    try:
        await projection.run()
    finally:
        host.close()


class Projection:
    """Opens the stores as they become available, and runs a Projector over them."""

    def __init__(
        self,
        hot_urls: list[str],
        cold_url: str,
        control: HostControl,
        on_progress: Callable[[str, int], None],
        poll_s: float,
    ) -> None:
        self._hot_urls = hot_urls
        self._cold_url = cold_url
        self._control = control
        self._on_progress = on_progress
        self._poll_s = poll_s
        self._readers: dict[str, HotReader] = {}
        self._cold: ColdStore | None = None
        self._projector: Projector | None = None
        self._reported: tuple[object, ...] = ()

    async def run(self) -> None:
        failures = 0
        announced_at = 0.0
        loop = asyncio.get_running_loop()
        while not self._control.stopping.is_set():
            try:
                projector = await self._open()
                events = await projector.step()
            except StoreError as error:
                self._report("waiting", str(error))
                if self._projector is not None:
                    self._projector.reset()
                await self._pause(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
                failures += 1
                continue
            failures = 0
            self._report("projecting")
            if loop.time() - announced_at >= ANNOUNCE_EVERY_S:
                announced_at = loop.time()
                projector.announce()
            if not projector.is_behind:
                polls = BUSY_POLLS if events > BUSY_EVENTS else 1
                await self._pause(self._poll_s * polls)
        await self._close()

    async def _open(self) -> Projector:
        """Open what is not open yet. Hot stores appear when their hosts have started."""
        if self._projector is None:
            self._cold = await asyncio.to_thread(open_cold_store, self._cold_url)
            self._projector = Projector((), self._cold, self._on_progress)
        for url in self._hot_urls:
            if url not in self._readers:
                try:
                    reader = await asyncio.to_thread(open_hot_reader, url)
                except StoreError as error:
                    log.debug("projection_store_missing", url=url, error=str(error))
                    continue
                self._readers[url] = reader
                self._projector.add_store(reader)
        return self._projector

    async def _close(self) -> None:
        for reader in self._readers.values():
            await reader.close()
        if self._cold is not None:
            await self._cold.close()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._control.stopping.wait()
        except TimeoutError:
            return

    def _report(self, state: str, error: str = "") -> None:
        """Tell the node supervisor when something changed."""
        assert self._projector is not None or error
        set_aside = dict(self._projector.set_aside) if self._projector else {}
        waiting = dict(self._projector.waiting) if self._projector else {}
        missing = [url for url in self._hot_urls if url not in self._readers]
        fact = (state, error, sorted(set_aside), sorted(waiting), missing)
        if fact != self._reported:
            self._reported = fact
            log.info("projection_state", state=state, error=error, set_aside=set_aside)
            self._control.report(
                {
                    "event": "projection_state",
                    "state": state,
                    "error": error,
                    "set_aside": set_aside,
                    "waiting_for_markets": waiting,
                    "stores_missing": missing,
                }
            )
