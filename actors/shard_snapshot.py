"""What a snapshot of a shard keeps besides the state of its entities."""

from collections.abc import Mapping, Sequence

import msgspec

from actors.batch import encode

_NO_BYTES = encode(b"")


def needed_from(seq: int, lanes: Mapping[str, tuple[int, int, int]]) -> int:
    """Return the seq after which a snapshot at `seq` with these lanes needs the stream."""
    return min([seq, *(after_seq for last, acked, after_seq in lanes.values() if acked < last)])


def frozen_holes(numbers: dict[int, list[int]]) -> dict[int, tuple[int, ...]]:
    return {number: tuple(entities) for number, entities in numbers.items()}


def thawed_holes(numbers: dict[int, tuple[int, ...]]) -> dict[int, list[int]]:
    return {number: sorted(entities) for number, entities in sorted(numbers.items())}


class ShardHeader(msgspec.Struct, frozen=True, array_like=True):
    watermarks: dict[str, int]
    holes: dict[str, dict[int, list[int]]]
    lanes: dict[str, tuple[int, int, int]]


class ShardSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot's payload: what all shards have, and the kind's own bytes."""

    watermarks: dict[str, int]
    holes: dict[str, dict[int, list[int]]]
    lanes: dict[str, tuple[int, int, int]]
    payload: bytes


def shard_state_pieces(header: ShardHeader, payload: Sequence[bytes]) -> list[bytes]:
    """Return what an encoded ShardSnapshot is when joined; `payload` is in pieces, too.

    It may be a hundred megabytes: so it is copied only once, and where no one waits for it.
    """
    head = encode(ShardSnapshot(header.watermarks, header.holes, header.lanes, b""))
    assert head.endswith(_NO_BYTES)  # the payload comes last, and is empty yet
    size = sum(map(len, payload))
    return [head.removesuffix(_NO_BYTES), b"\xc6" + size.to_bytes(4, "big"), *payload]


decode_shard_state = msgspec.msgpack.Decoder(ShardSnapshot).decode
