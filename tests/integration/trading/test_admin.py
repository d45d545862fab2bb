"""Operators at work: every command of the real command line, its JSON, exit code and effect."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from benchmarks.client import Credentials
from tests.integration.trading.conftest import known
from tests.integration.trading.live_node import LiveNode
from tests.integration.trading.trader import Json, Trader, limit_order, tradable, trading

SYMBOL = "ETHEUR"
CLOSED = (400, -2010, "Market is closed.")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveNode]:
    """A node without markets or users: all comes from the command line."""
    node = LiveNode(tmp_path_factory.mktemp("admin"))
    node.start()
    yield node
    node.close()


def _done(node: LiveNode, *words: str) -> dict[str, Any]:
    code, facts = node.command(*words)
    assert code == 0, facts
    return facts


def _all_at_once(node: LiveNode, *commands: tuple[str, ...]) -> list[tuple[int, dict[str, Any]]]:
    """Run commands that do not depend on each other; most of their time is that of starting."""
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda words: node.command(*words), commands))


def _hmac(facts: dict[str, Any]) -> Credentials:
    return Credentials(key_id=facts["key_id"], key_type="hmac", secret=facts["secret"])


async def test_market_opened_at_run_time_trades_at_once(node: LiveNode, tmp_path: Path) -> None:
    people = [("user", "create", name) for name in ("alice", "bob")]
    assets = [("asset", "add", code, "--name", code) for code in ("ETH", "EUR")]
    made = _all_at_once(node, *assets, *people)
    assert [code for code, _ in made] == [0, 0, 0, 0]
    assert [facts["asset"] for _, facts in made[:2]] == ["ETH", "EUR"]
    alice, bob = made[2][1]["account"], made[3][1]["account"]
    market = ("market", "add", SYMBOL, "--base", "ETH", "--quote", "EUR", "--tick", "0.01")
    fees = ("--lot", "0.001", "--maker-fee", "0", "--taker-fee", "0.2%")
    assert _done(node, *market, *fees)["symbol"] == SYMBOL
    (_, ether), (_, euros), (_, hmac), (_, ed25519) = _all_at_once(
        node,
        ("deposit", str(alice), "ETH", "5"),
        ("deposit", str(bob), "EUR", "10000"),
        ("key", "create", "--user", str(alice), "--type", "hmac"),
        ("key", "create", "--user", str(bob), "--type", "ed25519"),
    )
    assert (ether["available"], euros["available"]) == ("5.00000000", "10000.00000000")
    alice_key = _hmac(hmac)
    assert ed25519["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    bob_key = Credentials(key_id=ed25519["key_id"], key_type="ed25519", secret=ed25519["seed_hex"])

    (listed,) = _done(node, "market", "list")["rows"]
    assert (listed["symbol"], listed["status"], listed["tick"]) == (SYMBOL, "trading", "0.01")
    assert (listed["maker_fee"], listed["taker_fee"]) == ("0", "0.002")

    async with trading(node.url, alice_key) as seller, trading(node.url, bob_key) as buyer:
        await known(seller)
        await known(buyer)
        await tradable(buyer, SYMBOL)
        await _place(seller, "SELL", "2000", "1.5")
        bought = await _place(buyer, "BUY", "2000", "0.5")
        assert (bought["status"], bought["fills"][0]["commission"]) == ("FILLED", "0.00100000")
        assert await buyer.free_and_locked("ETH") == ("0.49900000", "0.00000000")
        assert await seller.free_and_locked("EUR") == ("1000.00000000", "0.00000000")

        exit_code, facts = node.command("withdraw", str(alice), "EUR", "1000.00000001")
        assert (exit_code, facts["refused"]) == (1, "insufficient_funds")
        gone = _done(node, "withdraw", str(alice), "EUR", "400", "--reference", "once")
        assert gone["available"] == "600.00000000"
        again = _done(node, "withdraw", str(alice), "EUR", "400", "--reference", "once")
        assert again["available"] == "600.00000000"
        assert await seller.free_and_locked("EUR") == ("600.00000000", "0.00000000")

        await _check_statuses(node, seller, buyer)
        await _check_keys(node, bob, tmp_path)
        await _check_revoked(node, alice_key, seller)

    (_, audited), (_, snapshots), (_, status) = _all_at_once(
        node, ("audit",), ("snapshot",), ("status",)
    )
    assert (audited["is_clean"], audited["trades"]) == (True, 2)
    shards = {row["shard"]: row["seq"] for row in snapshots["rows"]}
    assert shards[f"market/{SYMBOL}"] > 0
    assert {"directory/0", "account/0", "account/1"} <= set(shards)
    assert status["phase"] == "ready"
    names = [(row["name"], row["phase"], row["starts"]) for row in status["rows"]]
    assert names == [
        (name, "ready", 1) for name in ("accounts-1", "markets-1", "gateway-1", "projection")
    ]
    assert all(Path(f"/proc/{row['pid']}").exists() for row in status["rows"])


async def _check_statuses(node: LiveNode, seller: Trader, buyer: Trader) -> None:
    """Halt, cancel-only and resume, with what they mean for orders."""
    resting = (await seller.call("openOrders.status"))[0]["orderId"]
    halted = _done(node, "market", "halt", SYMBOL, "--reason", "test")
    assert (halted["status"], halted["reason"]) == ("halt", "test")
    await _until_refused(buyer)
    assert await seller.refusal("order.cancel", symbol=SYMBOL, orderId=resting) == (
        400,
        -2011,
        "Market is closed.",
    )
    info = await buyer.plain("exchangeInfo", symbol=SYMBOL)
    assert info["symbols"][0]["status"] == "HALT"

    _done(node, "market", "resume", SYMBOL, "--reason", "test over")
    await _until_traded(buyer)
    _done(node, "market", "cancel-only", SYMBOL, "--reason", "delisting")
    await _until_refused(buyer)
    gone = await seller.call("order.cancel", symbol=SYMBOL, orderId=resting)
    assert gone["status"] == "CANCELED"
    _done(node, "market", "resume", SYMBOL, "--reason", "back again")


async def _check_keys(node: LiveNode, account: int, directory: Path) -> None:
    """A key made by its owner, and one that may only read."""
    seed = SigningKey.generate()
    public = directory / "public.der"
    public.write_bytes(bytes.fromhex("302a300506032b6570032100") + bytes(seed.verify_key))
    create = ("key", "create", "--user", str(account), "--type")
    (_, made), (_, limited) = _all_at_once(
        node,
        (*create, "ed25519", "--public-key", str(public)),
        (*create, "hmac", "--permissions", "read"),
    )
    assert "private_key" not in made
    own = Credentials(key_id=made["key_id"], key_type="ed25519", secret=bytes(seed).hex())
    reading = _hmac(limited)
    async with trading(node.url, own) as owner, trading(node.url, reading) as reader:
        await known(owner)
        await known(reader)
        placed = await _place(owner, "BUY", "1000", "0.1")
        refused = (401, -2015, "Invalid API-key, IP, or permissions for action.")
        assert (
            await reader.refusal("order.cancel", symbol=SYMBOL, orderId=placed["orderId"])
            == refused
        )
        await owner.call("order.cancel", symbol=SYMBOL, orderId=placed["orderId"])


async def _check_revoked(node: LiveNode, key: Credentials, trader: Trader) -> None:
    assert _done(node, "key", "revoke", key.key_id)["revoked"] is True
    answers: list[Json] = []
    while not answers or answers[-1]["status"] == 200:
        answers.append(await trader.response("account.status", trader.signed()))
        assert len(answers) < 1_000, "a revoked key still works"
    assert answers[-1]["error"]["code"] == -2015


async def _place(trader: Trader, side: str, price: str, quantity: str) -> Any:
    order = limit_order(side, price, quantity, symbol=SYMBOL, newOrderRespType="FULL")
    return await trader.call("order.place", **order)


async def _until_refused(buyer: Trader) -> None:
    """The market hears of its status within a moment; until then orders go through."""
    answers: list[Json] = []

    async def is_closed() -> bool:
        order = limit_order("BUY", "1500", "0.1", symbol=SYMBOL, timeInForce="IOC")
        answers.append(await buyer.response("order.place", buyer.signed(**order)))
        return "error" in answers[-1]

    while not await is_closed():
        assert len(answers) < 1_000, "the market is still open"
    error = answers[-1]["error"]
    assert (answers[-1]["status"], error["code"], error["msg"]) == CLOSED


async def _until_traded(buyer: Trader) -> None:
    answers: list[Json] = []
    while not answers or "error" in answers[-1]:
        assert len(answers) < 1_000, "the market is still closed"
        order = limit_order("BUY", "2000", "0.1", symbol=SYMBOL, timeInForce="IOC")
        answers.append(await buyer.response("order.place", buyer.signed(**order)))
    assert answers[-1]["result"]["status"] == "FILLED"


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("user", "create", "carol"), 1, "already_exists"),
    (("key", "create", "--user", "999", "--type", "hmac"), 1, "unknown_user"),
    (("key", "revoke", "nokey"), 1, "unknown_key"),
    (("deposit", "999", "EUR", "1"), 1, "unknown_account"),
    (("asset", "add", "JPY"), 1, "already_exists"),
    (("market", "halt", "NOPE", "--reason", "x"), 1, "unknown_symbol"),
    (
        ("market", "add", "XJPY", "--base", "X", "--quote", "JPY", "--tick", "1", "--lot", "1"),
        1,
        "unknown_asset",
    ),
]


def test_refused_commands_say_why(node: LiveNode) -> None:
    _all_at_once(node, ("user", "create", "carol"), ("asset", "add", "JPY"))
    found = _all_at_once(node, *(words for words, _, _ in REFUSED))
    for (words, code, reason), (exit_code, facts) in zip(REFUSED, found, strict=True):
        assert (exit_code, facts.get("refused")) == (code, reason), words


NONSENSE: list[tuple[str, ...]] = [
    ("deposit", "1", "EUR", "1.123456789"),
    ("deposit", "1", "EUR", "much"),
    ("deposit", "0", "EUR", "1"),
    ("key", "create", "--user", "1", "--type", "rot13"),
    ("market", "halt", "BTCUSDT"),
    ("nonsense",),
]


def test_words_that_make_no_sense_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    assert [code for code, _ in _all_at_once(LiveNode(tmp_path), *NONSENSE)] == [2] * len(NONSENSE)


def test_commands_without_a_node_say_that_nobody_answers(tmp_path: Path) -> None:
    nobody = LiveNode(tmp_path)
    commands = (("status",), ("user", "create", "x"), ("audit",), ("stop",), ("snapshot",))
    assert [code for code, _ in _all_at_once(nobody, *commands)] == [3] * len(commands)


async def test_second_node_on_the_same_data_is_refused_and_the_first_goes_on(
    node: LiveNode,
) -> None:
    second = LiveNode(node.data_dir.parent)
    second.log = node.data_dir.parent / "second.log"
    with pytest.raises(AssertionError, match="the node ended"):
        second.start()
    assert second.process is not None
    assert second.process.wait(10) == 6
    assert node.command("status")[0] == 0


def test_stop_ends_the_node_in_order(tmp_path: Path) -> None:
    node = LiveNode(tmp_path)
    try:
        node.start()
        pid = node.pid_of("accounts-1")
        assert node.command("stop") == (0, {"stopped": True})
        assert node.process is not None
        assert node.process.wait(20) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        node.close()
