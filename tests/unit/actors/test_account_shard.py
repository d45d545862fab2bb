"""What an account's shard does when something beside the fold fails."""

import random
from typing import Any, cast

import pytest
from msgspec import Raw

from actors.account_shard import AccountShard
from actors.batch import encode
from actors.host_core import HostCore
from actors.link import Link
from actors.wire import UserSubscribed
from exchange.account.state import Account
from exchange.errors import InvariantError
from exchange.market.events import OrderClosed, TradeExecuted
from exchange.orders import ExpiryReason, OrderStatus, Side
from tests.support.shards import BTCUSDT, Context


class Here:
    def host_of(self, shard: str) -> str:
        return "accounts-1"


def no_link(peer: str, core: HostCore) -> Any:
    raise AssertionError(f"nothing is sent to {peer}")


class Told:
    """As much of a link as a confirmation needs."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, item: Any) -> bool:
        self.items.append(item)
        return True


def new_shard() -> AccountShard:
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
    return AccountShard("account/0", core, Context(BTCUSDT), 1)


def test_a_trade_that_the_ledger_refuses_is_not_journaled() -> None:
    shard = new_shard()
    trade = TradeExecuted(1, "BTCUSDT", 100, 1, 10, 20, Side.BUY, 1, 1, 1, 0, 2, 2, 1, 0, 5)
    with pytest.raises(InvariantError):  # nobody here has ever ordered in that market
        shard.consumed(Account(1), trade, Raw(encode(trade)), "market/BTCUSDT", 1)
    assert shard.batch.is_empty


def test_a_report_that_cannot_be_made_costs_a_gap_and_not_the_event() -> None:
    shard = new_shard()
    account = shard.accounts[1] = Account(1, user_seq=7)
    shard.feeds.gateways[1] = {"gateway-1": None}
    unknown = OrderClosed(
        1, 1, 1, "BTCUSDT", OrderStatus.CANCELED, ExpiryReason.NONE, "", 0, b"", 5
    )
    shard.feeds.report(account, unknown)  # of an order that the account does not have
    shard.feeds.after_turn()
    link = Told()
    shard.host.links["gateway-1"] = cast(Link, link)
    for feed in shard.batch.feeds:
        feed()
    assert link.items == [UserSubscribed("account/0", 1, 7, has_gap=True)]
