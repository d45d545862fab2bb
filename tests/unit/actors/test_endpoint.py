"""Endpoint texts are read strictly and written back as they were."""

import pytest

from actors.transport.endpoint import (
    IPC_PATH_BYTES_MAX,
    Endpoint,
    IpcEndpoint,
    TcpEndpoint,
    parse_endpoint,
)
from actors.transport.port import TransportError


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("ipc:///run/node/accounts-1", IpcEndpoint("/run/node/accounts-1")),
        ("ipc://data/x", IpcEndpoint("data/x")),
        ("tcp://127.0.0.1:0", TcpEndpoint("127.0.0.1", 0)),
        ("tcp://host.example:65535", TcpEndpoint("host.example", 65535)),
        ("tcp://::1:5000", TcpEndpoint("::1", 5000)),
    ],
)
def test_endpoints_are_read_and_written(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ipc://",
        "ipc:/path",
        "tcp://",
        "tcp://host",
        "tcp://:1",
        "tcp://host:",
        "tcp://host:65536",
        "tcp://host:-1",
        "tcp://host:1x",
        "tcp://host:\u0661",
        "udp://host:1",
        "/run/node",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TransportError, match=r"ipc://PATH or tcp://HOST:PORT"):
        parse_endpoint(text)


def test_the_bound_of_a_path_is_in_bytes() -> None:
    path = "/" + "x" * (IPC_PATH_BYTES_MAX - 1)
    assert parse_endpoint(f"ipc://{path}") == IpcEndpoint(path)
    for longer in (path + "x", "/" + "\u00e9" * (IPC_PATH_BYTES_MAX // 2)):
        with pytest.raises(TransportError, match="too long"):
            parse_endpoint(f"ipc://{longer}")
