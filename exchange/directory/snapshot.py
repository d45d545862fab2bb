"""The directory as bytes, and back: the events that rebuild it. Equal states encode equal."""

import msgspec

from exchange.directory.events import DirectoryEvent
from exchange.directory.fold import evolve
from exchange.directory.state import Directory, full_events
from exchange.errors import InvariantError

_VERSION = 1


class _Image(msgspec.Struct, array_like=True):
    version: int
    events: list[DirectoryEvent]


_decode = msgspec.msgpack.Decoder(_Image).decode


def encode(directory: Directory) -> bytes:
    """Return the whole directory as bytes."""
    return msgspec.msgpack.encode(_Image(_VERSION, full_events(directory)))


def decode(data: bytes) -> Directory:
    """Return the directory that `encode` was given.

    Raises:
        InvariantError: written by a version that this one does not know.
        msgspec.DecodeError: not a directory.
    """
    image = _decode(data)
    if image.version != _VERSION:
        raise InvariantError(snapshot_version=image.version, known_version=_VERSION)
    directory = Directory()
    for event in image.events:
        evolve(directory, event)
    return directory
