"""Whoever does not hold the cluster's secret gets nothing, sends nothing and disturbs nobody."""

import asyncio
import os
from pathlib import Path

import pytest
import zmq

from actors.transport.endpoint import IpcEndpoint, parse_endpoint
from actors.transport.port import Transport, TransportError
from actors.transport.seal import (
    GREETING,
    NONCE_BYTES,
    REPLY_BYTES,
    SEALED_BYTES_MAX,
    Handshake,
    Sealer,
)
from actors.transport.stream import STRANGERS_MAX, StreamTransport
from actors.transport.zeromq import ZeroMqTransport, curve_keys
from tests.contract.transport.lab import SECRET, Lab

REAL = pytest.mark.parametrize(
    "lab", ["stream-ipc", "stream-tcp", "zeromq-ipc", "zeromq-tcp"], indirect=True
)
STREAM = pytest.mark.parametrize("lab", ["stream-ipc", "stream-tcp"], indirect=True)
ZEROMQ = pytest.mark.parametrize("lab", ["zeromq-ipc", "zeromq-tcp"], indirect=True)

OTHER_SECRET = b"a secret of some other cluster"


async def open_raw(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = parse_endpoint(endpoint)
    if isinstance(where, IpcEndpoint):
        return await asyncio.open_unix_connection(where.path)
    return await asyncio.open_connection(where.host, where.port)


async def is_only_reached_by_ours(lab: Lab, right: Transport) -> bool:
    """Let one of ours send for a while; whether that, and nothing else, has arrived."""
    ours = await lab.start("ours")
    ours.set_peer("right", right.endpoint)
    received = lab.received["right"]
    await lab.until(lambda: received.count(b"ours") >= 100, lambda: ours.send("right", b"ours"))
    return set(received) == {b"ours"}


def garbage() -> list[bytes]:
    return [
        b"\0",
        b"GET / HTTP/1.1\r\nHost: exchange\r\n\r\n",
        b"\xff" * 100_000,
        b"cos\nsystem\n(S'true'\ntR.",  # a pickle that would run a command
        b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0CURVE" + bytes(48),  # ZMTP 3 greeting, then silence
        b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL" + bytes(200),
        GREETING,
        GREETING + bytes(NONCE_BYTES) + bytes(32),
        GREETING + bytes(NONCE_BYTES) + bytes(32) + b"\xff\xff\xff\xff" + bytes(1000),
    ]


@REAL
async def test_raw_bytes_reach_nobody_and_others_are_served(lab: Lab) -> None:
    right = await lab.start("right")
    for data in garbage():
        _, writer = await open_raw(right.endpoint)
        writer.write(data)
        await writer.drain()
        writer.close()
    assert await is_only_reached_by_ours(lab, right)


@REAL
async def test_hosts_of_another_cluster_neither_send_nor_receive(lab: Lab) -> None:
    right = await lab.start("right")
    stranger = await lab.start("stranger", secret=OTHER_SECRET)
    stranger.set_peer("right", right.endpoint)
    right.set_peer("stranger", stranger.endpoint)
    ours = await lab.start("ours")
    ours.set_peer("right", right.endpoint)

    def everybody_sends() -> None:
        stranger.send("right", b"let me in")
        right.send("stranger", b"a secret message")
        ours.send("right", b"from one of ours")

    await lab.until(lambda: len(lab.received["right"]) >= 200, everybody_sends)
    assert set(lab.received["right"]) == {b"from one of ours"}
    assert lab.received["stranger"] == []
    assert stranger.metrics.sent == right.metrics.sent == 0


@REAL
async def test_a_zeromq_client_without_encryption_is_refused(lab: Lab) -> None:
    right = await lab.start("right")
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 0)
        push.connect(right.endpoint)
        push.send(b"in the clear", zmq.NOBLOCK)
        assert await is_only_reached_by_ours(lab, right)


@ZEROMQ
async def test_a_key_pair_of_its_own_does_not_help_a_stranger(lab: Lab) -> None:
    """It knows even the server's public key, which only its secret key follows from in secret."""
    right = await lab.start("right")
    server_public, _ = curve_keys(SECRET, b"server")
    public, secret = zmq.curve_keypair()
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.setsockopt(zmq.LINGER, 0)
        push.setsockopt(zmq.CURVE_SERVERKEY, server_public)
        push.setsockopt(zmq.CURVE_PUBLICKEY, public)
        push.setsockopt(zmq.CURVE_SECRETKEY, secret)
        push.connect(right.endpoint)
        push.send(b"almost", zmq.NOBLOCK)
        await lab.until(lambda: right.metrics.refused > 0)
        assert await is_only_reached_by_ours(lab, right)


# ------------------------------------------------------------------ streams, byte by byte


async def shake_hands(
    endpoint: str, secret: bytes = SECRET
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Handshake]:
    """Connect as one of ours does (if the secret is right), up to the proof."""
    reader, writer = await open_raw(endpoint)
    nonce = os.urandom(NONCE_BYTES)
    writer.write(GREETING + nonce)
    reply = await reader.readexactly(REPLY_BYTES)
    handshake = Handshake(secret, nonce, reply[:NONCE_BYTES])
    writer.write(handshake.connecting_proof)
    return reader, writer, handshake


@STREAM
async def test_a_repeated_message_ends_the_connection(lab: Lab) -> None:
    right = await lab.start("right")
    reader, writer, handshake = await shake_hands(right.endpoint)
    sealed = b"".join(Sealer(handshake.key).seal(b"pay once"))
    writer.write(sealed + sealed)
    assert await reader.read() == b""  # closed
    assert lab.received["right"].count(b"pay once") <= 1
    assert right.metrics.refused == 1


