"""What a snapshot of a shard keeps besides the state of its entities."""

from collections.abc import Mapping

import msgspec

from actors.batch import encode


def needed_from(seq: int, lanes: Mapping[str, tuple[int, int, int]]) -> int:
    """Return the seq after which a snapshot at `seq` with these lanes needs the stream."""
    return min([seq, *(after_seq for last, acked, after_seq in lanes.values() if acked < last)])


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


def encode_shard_state(header: ShardHeader, payload: bytes) -> bytes:
    return encode(ShardSnapshot(header.watermarks, header.holes, header.lanes, payload))


decode_shard_state = msgspec.msgpack.Decoder(ShardSnapshot).decode
