"""Program of a gateway host: sockets on the host's loop, the exchange behind links."""

import asyncio
import dataclasses
import time
from typing import Any

import msgspec
import structlog
from msgspec import Raw

from actors import wire
from actors.batch import encode
from actors.control import HostControl, HostSpec
from actors.cookie import read_cookie
from actors.follower import Follower
from actors.gateway.gateway import Gateway
from actors.gateway.server import GatewayServer
from actors.host_loop import HostLoop, tune_garbage_collection
from actors.placement import StoredPlacement
from actors.secrets import SecretVault
from config.logging import setup_logging
from config.schema import NodeConfig, decode_config
from exchange.account.commands import AccountCommand
from exchange.answers import Answer, MarketDataMessage, UserEvent
from exchange.ids import account_shard, market_shard
from storage.factory import open_cold_reader, open_cold_store
from storage.ports import ColdReader

log = structlog.get_logger(__name__)

FOLLOW_EVERY_NS = 500_000_000
FOLLOW_ANEW, FOLLOW_ON = 0, 1  # `after` of a Follow: send the full book, or only if not known

decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_market_data = msgspec.msgpack.Decoder(MarketDataMessage).decode
decode_user_event = msgspec.msgpack.Decoder(UserEvent).decode


class GatewayHost(HostLoop):
    """The Backend of the gateway: commands out, answers and feeds in."""

    def __init__(self, spec: HostSpec, config: NodeConfig, secret: bytes, cold: ColdReader) -> None:
        super().__init__(spec.name, spec.incarnation, config, StoredPlacement(config), secret)
        self.host_name = spec.name
        self.account_shards = config.hosts.account_shards
        self.cold = cold
        self.follower = Follower(self.core, feed="")
        self.directory = self.follower.directory
        self._vault = SecretVault(secret)
        self._followed_at_ns = 0
        self.gateway: Gateway | None = None

    def open(self) -> Gateway:
        """Make the gateway, once the directory is known."""
        gateway = Gateway(
            self,
            self.core.scheduler,
            self.config.gateway,
            self._vault,
            first_request_id=self.core.incarnation,
        )
        self.gateway = gateway
        core = self.core
        core.handlers[wire.Answers] = self._on_answers
        core.handlers[wire.MarketData] = self._on_market_data
        core.handlers[wire.UserEvents] = self._on_user_events
        core.handlers[wire.UserSubscribed] = self._on_user_subscribed
        core.handlers[wire.ShardServing] = lambda item, _sender: self._on_serving(item.shard)
        core.on_peer_restarted.append(self._on_peer_restarted)
        self.follower.on_change.append(gateway.on_directory_changed)
        return gateway

    # ---------------------------------------------------------------- Backend

    def now_ns(self) -> int:
        return time.time_ns()

    def submit(self, shard: str, command: AccountCommand, favoured: bool) -> bool:
        link = self.core.link(self.core.placement.host_of(shard))
        taken: bool = link.put_command(shard, Raw(encode(command)), favoured)
        self.turn_soon()
        return taken

    def subscribe_user(self, account_id: int, after: int) -> None:
        shard = account_shard(account_id, self.account_shards)
        self.core.send_to_shard(shard, wire.SubscribeUser(shard, account_id, after))
        self.turn_soon()

    def unsubscribe_user(self, account_id: int) -> None:
        shard = account_shard(account_id, self.account_shards)
        self.core.send_to_shard(shard, wire.UnsubscribeUser(shard, account_id))
        self.turn_soon()

    def follow_market(self, symbol: str) -> None:
        shard = market_shard(symbol)
        self.core.send_to_shard(shard, wire.Follow(shard, "data", FOLLOW_ANEW))
        self.turn_soon()

    def directory_lag_ns(self) -> int:
        return time.monotonic_ns() - self.follower.heard_at_ns

    # ---------------------------------------------------------------- from the hosts

    def _on_answers(self, item: wire.Answers, _sender: str) -> None:
        assert self.gateway is not None
        on_answer = self.gateway.on_answer
        for raw in item.answers:
            on_answer(decode_answer(raw))
        self.gateway.wake()

    def _on_market_data(self, item: wire.MarketData, _sender: str) -> None:
        assert self.gateway is not None
        for raw in item.messages:
            self.gateway.on_market_data(item.shard, decode_market_data(raw))
        self.gateway.wake()

    def _on_user_events(self, item: wire.UserEvents, _sender: str) -> None:
        assert self.gateway is not None
        on_user_event = self.gateway.on_user_event
        for raw in item.events:
            on_user_event(decode_user_event(raw))
        self.gateway.wake()

    def _on_user_subscribed(self, item: wire.UserSubscribed, _sender: str) -> None:
        assert self.gateway is not None
        self.gateway.on_user_subscribed(item.account_id, item.user_seq, item.has_gap)
        self.gateway.wake()

    def _on_serving(self, shard: str) -> None:
        """A shard was recovered: what it knew of its followers is gone."""
        assert self.gateway is not None
        if shard.startswith("account/"):
            self.gateway.on_account_host_changed(shard)
        elif shard.startswith("market/"):
            symbol = shard.removeprefix("market/")
            self.follow_market(symbol)
            self.gateway.pending.ask_market(symbol)

    def _on_peer_restarted(self, peer: str) -> None:
        for number in range(self.account_shards):
            shard = account_shard(number, self.account_shards)
            if self.core.placement.host_of(shard) == peer:
                self._on_serving(shard)
        for symbol in self.directory.instruments:
            if self.core.placement.host_of(market_shard(symbol)) == peer:
                self.follow_market(symbol)

    def ticked(self) -> None:
        self.follower.tick()
        now_ns = time.monotonic_ns()
        if self.gateway is not None and now_ns - self._followed_at_ns >= FOLLOW_EVERY_NS:
            self._followed_at_ns = now_ns
            for symbol in self.directory.instruments:
                shard = market_shard(symbol)
                self.core.send_to_shard(shard, wire.Follow(shard, "data", FOLLOW_ON))


async def run(spec: HostSpec, control: HostControl) -> None:
    """Follow the directory, listen, serve until told to stop."""
    config = decode_config(spec.config)
    setup_logging(config.logging, host=spec.name)
    secret = read_cookie(config.cookie_path)
    await open_cold_store(config.cold_url).close()  # the projection may not have made it yet
    cold = open_cold_reader(config.cold_url)
    host = GatewayHost(spec, config, secret, cold)
    await host.start()
    try:
        while not host.follower.is_synced and not control.stopping.is_set():
            await asyncio.sleep(0.01)
        gateway = host.open()
        server = GatewayServer(gateway, config.gateway.host, config.gateway.ws_port)
        await server.start()
        control.on("status", lambda _body: msgspec.msgpack.encode(status(host, server)))
        tune_garbage_collection()
        control.ready()
        log.info("gateway_listening", address=config.gateway.host, port=server.port)
        await control.stopping.wait()
        await server.stop()
    finally:
        host.close()
        await cold.close()


def status(host: GatewayHost, server: GatewayServer) -> dict[str, Any]:
    """Return figures for the console."""
    assert host.gateway is not None
    return {
        "connections": server.connections,
        "pending": len(host.gateway.pending),
        "links": {peer: dataclasses.asdict(link.metrics) for peer, link in host.core.links.items()},
    }
