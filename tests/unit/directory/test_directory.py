"""Every refusal of the directory, what its copies see, and how it is rebuilt."""

from typing import Any

import msgspec
import pytest

from exchange.directory import snapshot
from exchange.directory.commands import (
    AddAsset,
    AddMarket,
    ChangeInstrument,
    CreateKey,
    CreateUser,
    KeyType,
    Permission,
    RevokeKey,
    SetFees,
    SetMarketStatus,
)
from exchange.directory.decider import decide, evolve
from exchange.directory.events import KeyCreated, KeyRevoked, MarketAdded, UserCreated
from exchange.directory.state import Directory, full_events
from exchange.errors import InvariantError
from exchange.instrument import MarketStatus
from exchange.money import UNIT
from exchange.reject import RejectReason
from tests.support.shards import BTCUSDT

WHO = 1_000, "console", 1
INVALID = RejectReason.INVALID_DEFINITION


def key(**changes: Any) -> CreateKey:
    fields: dict[str, Any] = {
        "key_id": "k1",
        "account_id": 1,
        "key_type": KeyType.HMAC,
        "secret": b"sealed",
        "permissions": Permission.READ | Permission.TRADE,
        "addresses": ("10.0.0.0/8", "::1"),
        "label": "bot",
    }
    fields |= changes
    received_at_ns, reply_to, request_id = WHO
    return CreateKey(
        **fields, received_at_ns=received_at_ns, reply_to=reply_to, request_id=request_id
    )


def do(directory: Directory, command: Any) -> Any:
    events, reason = decide(directory, command)
    assert reason is RejectReason.NONE
    [event] = events
    evolve(directory, event)
    return event


@pytest.fixture
def directory() -> Directory:
    directory = Directory()
    do(directory, CreateUser("alice", *WHO))
    do(directory, key())
    for code in ("BTC", "USDT"):
        do(directory, AddAsset(code, "", *WHO))
    do(directory, AddMarket(BTCUSDT, *WHO))
    return directory


def refused(directory: Directory, command: Any) -> RejectReason:
    before = snapshot.encode(directory)
    events, reason = decide(directory, command)
    assert events == ()
    assert snapshot.encode(directory) == before
    return reason


def test_accounts_are_numbered_from_one(directory: Directory) -> None:
    assert do(directory, CreateUser("bob", *WHO)).account_id == 2
    assert directory.has_account(1) and directory.has_account(2)
    assert not directory.has_account(0) and not directory.has_account(3)


@pytest.mark.parametrize("name", ["", " x", "x" * 65, "a\nb", "ä", "-x"])
def test_bad_user_names_are_refused(directory: Directory, name: str) -> None:
    assert refused(directory, CreateUser(name, *WHO)) is INVALID


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, RejectReason.ALREADY_EXISTS),
        ({"key_id": "k2", "account_id": 9}, RejectReason.UNKNOWN_USER),
        ({"key_id": "k2", "account_id": 0}, RejectReason.UNKNOWN_USER),
        ({"key_id": ""}, INVALID),
        ({"key_id": "k/2"}, INVALID),
        ({"key_id": "k" * 65}, INVALID),
        ({"key_id": "k2", "key_type": 9}, INVALID),
        ({"key_id": "k2", "secret": b""}, INVALID),
        ({"key_id": "k2", "secret": b"x" * 4_097}, INVALID),
        ({"key_id": "k2", "permissions": Permission(0)}, INVALID),
        ({"key_id": "k2", "permissions": 8}, INVALID),
        ({"key_id": "k2", "addresses": ("nowhere",)}, INVALID),
        ({"key_id": "k2", "addresses": ("::1",) * 65}, INVALID),
        ({"key_id": "k2", "label": "a\x00"}, INVALID),
        ({"key_id": "k2", "label": "x" * 201}, INVALID),
    ],
)
def test_bad_keys_are_refused(
    directory: Directory, changes: dict[str, Any], expected: RejectReason
) -> None:
    assert refused(directory, key(**changes)) is expected


def test_a_revoked_key_is_gone_and_its_id_is_never_used_again(directory: Directory) -> None:
    assert directory.key("k1") is not None
    do(directory, RevokeKey("k1", *WHO))
    assert directory.key("k1") is None
    assert refused(directory, key()) is RejectReason.ALREADY_EXISTS
    assert refused(directory, RevokeKey("k1", *WHO)) is RejectReason.UNKNOWN_KEY
    assert b"sealed" not in snapshot.encode(directory)
    assert refused(snapshot.decode(snapshot.encode(directory)), key()) is RejectReason(3001)


