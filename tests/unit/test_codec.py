"""What is written can be read for years, and what cannot be read says why."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.account.events import Deposited, RequestRefused
from exchange.market.events import OrderRejected
from exchange.message import Event
from exchange.reject import RejectReason
from storage.codec import (
    AccountEntry,
    EntryCodec,
    decode_account_entry,
    decode_body,
    decode_directory_entry,
    decode_market_entry,
    encode_body,
    encode_event,
)
from storage.ports import CorruptError, StoreUnusableError

DEPOSITED = Deposited(7, "BTC", 100, 1_000, b"0123456789abcdef")
REJECTED = OrderRejected(7, 3, "BTCUSDT", RejectReason.PRICE_FILTER, 2_000)


@given(
    st.lists(st.integers(0, 2**63), max_size=70),
    st.dictionaries(st.text(), st.integers(0, 2**63)),
    st.dictionaries(st.text(), st.integers(0, 2**63)),
)
def test_decoded_body_equals_what_was_encoded(
    amounts: list[int], watermarks: dict[str, int], outbox: dict[str, int]
) -> None:
    events = [Deposited(1, "BTC", amount, 5, b"i") for amount in amounts]
    body = decode_body(encode_body([encode_event(event) for event in events], watermarks, outbox))
    assert [decode_account_entry(raw) for raw in body.entries] == events
    assert (body.watermarks, body.outbox) == (watermarks, outbox)


def test_entries_may_be_views_of_other_records() -> None:
    first = encode_body([encode_event(DEPOSITED), encode_event(REJECTED)], {"market/X": 4}, {})
    second = encode_body(decode_body(first).entries, {"market/X": 4}, {})
    assert first == second


def test_whole_body_is_decoded_to_events_of_both_kinds() -> None:
    payload = encode_body([encode_event(DEPOSITED), encode_event(REJECTED)], {"market/X": 4}, {})
    body = EntryCodec[AccountEntry](AccountEntry).body(payload)
    assert body.entries == [DEPOSITED, REJECTED]
    assert body.watermarks == {"market/X": 4}


def test_event_of_another_stream_is_corrupt() -> None:
    raw = encode_event(DEPOSITED)
    with pytest.raises(CorruptError):
        decode_market_entry(raw)
    with pytest.raises(CorruptError):
        decode_directory_entry(raw)
    with pytest.raises(CorruptError):
        decode_account_entry(b"\xc1")


@pytest.mark.parametrize(
    "payload", [b"", b"\xc1", b"\x94\x01\x90\x80", b"\x90", msgspec.msgpack.encode("no body")]
)
def test_bytes_that_are_no_body_are_corrupt(payload: bytes) -> None:
    with pytest.raises(CorruptError):
        decode_body(payload)
    with pytest.raises(CorruptError):
        EntryCodec[AccountEntry](AccountEntry).body(payload)


@pytest.mark.parametrize("body", [[2, [], {}, {}], [2, {"another": "shape"}], [2]])
def test_body_of_a_newer_program_is_refused_with_the_version(body: list[object]) -> None:
    payload = msgspec.msgpack.encode(body)
    with pytest.raises(StoreUnusableError, match="format 2"):
        decode_body(payload)
    with pytest.raises(StoreUnusableError, match="format 2"):
        EntryCodec[AccountEntry](AccountEntry).body(payload)


class RefusedLongAgo(Event, frozen=True, tag=199):
    """A made-up event of the past: it had no time."""

    account_id: int
    identity: bytes


def _upcast_refused(fields: list[object]) -> Event:
    account_id, identity = msgspec.convert(fields, tuple[int, bytes])
    return RequestRefused(account_id, RejectReason.INSUFFICIENT_FUNDS, 0, identity)


def test_old_event_is_read_as_what_it_means_today() -> None:
    codec: EntryCodec[AccountEntry] = EntryCodec(AccountEntry, {199: _upcast_refused})
    old = encode_event(RefusedLongAgo(7, b"id"))
    today = RequestRefused(7, RejectReason.INSUFFICIENT_FUNDS, 0, b"id")
    assert codec.entry(old) == today
    assert codec.body(encode_body([encode_event(DEPOSITED), old], {}, {})).entries == [
        DEPOSITED,
        today,
    ]
    with pytest.raises(CorruptError):
        decode_account_entry(old)
