"""Strangers at the ports of a node: nothing they send is executed, nothing is disturbed."""

import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.cookie import read_cookie
from actors.node import ask_host
from actors.thespian_patch import AuthenticatedPickle
from tests.support.node_process import NodeProcess, listeners, members, wait_until


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    directory = tmp_path_factory.mktemp("node")
    with NodeProcess(directory, "steady", "steady").wait_ready() as node:
        yield node


def _frame(body: bytes) -> bytes:
    return b"%d>" % len(body) + body


def _attacks(bomb: Path, secret: bytes) -> dict[str, bytes]:
    payload = pickle.dumps(Bomb(bomb))
    other = AuthenticatedPickle(b"another cookie, of a neighbour's cluster")
    sealed = bytearray(AuthenticatedPickle(secret).dumps(("sender", "message")))
    sealed[-3] ^= 1
    return {
        "raw pickle": _frame(payload),
        "raw pickle behind 32 bytes": _frame(bytes(32) + payload),
        "bomb under another key": _frame(other._mac(payload) + payload),
        "one flipped bit": _frame(bytes(sealed)),
        "negative size": b"-5>abcdefgh",
        "size zero": b"0>",
        "signed size": b"+5>abcde",
        "no number": b"abc>abc",
        "huge size": b"99999999999>" + bytes(100_000),
        "largest size and one": b"1048577>" + bytes(100_000),
        "digits without end": b"1" * 5_000,
        "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    }


ATTACKS = sorted(_attacks(Path("bomb"), bytes(32)))


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_frame_of_a_stranger_is_executed_and_all_are_counted(
    node: NodeProcess, tmp_path: Path, attack: str
) -> None:
    bomb = tmp_path / "exploded"
    frame = _attacks(bomb, read_cookie(node.data_dir / "cookie"))[attack]
    before = node.status()
    ports = [port for pid in members(node.group) for _, port in listeners(pid)]
    assert node.port in ports
    assert len(ports) == 5  # Admin, logger, node supervisor, two hosts
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
            _send_until_refused(stranger, frame)
    refused = before.frames_refused + len(ports)
    wait_until(lambda: node.status().frames_refused >= refused, "every frame counted")
    assert not bomb.exists()
    after = node.status()
    assert [host.pid for host in after.hosts] == [host.pid for host in before.hosts]
    assert ask_host(node.data_dir, "steady-1", "echo", b"well?").body == b"well?"


def test_the_bomb_would_explode(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists()


def test_all_ports_are_on_the_loopback_address_alone(node: NodeProcess) -> None:
    addresses = [address for pid in members(node.group) for address, _ in listeners(pid)]
    assert addresses
    assert set(addresses) == {"127.0.0.1"}


def test_cookie_is_in_no_command_line_and_no_environment(node: NodeProcess) -> None:
    secret = read_cookie(node.data_dir / "cookie")
    for pid in [*members(node.group), node.process.pid]:
        for name in ("cmdline", "environ"):
            assert secret not in Path(f"/proc/{pid}/{name}").read_bytes()


def test_the_node_still_has_all_its_first_processes(node: NodeProcess) -> None:
    status = node.status()
    assert status.phase == "ready"
    assert status.exits == 0
    assert len(members(node.group)) == 5


def _send_until_refused(stranger: socket.socket, frame: bytes) -> None:
    try:
        stranger.sendall(frame)
        while stranger.recv(4096):
            pass
    except OSError:
        return  # refused while we were still sending
