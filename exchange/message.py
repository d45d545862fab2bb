"""The roots of all messages. Array-like on the wire: a field is known by its place.

A stored event is a promise for years: its tag never changes meaning, new fields are appended with
a default, a new meaning gets a new tag and an upcaster in storage/codec.py. Tags are unique in the
whole system: 1xx account events, 2xx market events, 3xx directory events, 4xx account commands,
5xx directory commands, 6xx answers, 7xx user events, 8xx market data, 9xx faults.
"""

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Crosses hosts, never edited after it was built."""


class Command(Message, frozen=True):
    """What an entity is asked to do; it may be refused."""


class Event(Message, frozen=True):
    """Something that happened. Never refused, never edited, read back for years."""
