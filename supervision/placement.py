"""Pure: which owner has which shard. Rendezvous hashing: few shards move when owners change."""

import hashlib
from collections.abc import Sequence


def place(shard: str, owners: Sequence[str]) -> str:
    """Return the owner of `shard`: the one with the highest keyed hash. `owners` must not be empty.

    Source: Thaler, Ravishankar, "A name-based mapping scheme for rendezvous", 1996.
    """
    assert owners

    def weight(owner: str) -> bytes:
        return hashlib.blake2b(f"{owner}\0{shard}".encode(), digest_size=8).digest()

    return max(owners, key=lambda owner: (weight(owner), owner))
