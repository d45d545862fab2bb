"""Every setting of a node. Read once at start, passed down as values, never looked up globally.

The unit of a number stands at the end of its name, its bounds in its type. `config/dev.toml` shows
all sections with comments; load.py reads such files.
"""

from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_-]{0,31}$")]
Symbol = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9_.-]{1,20}$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
Bytes = Annotated[int, msgspec.Meta(ge=1_024, le=2**30)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Few = Annotated[int, msgspec.Meta(ge=1, le=64)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class NodeSettings(Section, frozen=True):
    name: Name = "node-1"
    data_dir: Text = "data"  # relative to where the node is started; holds everything it knows
    bind_address: Text = "127.0.0.1"  # of the control messages between processes, never of clients
    admin_port: Port = 1900
    cookie_file: Annotated[str, msgspec.Meta(max_length=1_000)] = ""  # "": `cookie` in data_dir
    hang_deadline_ms: Annotated[int, msgspec.Meta(ge=1_000, le=600_000)] = 5_000  # then SIGKILL
    stop_deadline_ms: Annotated[int, msgspec.Meta(ge=1_000, le=600_000)] = 10_000  # then SIGKILL


class HostSettings(Section, frozen=True):
    """How many processes share the work. The first start fixes `account_shards` for ever."""

    account_hosts: Few = 1
    market_hosts: Few = 1
    account_shards: Annotated[int, msgspec.Meta(ge=1, le=1_024)] = 2


class GatewaySettings(Section, frozen=True):
    host: Text = "127.0.0.1"  # address that clients connect to
    ws_port: Port = 9443
    connections_max: Count = 4_096  # beyond: the handshake is answered 503
    frame_bytes_max: Bytes = 65_536  # beyond: close 1009
    outbound_bytes_max: Bytes = 4_194_304  # waiting for one slow client; beyond: close 1008
    requests_pending_max: Count = 1_024  # of one connection; beyond: -1008
    requests_pending_total_max: Count = 100_000  # of the gateway; beyond: -1008
    ask_outcome_after_ms: Milliseconds = 1_000  # no answer until then: ask what became of it
    answer_timeout_ms: Milliseconds = 10_000  # then -1007: outcome unknown
    ping_every_ms: Milliseconds = 20_000
    pong_timeout_ms: Milliseconds = 60_000
    connection_age_ms_max: Annotated[int, msgspec.Meta(ge=60_000, le=86_400_000)] = 86_400_000
    stream_requests_per_s_max: Count = 5  # SUBSCRIBE and the like, a connection; beyond: close 1008
    streams_per_connection_max: Count = 1_024
    directory_lag_ms_max: Milliseconds = 3_000  # beyond: signed requests are refused
    request_weight_per_minute_max: Count = 6_000_000  # of one client address; beyond: 429, -1003
    connections_per_5_min_max: Count = 10_000  # new ones of one address; beyond: close 1008


class PipelineSettings(Section, frozen=True):
    append_timeout_ms: Milliseconds = 2_000  # then the outcome is unknown: stop the shard, recover
    snapshot_every_events: Count = 250_000  # bounds the time of recovery
    window: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4  # frames to a peer not yet durable there
    frame_items_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 250
    buffer_items_max: Count = 100_000  # of a kind, waiting for a peer; beyond: orders -1008
    resend_after_ms: Milliseconds = 250


class StorageSettings(Section, frozen=True):
    """Where streams and history live. `{data_dir}` and `{slot}` are filled in."""

    hot_url: Annotated[str, msgspec.Meta(pattern="^(sqlite|memory):")] = (
        "sqlite:{data_dir}/hot-{slot}.db"
    )
    cold_url: Annotated[str, msgspec.Meta(pattern="^(sqlite|memory):")] = (
        "sqlite:{data_dir}/cold.db"
    )


class ProjectionSettings(Section, frozen=True):
    enabled: bool = True  # off: no history, trading goes on
    poll_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 50


class LoggingSettings(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal, else json


class DemoSettings(Section, frozen=True):
    """The market that `start --demo` adds, and who trades there."""

    base_asset: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{2,8}$")] = "BTC"
    quote_asset: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{2,8}$")] = "USDT"
    makers: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    takers: Annotated[int, msgspec.Meta(ge=0, le=64)] = 3
    orders_per_s: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20  # of all together


class NodeConfig(Section, frozen=True):
    """All of it."""

    node: NodeSettings = NodeSettings()
    hosts: HostSettings = HostSettings()
    gateway: GatewaySettings = GatewaySettings()
    pipeline: PipelineSettings = PipelineSettings()
    storage: StorageSettings = StorageSettings()
    projection: ProjectionSettings = ProjectionSettings()
    logging: LoggingSettings = LoggingSettings()
    demo: DemoSettings = DemoSettings()

    @property
    def cookie_path(self) -> str:
        """The file with the cluster's secret."""
        return self.node.cookie_file or f"{self.node.data_dir}/cookie"

    @property
    def cold_url(self) -> str:
        return self.storage.cold_url.replace("{data_dir}", self.node.data_dir)

    def hot_url(self, slot: str) -> str:
        """Return where the host of `slot` ("accounts-1") keeps its streams; no other writes it."""
        return self.storage.hot_url.replace("{data_dir}", self.node.data_dir).replace(
            "{slot}", slot
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(NodeConfig)


def encode_config(config: NodeConfig) -> bytes:
    """Return the settings as bytes, to hand them to a host."""
    return _encoder.encode(config)


def decode_config(data: bytes) -> NodeConfig:
    """Return what `encode_config` was given. Raises msgspec.ValidationError for anything else."""
    return _decoder.decode(data)