def test_unknown_keys_are_not_revoked(directory: Directory) -> None:
    assert refused(directory, RevokeKey("nope", *WHO)) is RejectReason.UNKNOWN_KEY


@pytest.mark.parametrize("code", ["", "btc", "B C", "X" * 20, "B-C"])
def test_bad_asset_codes_are_refused(directory: Directory, code: str) -> None:
    assert refused(directory, AddAsset(code, "", *WHO)) is INVALID


def test_what_exists_is_not_added_again(directory: Directory) -> None:
    exists = RejectReason.ALREADY_EXISTS
    assert refused(directory, CreateUser("alice", *WHO)) is exists
    assert refused(directory, AddAsset("BTC", "", *WHO)) is exists
    assert refused(directory, AddMarket(BTCUSDT, *WHO)) is exists


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "ETHBTC"},
        {"symbol": "BTC/USDT"},
        {"symbol": "BTCBTC", "quote_asset": "BTC"},
        {"tick_size": 0},
        {"tick_size": -1, "lot_size": -UNIT},
        {"tick_size": 1, "lot_size": UNIT // 2},  # one tick on one lot is half a minor unit
        {"tick_size": 2**62, "lot_size": 2**62},
        {"price_ticks_min": 0},
        {"price_ticks_min": 9, "price_ticks_max": 8},
        {"quantity_lots_min": 0},
        {"quantity_lots_min": 9, "quantity_lots_max": 8},
        {"market_quantity_lots_max": 0},
        {"notional_min": -1},
        {"notional_min": 9, "notional_max": 8},
        {"notional_max": 2**63},
        {"band_up_e8": UNIT - 1},
        {"band_down_e8": 0},
        {"band_down_e8": UNIT + 1},
        {"protection_e8": 0},
        {"protection_e8": UNIT},
        {"maker_rate_e8": -1},
        {"taker_rate_e8": UNIT // 10 + 1},
        {"open_orders_max": 0},
        {"open_orders_max": 100_001},
        {"stp_default": 3, "stp_allowed": (0, 1)},
        {"stp_default": 7, "stp_allowed": (7,)},
        {"stp_allowed": (2, 2)},
    ],
)
def test_instruments_that_could_not_be_traded_exactly_are_refused(
    directory: Directory, changes: dict[str, Any]
) -> None:
    instrument = msgspec.structs.replace(BTCUSDT, **changes)
    directory.instruments.pop("BTCUSDT")
    directory.added_at_ns.pop("BTCUSDT")
    assert refused(directory, AddMarket(instrument, *WHO)) is INVALID


def test_markets_of_unknown_assets_are_refused(directory: Directory) -> None:
    instrument = msgspec.structs.replace(BTCUSDT, symbol="ETHUSDT", base_asset="ETH")
    assert refused(directory, AddMarket(instrument, *WHO)) is RejectReason.UNKNOWN_ASSET


def test_two_pairs_that_spell_the_same_symbol_cannot_both_be(directory: Directory) -> None:
    for code in ("BT", "CUSDT"):
        do(directory, AddAsset(code, "", *WHO))
    namesake = msgspec.structs.replace(BTCUSDT, base_asset="BT", quote_asset="CUSDT")
    assert refused(directory, AddMarket(namesake, *WHO)) is RejectReason.ALREADY_EXISTS


def test_filters_and_fees_may_change_but_not_what_orders_are_counted_in(
    directory: Directory,
) -> None:
    changed = msgspec.structs.replace(BTCUSDT, maker_rate_e8=0, open_orders_max=5)
    do(directory, ChangeInstrument(changed, *WHO))
    assert directory.instrument("BTCUSDT") == changed
    for field in ("tick_size", "lot_size"):
        doubled = {field: 2 * getattr(BTCUSDT, field)}
        other = msgspec.structs.replace(BTCUSDT, **doubled)
        assert refused(directory, ChangeInstrument(other, *WHO)) is INVALID
    swapped = msgspec.structs.replace(BTCUSDT, base_asset="BT", quote_asset="CUSDT")
    assert refused(directory, ChangeInstrument(swapped, *WHO)) is INVALID
    insane = msgspec.structs.replace(BTCUSDT, notional_min=-1)
    assert refused(directory, ChangeInstrument(insane, *WHO)) is INVALID
    unknown = msgspec.structs.replace(BTCUSDT, symbol="X")
    assert refused(directory, ChangeInstrument(unknown, *WHO)) is RejectReason.UNKNOWN_SYMBOL


