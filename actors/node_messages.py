"""What the node supervisor and those outside it say to each other, over its control socket."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.control import HostSpec
from actors.host_processes import HostState


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A node as the composition root wants it. `hosts` in order of start; stopped in reverse."""

    data_dir: str
    admin_port: int
    hosts: tuple[HostSpec, ...]
    name: str = "node"
    bind_address: str = "127.0.0.1"
    cookie_file: str = ""  # empty: "cookie" in data_dir, created at the first start
    hang_deadline_ms: int = 5_000  # no answer for so long: SIGKILL
    ping_period_ms: int = 500
    stop_timeout_ms: int = 10_000  # for each host to drain; then SIGKILL
    restarts_max: int = 5  # of one host; more within the period is a crash loop
    restarts_period_ms: int = 60_000


class StartNode(msgspec.Struct, frozen=True, tag=1):
    """The first message to the node supervisor. Descriptors are inherited from the starter."""

    options: NodeOptions
    starter_socket: int
    starter_pidfd: int


class Beat(msgspec.Struct, frozen=True, tag=2):
    """Answered with the same: the node supervisor is not hanging."""

    number: int


class StatusQuery(msgspec.Struct, frozen=True, tag=3):
    pass


class StopNode(msgspec.Struct, frozen=True, tag=4):
    pass


class HostQuery(msgspec.Struct, frozen=True, tag=5):
    """A request to the program of one host, answered with HostAnswer."""

    host: str
    name: str
    body: bytes = b""


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, tag=11):
    name: str
    phase: str  # "starting", "ready", "stopping"
    pid: int  # of the node supervisor
    uptime_ms: int
    hosts: list[HostState]
    exits: int  # of hosts, since the start of the node
    frames_refused: int  # by all processes of the node: somebody knocks without the cookie
    reports: dict[str, dict[str, Any]]  # the last report of each host


class NodeEvent(msgspec.Struct, frozen=True, tag=12):
    """Progress, for whoever started the node: "started", "progress", "ready", ..."""

    event: dict[str, Any]


class NodeEnded(msgspec.Struct, frozen=True, tag=13):
    """The last message: all hosts are gone."""

    exit_code: int
    reason: str


class HostAnswer(msgspec.Struct, frozen=True, tag=14):
    body: bytes
    error: str = ""  # empty: answered


ToNode = Beat | StatusQuery | StopNode | HostQuery
FromNode = Beat | NodeStatus | NodeEvent | NodeEnded | HostAnswer

MESSAGE_BYTES_MAX: Final = 128 * 1024  # a SEQPACKET message must fit the kernel's send buffer
encode_node: Final = msgspec.msgpack.Encoder().encode
decode_from_node: Final[Callable[[bytes], FromNode]] = msgspec.msgpack.Decoder(FromNode).decode
decode_start: Final[Callable[[bytes], StartNode]] = msgspec.msgpack.Decoder(StartNode).decode
decode_to_node: Final[Callable[[bytes], ToNode]] = msgspec.msgpack.Decoder(ToNode).decode
