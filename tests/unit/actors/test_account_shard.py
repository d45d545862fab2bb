"""What an account's shard does with an event that its ledger refuses: it never happened."""

import random
from typing import Any

import pytest
from msgspec import Raw

from actors.account_shard import AccountShard
from actors.batch import encode
from actors.host_core import HostCore
from exchange.account.state import Account
from exchange.errors import InvariantError
from exchange.market.events import TradeExecuted
from exchange.orders import Side
from tests.support.shards import BTCUSDT, Context


class Here:
    def host_of(self, shard: str) -> str:
        return "accounts-1"


def no_link(peer: str, core: HostCore) -> Any:
    raise AssertionError(f"nothing is sent to {peer}")


def test_a_trade_that_the_ledger_refuses_is_not_journaled() -> None:
    core = HostCore(
        "accounts-1",
        1,
        placement=Here(),
        randomness=random.Random(1),
        clock_ns=lambda: 1,
        monotonic_ns=lambda: 1,
        new_link=no_link,
        submit=lambda records: None,
    )
    shard = AccountShard("account/0", core, Context(BTCUSDT), 1)
    trade = TradeExecuted(1, "BTCUSDT", 100, 1, 10, 20, Side.BUY, 1, 1, 1, 0, 2, 2, 1, 0, 5)
    with pytest.raises(InvariantError):  # nobody here has ever ordered in that market
        shard.consumed(Account(1), trade, Raw(encode(trade)), "market/BTCUSDT", 1)
    assert shard.batch.is_empty
