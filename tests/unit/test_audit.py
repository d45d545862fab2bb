"""The audit finds what was planted, and nothing where nothing was."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange.account.decider import evolve
from exchange.account.events import Deposited
from exchange.account.state import encode_order
from exchange.audit import audit
from exchange.market.events import TradeExecuted
from exchange.money import UNIT
from exchange.orders import Side
from tests.support.auditing import account_views, audit_of, market_views
from tests.support.shards import Exchange

MARKET = "market/BTCUSDT"


def traded_exchange() -> Exchange:
    """Accounts 1 and 2 in different shards traded; one order of each is left open."""
    exchange = Exchange(2)
    for account_id in (1, 2):
        exchange.deposit(account_id, "USDT", UNIT)
        exchange.deposit(account_id, "BTC", UNIT)
    exchange.command(exchange.order(1, Side.SELL, 100, 5))
    exchange.command(exchange.order(2, Side.BUY, 101, 3))
    exchange.command(exchange.order(2, Side.BUY, 90, 2))
    exchange.run()
    return exchange


def codes(exchange: Exchange) -> set[str]:
    return {finding.code for finding in audit_of(exchange).findings}


def test_an_exchange_at_rest_is_clean_and_the_table_adds_up() -> None:
    report = audit_of(traded_exchange())
    assert report.is_clean
    assert (report.trades, report.open_orders, report.accounts, report.unconsumed) == (1, 2, 2, 0)
    table = {line.asset: line for line in report.assets}
    assert sorted(table) == ["BTC", "USDT"]
    assert table["USDT"].external == 2 * UNIT
    assert table["BTC"].fees == 3 * (UNIT // 1000) * 200_017 // UNIT
    assert all(line.clearing == 0 and line.difference == 0 for line in report.assets)


def test_a_trade_settled_on_one_side_only_is_clean_and_stands_in_clearing() -> None:
    exchange = Exchange(2)
    exchange.deposit(1, "BTC", UNIT)
    exchange.deposit(2, "USDT", UNIT)
    exchange.command(exchange.order(1, Side.SELL, 100, 5))
    exchange.command(exchange.order(2, Side.BUY, 100, 5))
    while exchange.market_step("BTCUSDT"):
        continue
    assert audit_of(exchange).is_clean
    while exchange.settle_step(exchange.shards[0], "BTCUSDT"):
        continue
    report = audit_of(exchange)
    assert report.is_clean
    table = {line.asset: line for line in report.assets}
    assert table["USDT"].clearing == 5 * 100 * 1_000
    assert table["BTC"].clearing == -5 * UNIT // 1000


def steal_a_cent(exchange: Exchange) -> None:
    exchange.account(1).balances["USDT"].available -= 1


def double_a_fill(exchange: Exchange) -> None:
    """The first half of a resting order's fill is settled again, with its books."""
    shard, account = exchange.shards[1], exchange.account(1)
    event = next(e for _, e in shard.journal if type(e) is TradeExecuted)
    again = type(event)(*[getattr(event, name) for name in event.__struct_fields__])
    account.orders[event.maker_order_ref].quantity_lots += event.quantity_lots
    account.orders[event.maker_order_ref].hold_left += event.base_amount
    account.balances["BTC"].held += event.base_amount
    account.balances["BTC"].available -= event.base_amount
    evolve(account, again)
    shard.ledger.apply(1, again)


def lose_an_event(exchange: Exchange) -> None:
    """The watermark moves over a trade that was not settled."""
    exchange.command(exchange.order(2, Side.BUY, 101, 1))
    while exchange.market_step("BTCUSDT"):
        continue
    source = exchange.markets["BTCUSDT"].messages["account/1"]
    assert type(source[-1]) is TradeExecuted
    exchange.shards[1].watermarks[MARKET] = len(source)


def leak_a_hold(exchange: Exchange) -> None:
    """An order ended and what it held stayed held."""
    account = exchange.account(2)
    order_ref, order = next(iter(account.orders.items()))
    del account.orders[order_ref]
    assert order.hold_left > 0


def forge_a_deposit(exchange: Exchange) -> None:
    evolve(exchange.account(1), Deposited(1, "USDT", 5, 1, b"forged"))


def lose_a_submission(exchange: Exchange) -> None:
    """The market's watermark moves over an order that it never handled."""
    exchange.command(exchange.order(1, Side.SELL, 200, 1))
    shard = exchange.markets["BTCUSDT"]
    shard.incoming.clear()
    shard.applied["account/1"] += 1


def lose_an_order_in_the_market(exchange: Exchange) -> None:
    exchange.markets["BTCUSDT"].market.orders.popitem()


def forget_a_fill(exchange: Exchange) -> None:
    account = exchange.account(1)
    next(iter(account.orders.values())).executed_lots -= 1


def move_an_account(exchange: Exchange) -> None:
    exchange.shards[0].accounts[1] = exchange.shards[1].accounts.pop(1)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (steal_a_cent, "money_not_conserved"),
        (double_a_fill, "sides_are_not_twice_the_trades"),
        (double_a_fill, "trade_ids_do_not_add_up"),
        (double_a_fill, "clearing_is_not_the_sides_settled_alone"),
        (double_a_fill, "open_order_differs"),
        (lose_an_event, "sides_are_not_twice_the_trades"),
        (lose_an_event, "clearing_is_not_the_sides_settled_alone"),
        (leak_a_hold, "held_is_not_what_orders_hold"),
        (leak_a_hold, "open_order_not_in_account"),
        (forge_a_deposit, "money_not_conserved"),
        (lose_a_submission, "pending_order_lost"),
        (lose_an_order_in_the_market, "open_order_not_in_market"),
        (forget_a_fill, "open_order_differs"),
        (forget_a_fill, "hold_is_not_what_the_order_needs"),
        (move_an_account, "account_in_wrong_shard"),
    ],
)
def test_a_planted_fault_is_found(fault: Callable[[Exchange], None], expected: str) -> None:
    exchange = traded_exchange()
    assert audit_of(exchange).is_clean
    fault(exchange)
    assert expected in codes(exchange)


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_message_missing_among_those_on_their_way_is_found(dropped: int) -> None:
    exchange = traded_exchange()
    for price_ticks in (80, 81, 82):
        exchange.command(exchange.order(2, Side.BUY, price_ticks, 1))
    while exchange.market_step("BTCUSDT"):
        continue
    market, *others = market_views(exchange)
    on_their_way = list(market.unconsumed["account/0"])
    assert len(on_their_way) == 3
    del on_their_way[dropped]
    damaged = replace(market, unconsumed={**market.unconsumed, "account/0": on_their_way})
    report = audit(account_views(exchange), [damaged, *others])
    assert "message_missing" in {finding.code for finding in report.findings}


def test_a_negative_balance_is_found_even_when_the_sum_is_right() -> None:
    exchange = traded_exchange()
    exchange.account(1).balances["USDT"].available -= 2 * UNIT
    exchange.account(3).balances["USDT"] = type(exchange.account(1).balances["USDT"])(2 * UNIT)
    assert codes(exchange) == {"negative_balance"}


def test_a_closed_order_that_still_holds_is_found() -> None:
    exchange = traded_exchange()
    account = exchange.account(2)
    filled = next(account.closed_orders())
    filled.hold_left = 1
    account.closed[filled.order_ref] = encode_order(filled)
    assert codes(exchange) == {"closed_order_holds"}
