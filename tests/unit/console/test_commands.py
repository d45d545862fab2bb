"""A command asks the node one thing and turns every answer into facts and an exit code."""

import base64
from pathlib import Path

import msgspec
import pytest
from nacl.signing import SigningKey

from console import exit_codes, markets, operate, transfers, users
from exchange.account.commands import Deposit, Withdraw
from exchange.answers import DirectoryDone, OutcomePending, Refused, Transferred
from exchange.audit import AssetLine, AuditReport, Finding
from exchange.directory.commands import AddMarket, CreateKey, KeyType, Permission, SetMarketStatus
from exchange.instrument import Instrument, MarketStatus
from exchange.money import UNIT
from exchange.reject import RejectReason
from tests.unit.console.scripted_node import ScriptedNode

BTCUSDT = Instrument(
    symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT", tick_size=10**6, lot_size=10**3
)
DONE = DirectoryDone(1, 7)
REFUSED = Refused(1, RejectReason.ALREADY_EXISTS)


async def test_a_new_user_has_the_account_that_the_directory_chose() -> None:
    outcome = await users.create_user(ScriptedNode(DONE), "alice")
    assert outcome.facts == {"account": 7, "name": "alice"}
    assert outcome.code == exit_codes.OK


@pytest.mark.parametrize(
    "question",
    [
        lambda node: users.create_user(node, "alice"),
        lambda node: users.create_key(node, 1, users.KeyChoice.HMAC),
        lambda node: users.revoke_key(node, "k"),
        lambda node: transfers.transfer(node, Deposit, 1, "BTC", 5),
        lambda node: markets.add_asset(node, "BTC", ""),
        lambda node: markets.add_market(node, BTCUSDT),
        lambda node: markets.set_status(node, "BTCUSDT", MarketStatus.HALT, "why"),
    ],
)
async def test_a_refusal_is_exit_code_1_with_the_reason(question: object) -> None:
    assert callable(question)
    outcome = await question(ScriptedNode(REFUSED))
    assert outcome.facts == {"refused": "already_exists", "reason_code": 3001}
    assert outcome.code == exit_codes.REFUSED
    odd = await question(ScriptedNode(OutcomePending(1, True, "account/0", 1)))
    assert odd.code == exit_codes.UNREACHABLE


async def test_an_hmac_secret_is_shown_once_and_travels_sealed() -> None:
    node = ScriptedNode(DONE)
    outcome = await users.create_key(node, 3, users.KeyChoice.HMAC, label="bot")
    command = node.asked[0]
    assert isinstance(command, CreateKey)
    secret = outcome.facts["secret"]
    assert len(secret) == users.SECRET_CHARACTERS
    assert command.secret == node.seal(command.key_id, secret.encode())
    assert (command.account_id, command.key_type, command.label) == (3, KeyType.HMAC, "bot")
    assert command.key_id == outcome.facts["key_id"]


async def test_a_generated_ed25519_pair_fits_together() -> None:
    node = ScriptedNode(DONE)
    outcome = await users.create_key(node, 3, users.KeyChoice.ED25519)
    command = node.asked[0]
    assert isinstance(command, CreateKey)
    seed = bytes.fromhex(outcome.facts["seed_hex"])
    assert command.secret[-32:] == bytes(SigningKey(seed).verify_key)
    der = base64.b64decode("".join(outcome.facts["private_key"].splitlines()[1:-1]))
    assert der[-32:] == seed
    assert len(der) == 48


async def test_a_users_own_public_key_leaves_no_secret_here() -> None:
    outcome = await users.create_key(
        ScriptedNode(DONE), 3, users.KeyChoice.ED25519, public_key=b"der"
    )
    assert set(outcome.facts) == {"key_id", "type", "account"}


