"""The patch against the pinned Thespian: what is refused, and that its names are still there."""

import os
import pickle
import socket
from datetime import timedelta

import pytest
from thespian.system import multiprocCommon, systemCommon, transport
from thespian.system.transport import IPBase, TCPTransport, streamBuffer

from actors.thespian_patch import (
    FRAME_BYTES_MAX,
    MAC_BYTES,
    AuthenticatedPickle,
    BoundedReceiveBuffer,
    RefusedFrames,
    ThespianVersionError,
    _close_listeners,
    check_version,
    install,
)

SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    install(SECRET)
    install(SECRET)  # twice is as good as once


def test_another_version_is_refused_in_one_sentence() -> None:
    check_version("4.0.1")
    with pytest.raises(ThespianVersionError, match=r"Thespian 4\.0\.2 is installed, but only"):
        check_version("4.0.2")


def test_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        install(b"short")


def test_settings_of_the_pinned_version_are_replaced() -> None:
    assert systemCommon.RATE_THROTTLE == 10**9
    assert timedelta(milliseconds=1) == transport.MIN_BACKOFF_DELAY
    assert timedelta(seconds=5) == transport.DEFAULT_MAX_TRANSMIT_PERIOD
    assert timedelta(seconds=10) == TCPTransport.MAX_INCOMING_SOCKET_PERIOD
    assert TCPTransport.ReceiveBuffer is BoundedReceiveBuffer
    for name in ("startAdmin", "startChild", "startupASLogger", "ThespianLogForwarder"):
        assert getattr(multiprocCommon, name).__module__ == "actors.thespian_patch"


def test_external_address_is_bound_to_the_given_address_only() -> None:
    assert IPBase.TCPv4ActorAddress(None, 1900, external=True).bindname == ("127.0.0.1", 1900)


def test_authenticated_message_comes_back() -> None:
    pickled = AuthenticatedPickle(SECRET)
    assert pickled.loads(pickled.dumps({"a": b"b"})) == {"a": b"b"}


@pytest.mark.parametrize("position", [0, MAC_BYTES - 1, MAC_BYTES, -1])
def test_one_flipped_bit_is_refused(position: int) -> None:
    pickled = AuthenticatedPickle(SECRET)
    frame = bytearray(pickled.dumps("message"))
    frame[position] ^= 1
    with pytest.raises(ValueError, match="without a valid MAC"):
        pickled.loads(bytes(frame))


def test_frame_of_another_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="without a valid MAC"):
        AuthenticatedPickle(SECRET).loads(AuthenticatedPickle(SECRET[::-1]).dumps("message"))


def test_message_too_large_for_a_frame_is_refused_by_the_sender() -> None:
    with pytest.raises(ValueError, match="too large for one frame"):
        AuthenticatedPickle(SECRET).dumps(bytes(FRAME_BYTES_MAX))


@pytest.mark.parametrize(
    "data",
    [
        b">",
        b"0>",
        b"31>",  # shorter than a MAC
        b"-5>abcdefgh",
        b"+5>abcde",
        b"1_0>abc",
        b" 50>abc",
        b"abc>abc",
        b"1048577>",  # one more than the bound
        b"99999999999>",
        b"1" * 5_000,
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_bad_header_ends_the_frame_and_keeps_nothing(data: bytes) -> None:
    buffer = BoundedReceiveBuffer(pickle.loads)
    buffer.addMore(data)
    buffer.addMore(b"more")
    assert buffer.isDone()
    assert buffer.completed() is None
    assert len(buffer._buf) == 0


def test_frame_is_put_together_from_single_bytes() -> None:
    pickled = AuthenticatedPickle(SECRET)
    buffer = BoundedReceiveBuffer(pickled.loads)
    for byte in streamBuffer.toSendBuffer("message", pickled.dumps):
        assert not buffer.isDone()
        buffer.addMore(bytes([byte]))
    assert buffer.isDone()
    assert buffer.completed() == ("message", b"")


def test_frame_that_cannot_be_unpickled_is_refused() -> None:
    pickled = AuthenticatedPickle(SECRET)
    body = b"not a pickle"
    frame = pickled._mac(body) + body
    buffer = BoundedReceiveBuffer(pickled.loads)
    buffer.addMore(b"%d>" % len(frame) + frame)
    assert buffer.isDone()
    assert buffer.completed() is None


def test_acknowledgements_are_authenticated() -> None:
    pickled = AuthenticatedPickle(SECRET)
    for message, text in (
        (TCPTransport.ackMsg, streamBuffer.ackPacket),
        (TCPTransport.ackDataErrMsg, streamBuffer.ackDataErrPacket),
    ):
        assert pickled.loads(message.partition(b">")[2]) == text


def test_refusals_of_forked_processes_are_counted_too() -> None:
    refused = RefusedFrames()
    refused.add()
    pid = os.fork()
    if pid == 0:
        refused.add()
        os._exit(0)
    os.waitpid(pid, 0)
    assert refused.count() == 2
    refused.add()
    assert refused.count() == 3


def test_a_new_process_closes_the_listeners_it_inherited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socketpair()[0] as other:
        pid = os.fork()
        if pid == 0:
            _close_listeners()
            try:
                os.fstat(listener.fileno())
            except OSError:
                os.fstat(other.fileno())
                os._exit(0)
            os._exit(1)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
