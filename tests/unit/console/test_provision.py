"""What the demo and the benchmarks put in place is what the real directory accepts."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.e2e import MARKET
from benchmarks.replay import ES_USD
from config.load import override
from config.schema import NodeConfig
from console.demo import DEPOSIT_BASE, DEPOSIT_QUOTE, STATE_FILE, prepare
from console.markets import list_markets, set_status
from console.provision import ProvisionError, ensure_market, new_trader
from console.users import KeyChoice, revoke_key
from exchange.directory.commands import KeyType
from exchange.instrument import Instrument, MarketStatus
from tests.unit.console.directory_node import DirectoryNode


@pytest.mark.parametrize("instrument", [MARKET, ES_USD])
async def test_the_markets_of_the_benchmarks_are_accepted_once_and_then_taken_as_they_are(
    instrument: Instrument,
) -> None:
    node = DirectoryNode()
    await ensure_market(node, instrument)
    await ensure_market(node, instrument)
    assert node.kept.instruments == {instrument.symbol: instrument}


async def test_a_market_that_cannot_be_is_an_error() -> None:
    wrong = msgspec.structs.replace(MARKET, tick_size=1)
    with pytest.raises(ProvisionError, match=r"market LOADUSD.*invalid_definition"):
        await ensure_market(DirectoryNode(), wrong)


@pytest.mark.parametrize("choice", list(KeyChoice))
async def test_a_new_trader_has_a_key_and_money(choice: KeyChoice) -> None:
    node = DirectoryNode()
    await ensure_market(node, MARKET)
    key = await new_trader(node, "bot", choice, {"USD": 5})
    kept = node.kept.key(key.key_id)
    assert kept is not None
    assert (kept.account_id, kept.key_type) == (1, KeyType[choice.name])
    assert node.balances == {(1, "USD"): 5}
    with pytest.raises(ProvisionError, match="user bot"):
        await new_trader(node, "bot", choice, {})


async def test_a_revoked_key_is_gone() -> None:
    node = DirectoryNode()
    key = await new_trader(node, "bot", KeyChoice.HMAC, {})
    assert (await revoke_key(node, key.key_id)).facts["revoked"]
    assert node.kept.key(key.key_id) is None


async def test_a_halted_market_is_listed_as_halted() -> None:
    node = DirectoryNode()
    await ensure_market(node, MARKET)
    await set_status(node, "LOADUSD", MarketStatus.HALT, "test")
    outcome = await list_markets(node)
    assert outcome.rows is not None
    assert outcome.rows[0]["status"] == "halt"


async def test_a_second_start_of_the_demo_goes_on_with_its_traders(tmp_path: Path) -> None:
    node = DirectoryNode()
    config = override(NodeConfig(), "node", data_dir=str(tmp_path))
    first = await prepare(node, config)
    assert (len(first.makers), len(first.takers)) == (config.demo.makers, config.demo.takers)
    second = await prepare(node, config)
    assert second == first
    assert len(node.kept.users) == config.demo.makers + config.demo.takers
    assert set(node.balances.values()) == {DEPOSIT_BASE, DEPOSIT_QUOTE}
    assert (tmp_path / STATE_FILE).stat().st_mode & 0o077 == 0


async def test_more_traders_in_the_settings_are_added_to_those_there(tmp_path: Path) -> None:
    node = DirectoryNode()
    config = override(NodeConfig(), "node", data_dir=str(tmp_path))
    first = await prepare(node, config)
    grown = await prepare(node, override(config, "demo", takers=5))
    assert grown.makers == first.makers
    assert grown.takers[:3] == first.takers
    assert len(grown.takers) == 5


async def test_an_unreadable_state_of_the_demo_means_new_traders(tmp_path: Path) -> None:
    node = DirectoryNode()
    config = override(NodeConfig(), "node", data_dir=str(tmp_path))
    first = await prepare(node, config)
    (tmp_path / STATE_FILE).write_text("{")
    assert not set(await keys_of(node, config)) & {key.key_id for key in first.makers}


async def keys_of(node: DirectoryNode, config: NodeConfig) -> list[str]:
    return [key.key_id for key in (await prepare(node, config)).makers]
