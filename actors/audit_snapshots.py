"""Is what hosts have in memory what their journals say? Snapshots are copies of live state, so they
must equal, byte for byte, what is folded from the journal up to the same event.
"""

import hashlib

from actors.shard import Shard
from actors.shard_snapshot import decode_shard_state
from exchange.audit import Finding
from storage.ports import CorruptError, HotReader, Snapshot


def payload_of(shard: Shard) -> bytes:
    """Return the kind's own state as a snapshot would keep it."""
    shard.begin_snapshot()
    pieces = None
    while pieces is None:
        pieces = shard.copy_some(lambda: 0, 1)
    return b"".join(pieces)


async def check_snapshot(store: HotReader, shard: Shard) -> tuple[bool, Finding | None]:
    """Fold `shard`, which is new, up to its newest snapshot: from the one before, or from nothing.

    Returns whether there was a snapshot to compare with, and what is wrong with it.
    """
    snapshots = await store.snapshots(shard.shard_id)
    if not snapshots:
        return False, None
    newest, older = snapshots[0], snapshots[1] if len(snapshots) > 1 else None
    try:
        await _fold_to(store, shard, older, newest.seq)
    except CorruptError:
        return False, None  # with one snapshot and a trimmed stream there is nothing to begin from
    rebuilt, live = payload_of(shard), decode_shard_state(newest.payload).payload
    if rebuilt == live:
        return True, None
    facts: dict[str, int | str] = {
        "seq": newest.seq,
        "rebuilt": _hash(rebuilt),
        "live": _hash(live),
    }
    return True, Finding("rebuilt_state_differs_from_live", shard.shard_id, facts)


async def _fold_to(store: HotReader, shard: Shard, older: Snapshot | None, seq: int) -> None:
    shard.recover(await store.head(shard.shard_id), older, 0)
    async for record in store.read(shard.shard_id, shard.seq):
        if record.last_seq > seq:
            break
        shard.replay(record)


def _hash(payload: bytes) -> str:
    return hashlib.blake2b(payload, digest_size=8).hexdigest()