def test_the_status_is_trading_until_set(directory: Directory) -> None:
    assert directory.status("BTCUSDT") is MarketStatus.TRADING
    do(directory, SetMarketStatus("BTCUSDT", MarketStatus.HALT, "drill", *WHO))
    assert directory.status("BTCUSDT") is MarketStatus.HALT
    command = SetMarketStatus("NOPE", MarketStatus.HALT, "", *WHO)
    assert refused(directory, command) is RejectReason.UNKNOWN_SYMBOL
    assert refused(directory, SetMarketStatus("BTCUSDT", 9, "", *WHO)) is INVALID  # type: ignore[arg-type]
    long = SetMarketStatus("BTCUSDT", MarketStatus.HALT, "x" * 201, *WHO)
    assert refused(directory, long) is INVALID


def test_own_fees_of_the_market_come_before_own_fees_before_the_instruments(
    directory: Directory,
) -> None:
    assert directory.fee_rates(1, "BTCUSDT") == (100_003, 200_017)
    do(directory, SetFees(1, "", 5, 6, *WHO))
    assert directory.fee_rates(1, "BTCUSDT") == (5, 6)
    do(directory, SetFees(1, "BTCUSDT", 0, 1, *WHO))
    assert directory.fee_rates(1, "BTCUSDT") == (0, 1)
    assert directory.fee_rates(2, "BTCUSDT") == (100_003, 200_017)
    do(directory, SetFees(1, "BTCUSDT", -1, -1, *WHO))
    do(directory, SetFees(1, "", -1, -1, *WHO))
    assert directory.fee_rates(1, "BTCUSDT") == (100_003, 200_017)
    assert directory.fees == {}


@pytest.mark.parametrize(
    ("account_id", "symbol", "maker", "taker", "expected"),
    [
        (9, "", 1, 1, RejectReason.UNKNOWN_USER),
        (1, "NOPE", 1, 1, RejectReason.UNKNOWN_SYMBOL),
        (1, "", -1, 1, INVALID),
        (1, "", 1, -2, INVALID),
        (1, "", UNIT, 1, INVALID),
    ],
)
def test_bad_fees_are_refused(
    directory: Directory,
    account_id: int,
    symbol: str,
    maker: int,
    taker: int,
    expected: RejectReason,
) -> None:
    assert refused(directory, SetFees(account_id, symbol, maker, taker, *WHO)) is expected


@pytest.mark.parametrize(
    ("bound", "command"),
    [
        ("USERS_MAX", CreateUser("bob", *WHO)),
        ("KEYS_MAX", key(key_id="k2")),
        ("ASSETS_MAX", AddAsset("ETH", "", *WHO)),
    ],
)
def test_a_full_directory_refuses(
    directory: Directory, monkeypatch: pytest.MonkeyPatch, bound: str, command: Any
) -> None:
    monkeypatch.setattr(f"exchange.directory.decider.{bound}", 1)
    assert refused(directory, command) is RejectReason.OVERLOADED


def test_the_directory_is_rebuilt_from_its_full_events(directory: Directory) -> None:
    do(directory, CreateUser("bob", *WHO))
    do(directory, key(key_id="k2", account_id=2))
    do(directory, RevokeKey("k1", *WHO))
    do(directory, SetMarketStatus("BTCUSDT", MarketStatus.CANCEL_ONLY, "", *WHO))
    do(directory, SetFees(1, "", 5, 6, *WHO))
    do(directory, ChangeInstrument(msgspec.structs.replace(BTCUSDT, taker_rate_e8=7), *WHO))
    copy = Directory()
    for event in full_events(directory):
        evolve(copy, event)
    assert copy == directory
    assert full_events(copy) == full_events(directory)
    restored = snapshot.decode(snapshot.encode(directory))
    assert restored == directory
    assert snapshot.encode(restored) == snapshot.encode(directory)


@pytest.mark.parametrize(
    "event",
    [
        UserCreated(1, "carol", 1),
        UserCreated(5, "carol", 1),
        UserCreated(2, "alice", 1),
        KeyCreated("k1", 1, KeyType.HMAC, b"x", Permission.READ, (), "", 1),
        MarketAdded(BTCUSDT, 1),
    ],
)
def test_an_event_that_contradicts_the_directory_is_a_bug(directory: Directory, event: Any) -> None:
    with pytest.raises(InvariantError):
        evolve(directory, event)


def test_a_key_is_revoked_once(directory: Directory) -> None:
    evolve(directory, KeyRevoked("k1", 1))
    with pytest.raises(InvariantError):
        evolve(directory, KeyRevoked("k1", 2))


def test_a_snapshot_of_another_version_is_not_guessed_at(directory: Directory) -> None:
    parts = msgspec.msgpack.decode(snapshot.encode(directory))
    parts[0] = 99
    with pytest.raises(InvariantError):
        snapshot.decode(msgspec.msgpack.encode(parts))
