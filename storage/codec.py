"""Records of streams <-> bytes; old events <-> what they mean today.

A record's payload is `[version, entries, watermarks, outbox, entities, holes]` in MessagePack.
Entries are events as they were encoded once, when they happened: nothing here encodes one again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from exchange.account.events import AccountEvent
from exchange.directory.events import DirectoryEvent
from exchange.faults import CommandQuarantined
from exchange.market.events import MarketEvent, MarketToAccount
from exchange.message import Event
from storage.ports import CorruptError, StoreUnusableError

BODY_VERSION: Final = 1

AccountEntry = AccountEvent | MarketToAccount | CommandQuarantined
MarketEntry = MarketEvent | CommandQuarantined
DirectoryEntry = DirectoryEvent | CommandQuarantined

Upcaster = Callable[[list[object]], Event]
"""From the fields of an old event (without its tag) to the event that says the same today."""

UPCASTERS: Final[dict[int, Upcaster]] = {}
"""By the tag that is no longer in use. An old tag never gets a new meaning, so this only grows."""

E = TypeVar("E")


class RecordBody(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a record says. The entries are views into the payload they were decoded from."""

    version: int
    entries: list[msgspec.Raw]
    watermarks: dict[str, int]  # how far each source is applied after this; only those that moved
    outbox: dict[str, int]  # the first number to each target shard that this record uses
    entities: list[int]  # to which entity each entry happened; empty: the shard has only one
    # Below a watermark, taken in and not yet applied: source -> number -> by which entities. Rare.
    holes: dict[str, dict[int, list[int]]]


class TypedBody(msgspec.Struct, Generic[E], frozen=True, array_like=True, gc=False):
    """RecordBody with its entries as events."""

    version: int
    entries: list[E]
    watermarks: dict[str, int]
    outbox: dict[str, int]
    entities: list[int]
    holes: dict[str, dict[int, list[int]]]


encode_event = msgspec.msgpack.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode
_decode_body = msgspec.msgpack.Decoder(RecordBody).decode
_decode_any = msgspec.msgpack.Decoder().decode

_ARRAY_OF_6: Final = b"\x96"
_ARRAY_32: Final = b"\xdd"
_BODY_START: Final = _ARRAY_OF_6 + _encode(BODY_VERSION) + _ARRAY_32


def encode_body(
    entries: Sequence[bytes | msgspec.Raw],
    watermarks: Mapping[str, int],
    outbox: Mapping[str, int],
    entities: Sequence[int] = (),
    holes: Mapping[str, Mapping[int, Sequence[int]]] | None = None,
) -> bytes:
    """Return the payload of a record whose entries are events already encoded.

    The frame is put around the entries by hand: one copy joins them, none is visited.
    """
    return b"".join(
        (
            _BODY_START,
            len(entries).to_bytes(4, "big"),
            *entries,
            _encode(watermarks),
            _encode(outbox),
            _encode(entities),
            _encode(holes or {}),
        )
    )


def decode_body(payload: bytes) -> RecordBody:
    """Return the body with its entries still encoded.

    Raises:
        CorruptError: not the bytes of a body.
        StoreUnusableError: written by a newer version of this program.
    """
    try:
        body = _decode_body(payload)
    except msgspec.DecodeError as error:
        # A newer body may have another shape; its version is what the operator has to know.
        _check_version(_version_of(payload))
        raise CorruptError(f"a record is not readable: {error}") from error
    _check_version(body.version)
    return body


class EntryCodec(Generic[E]):
    """Decodes the entries of one kind of stream, old ones included."""

    def __init__(self, entry_type: object, upcasters: Mapping[int, Upcaster] = UPCASTERS) -> None:
        self._decode: Callable[[bytes | msgspec.Raw], E] = msgspec.msgpack.Decoder(
            entry_type
        ).decode
        self._decode_typed: Callable[[bytes], TypedBody[E]] = msgspec.msgpack.Decoder(
            TypedBody[entry_type]  # type: ignore[valid-type]
        ).decode
        self._upcasters = upcasters

    def entry(self, raw: bytes | msgspec.Raw) -> E:
        """Return one event; raise CorruptError if it is none of this stream."""
        try:
            return self._decode(raw)
        except msgspec.DecodeError as error:
            return self._upcast(raw, error)

    def body(self, payload: bytes) -> TypedBody[E]:
        """Return a record's body with all entries decoded: one call, several times as fast.

        Raises:
            CorruptError, StoreUnusableError: as decode_body.
        """
        try:
            typed = self._decode_typed(payload)
        except msgspec.DecodeError:
            body = decode_body(payload)  # says so if the trouble is the version
            return TypedBody(
                body.version,
                [self.entry(raw) for raw in body.entries],
                body.watermarks,
                body.outbox,
                body.entities,
                body.holes,
            )
        _check_version(typed.version)
        return typed

    def _upcast(self, raw: bytes | msgspec.Raw, error: msgspec.DecodeError) -> E:
        # Retired tags are in no union, so decoding fails and current events never pay for old ones.
        try:
            fields = _decode_any(raw)
        except msgspec.DecodeError:
            fields = None
        if isinstance(fields, list) and fields:
            upcast = self._upcasters.get(fields[0])
            if upcast is not None:
                # Decoded once more, so that an upcaster cannot smuggle in a foreign type.
                return self._decode(encode_event(upcast(fields[1:])))
        raise CorruptError(f"an entry is not an event of this stream: {error}") from error


ACCOUNT_ENTRIES: Final[EntryCodec[AccountEntry]] = EntryCodec(AccountEntry)
MARKET_ENTRIES: Final[EntryCodec[MarketEntry]] = EntryCodec(MarketEntry)
DIRECTORY_ENTRIES: Final[EntryCodec[DirectoryEntry]] = EntryCodec(DirectoryEntry)

decode_account_entry = ACCOUNT_ENTRIES.entry
decode_market_entry = MARKET_ENTRIES.entry
decode_directory_entry = DIRECTORY_ENTRIES.entry


def _version_of(payload: bytes) -> object:
    try:
        fields = _decode_any(payload)
    except msgspec.DecodeError:
        return None
    return fields[0] if isinstance(fields, list) and fields else None


def _check_version(version: object) -> None:
    if isinstance(version, int) and version > BODY_VERSION:
        raise StoreUnusableError(
            f"a record has format {version}, this program reads up to {BODY_VERSION}: upgrade it"
        )
    if version is not None and version != BODY_VERSION:
        raise CorruptError(f"a record has the unknown format {version!r}")