@STREAM
async def test_a_recorded_connection_cannot_be_played_back(lab: Lab) -> None:
    right = await lab.start("right")
    _, writer, handshake = await shake_hands(right.endpoint)
    sealed = b"".join(Sealer(handshake.key).seal(b"pay once"))
    writer.write(sealed)
    await lab.until(lambda: lab.received["right"] == [b"pay once"])

    reader, writer = await open_raw(right.endpoint)
    writer.write(GREETING + bytes(NONCE_BYTES))
    await reader.readexactly(REPLY_BYTES)
    writer.write(handshake.connecting_proof + sealed)
    assert await reader.read() == b""
    assert lab.received["right"] == [b"pay once"]
    assert right.metrics.refused == 1


@STREAM
async def test_a_changed_bit_ends_the_connection(lab: Lab) -> None:
    right = await lab.start("right")
    reader, writer, handshake = await shake_hands(right.endpoint)
    length, sealed = Sealer(handshake.key).seal(b"buy 1")
    writer.write(length + sealed[:2] + bytes([sealed[2] ^ 1]) + sealed[3:])
    assert await reader.read() == b""
    assert lab.received["right"] == []
    assert right.metrics.refused == 1


@STREAM
@pytest.mark.parametrize("length", [0, 15, SEALED_BYTES_MAX + 1, 2**32 - 1])
async def test_an_impossible_length_ends_the_connection_at_once(lab: Lab, length: int) -> None:
    right = await lab.start("right")
    reader, writer, _ = await shake_hands(right.endpoint)
    writer.write(length.to_bytes(4, "big"))
    assert await reader.read() == b""
    assert right.metrics.refused == 1


@STREAM
async def test_a_message_split_at_every_byte_arrives_whole(lab: Lab) -> None:
    right = await lab.start("right")
    _, writer, handshake = await shake_hands(right.endpoint)
    for byte in b"".join(Sealer(handshake.key).seal(b"slowly")):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    await lab.until(lambda: lab.received["right"] == [b"slowly"])


@STREAM
async def test_a_wrong_proof_is_refused_without_a_word(lab: Lab) -> None:
    right = await lab.start("right")
    reader, _, _ = await shake_hands(right.endpoint, OTHER_SECRET)
    assert await reader.read() == b""
    assert right.metrics.refused == 1


@STREAM
async def test_strangers_are_bounded_and_the_oldest_goes_first(lab: Lab) -> None:
    right = await lab.start("right")
    strangers = [await open_raw(right.endpoint) for _ in range(STRANGERS_MAX + 5)]
    for reader, _ in strangers[:5]:
        assert await reader.read() == b""
    assert right.metrics.refused == 5
    assert await is_only_reached_by_ours(lab, right)


async def test_a_stranger_that_says_nothing_is_put_out_in_time(tmp_path: Path) -> None:
    transport = StreamTransport(f"ipc://{tmp_path}/host", SECRET, handshake_s=0.01)
    await transport.start(lambda data: None)
    reader, _ = await open_raw(transport.endpoint)
    assert await reader.read() == b""
    assert transport.metrics.refused == 1
    transport.close()


async def test_an_impostor_at_a_peers_endpoint_learns_nothing(tmp_path: Path) -> None:
    """It answers the greeting, and gets neither a proof nor a message."""
    heard = bytearray()
    is_over = asyncio.Event()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readexactly(len(GREETING) + NONCE_BYTES))
        writer.write(os.urandom(REPLY_BYTES))
        heard.extend(await reader.read())
        is_over.set()

    server = await asyncio.start_unix_server(impostor, f"{tmp_path}/impostor")
    transport = StreamTransport(f"ipc://{tmp_path}/host", SECRET)
    transport.set_peer("peer", f"ipc://{tmp_path}/impostor")
    await is_over.wait()
    transport.send("peer", b"a secret message")
    assert transport.metrics.dropped == 1
    assert len(heard) == len(GREETING) + NONCE_BYTES
    transport.close()
    server.close()


# ------------------------------------------------------------------ where to listen


@REAL
async def test_a_socket_directory_is_closed_to_others(lab: Lab, tmp_path: Path) -> None:
    if lab.kind.endswith("ipc"):
        await lab.start("right", f"ipc://{tmp_path}/new/sockets/right")
        assert (tmp_path / "new/sockets").stat().st_mode & 0o777 == 0o700
        (tmp_path / "new/sockets").chmod(0o755)
        await lab.start("other", f"ipc://{tmp_path}/new/sockets/other")
        assert (tmp_path / "new/sockets").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", [StreamTransport, ZeroMqTransport])
async def test_a_path_too_long_for_a_socket_is_refused_in_one_sentence(
    kind: type[StreamTransport] | type[ZeroMqTransport], tmp_path: Path
) -> None:
    with pytest.raises(TransportError, match="shorter data directory"):
        kind(f"ipc://{tmp_path}/{'x' * 100}", SECRET)


@REAL
async def test_an_endpoint_in_use_or_not_ours_is_refused(lab: Lab, tmp_path: Path) -> None:
    if lab.kind.endswith("tcp"):
        right = await lab.start("right")
        with pytest.raises(TransportError, match="cannot listen"):
            await lab.start("second", right.endpoint)
    else:
        (tmp_path / "file").write_text("not a directory")
        with pytest.raises(TransportError, match="cannot be used"):
            await lab.start("right", f"ipc://{tmp_path}/file/right")