def test_public_keys_are_read_from_pem_and_der(tmp_path: Path) -> None:
    der = bytes.fromhex("302a300506032b6570032100") + bytes(range(32))
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"
    for name, data in (("k.der", der), ("k.pem", pem)):
        (tmp_path / name).write_bytes(data)
        assert users.read_public_key(tmp_path / name) == der


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", bytes(44), b"-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----"],
)
def test_anything_else_is_no_public_key(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "k.pem"
    path.write_bytes(data)
    with pytest.raises(users.KeyFileError, match=r"k\.pem: not a"):
        users.read_public_key(path)
    with pytest.raises(users.KeyFileError, match="cannot be read"):
        users.read_public_key(tmp_path / "absent")


async def test_a_transfer_shows_balances_as_decimals() -> None:
    answer = Transferred(1, "BTC", 3 * UNIT // 2, 1, 0)
    outcome = await transfers.transfer(ScriptedNode(answer), Deposit, 4, "BTC", UNIT, "r1")
    assert outcome.facts["available"] == "1.50000000"
    assert outcome.facts["held"] == "0.00000001"


async def test_one_reference_is_one_transfer_of_one_kind() -> None:
    answer = Transferred(1, "BTC", 1, 0, 0)
    node = ScriptedNode(*[answer] * 6)
    for kind, account, reference in (
        (Deposit, 4, "r1"),
        (Deposit, 4, "r1"),
        (Withdraw, 4, "r1"),
        (Deposit, 5, "r1"),
        (Deposit, 4, ""),
        (Deposit, 4, ""),
    ):
        await transfers.transfer(node, kind, account, "BTC", 1, reference)
    identities = [msgspec.structs.asdict(command)["identity"] for command in node.asked]
    assert identities[0] == identities[1]
    assert len(set(identities)) == 5


async def test_a_market_is_added_with_its_instrument() -> None:
    node = ScriptedNode(DONE)
    outcome = await markets.add_market(node, BTCUSDT)
    command = node.asked[0]
    assert isinstance(command, AddMarket)
    assert command.instrument == BTCUSDT
    assert outcome.facts["tick"] == "0.01"
    assert outcome.facts["lot"] == "0.00001"
    assert outcome.facts["maker_fee"] == "0.001"


async def test_a_halt_carries_its_reason() -> None:
    node = ScriptedNode(DONE)
    await markets.set_status(node, "BTCUSDT", MarketStatus.CANCEL_ONLY, "delisting")
    command = node.asked[0]
    assert isinstance(command, SetMarketStatus)
    assert (command.symbol, command.status) == ("BTCUSDT", MarketStatus.CANCEL_ONLY)
    assert command.reason == "delisting"


async def test_markets_are_listed_with_their_status() -> None:
    outcome = await markets.list_markets(ScriptedNode(markets=[(BTCUSDT, MarketStatus.HALT)]))
    assert outcome.rows is not None
    assert (outcome.rows[0]["symbol"], outcome.rows[0]["status"]) == ("BTCUSDT", "halt")


def test_a_clean_audit_shows_assets_and_one_with_findings_has_an_exit_code_of_its_own() -> None:
    line = AssetLine("BTC", UNIT, 0, 1, 0, UNIT + 1)
    clean = operate.audited(AuditReport((line,), (), 1, 0, 0, 0))
    assert clean.rows is not None
    assert (clean.code, clean.facts["is_clean"]) == (exit_codes.OK, True)
    assert (clean.rows[0]["available"], clean.rows[0]["difference"]) == ("1.00000000", "0.00000000")
    finding = Finding("negative_balance", "account/0", {"account_id": 1})
    dirty = operate.audited(AuditReport((line,), (finding,), 1, 0, 0, 0))
    assert dirty.rows is not None
    assert (dirty.code, dirty.rows[0]["code"]) == (exit_codes.FINDINGS, "negative_balance")


def test_a_node_that_does_not_run_is_unreachable(tmp_path: Path) -> None:
    assert operate.status(tmp_path).code == exit_codes.UNREACHABLE
    assert operate.stop(tmp_path).code == exit_codes.UNREACHABLE
    assert operate.audit(tmp_path).code == exit_codes.UNREACHABLE


def test_a_permission_is_named_as_a_flag() -> None:
    from console.arguments import permissions

    assert permissions("read,trade") == Permission.READ | Permission.TRADE
