"""Sealed messages open once, in order, on their own connection, and not otherwise."""

import pytest

from actors.transport.seal import (
    NONCE_BYTES,
    SEALED_BYTES_MAX,
    Handshake,
    Opener,
    Sealer,
    SealError,
    is_proof,
)

SECRET = b"a secret only this cluster holds"
NONCES = b"c" * NONCE_BYTES, b"l" * NONCE_BYTES


def handshake() -> Handshake:
    return Handshake(SECRET, *NONCES)


def sealed(*messages: bytes) -> list[bytes]:
    sealer = Sealer(handshake().key)
    return [b"".join(sealer.seal(message)) for message in messages]


def test_both_ends_derive_the_same_and_anything_else_derives_something_else() -> None:
    ours, theirs = handshake(), handshake()
    assert is_proof(ours.connecting_proof, theirs.connecting_proof)
    assert is_proof(ours.listening_proof, theirs.listening_proof)
    others = [
        Handshake(SECRET + b"!", *NONCES),
        Handshake(SECRET, NONCES[1], NONCES[0]),
        Handshake(SECRET, NONCES[0], b"m" * NONCE_BYTES),
        Handshake(SECRET, b"d" * NONCE_BYTES, NONCES[1]),
    ]
    derived = [ours.key, ours.connecting_proof, ours.listening_proof]
    for other in others:
        derived += [other.key, other.connecting_proof, other.listening_proof]
    assert len(set(derived)) == len(derived)  # no proof serves as another, or as a key


def test_messages_open_in_the_order_in_which_they_were_sealed() -> None:
    messages = [b"", b"one", b"two" * 10_000]
    opener = Opener(handshake().key)
    assert opener.feed(b"".join(sealed(*messages))) == messages


@pytest.mark.parametrize("piece", [1, 3, 7, 64, 1000])
def test_messages_open_however_the_bytes_are_cut(piece: int) -> None:
    messages = [b"", b"a", b"b" * 100, b"c" * 999]
    stream = b"".join(sealed(*messages))
    opener = Opener(handshake().key)
    opened = []
    for start in range(0, len(stream), piece):
        opened += opener.feed(stream[start : start + piece])
    assert opened == messages


def test_what_is_sent_cannot_be_read() -> None:
    [data] = sealed(b"sell everything" * 10)
    assert b"sell" not in data


@pytest.mark.parametrize(
    "order",
    [(0, 0), (1,), (0, 2), (1, 0)],
    ids=["repeated", "first left out", "left out", "swapped"],
)
def test_a_message_out_of_its_place_does_not_open(order: tuple[int, ...]) -> None:
    parts = sealed(b"one", b"two", b"three")
    opener = Opener(handshake().key)
    with pytest.raises(SealError):
        for index in order:
            opener.feed(parts[index])


def test_a_message_of_another_connection_does_not_open() -> None:
    [data] = sealed(b"one")
    with pytest.raises(SealError):
        Opener(Handshake(SECRET, NONCES[0], b"m" * NONCE_BYTES).key).feed(data)


def test_no_byte_of_a_message_can_be_changed() -> None:
    [data] = sealed(b"buy 100")
    for index in range(len(data)):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        opener = Opener(handshake().key)
        try:
            opened = opener.feed(changed)
        except SealError:
            continue
        assert index < 4  # a greater length, so it waits for bytes that would not open either
        assert opened == []


@pytest.mark.parametrize("length", [0, 15, SEALED_BYTES_MAX + 1, 2**32 - 1])
def test_an_impossible_length_is_refused_before_anything_is_kept(length: int) -> None:
    with pytest.raises(SealError):
        Opener(handshake().key).feed(length.to_bytes(4, "big"))
