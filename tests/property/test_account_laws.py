"""Laws of money that hold for every sequence of requests and deliveries."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.account import snapshot
from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    ReplaceOrder,
    Withdraw,
)
from exchange.answers import OrderPlaced, OrderReplaced, OutcomePending, Refused
from exchange.money import UNIT
from exchange.orders import CancelRestriction, OrderType, ReplaceMode, Side, TimeInForce
from exchange.reject import RejectReason
from tests.support.auditing import audit_of
from tests.support.shards import Exchange, check_conservation, replayed

ACCOUNTS = (1, 2, 3)
accounts = st.sampled_from(ACCOUNTS)
sides = st.sampled_from(list(Side))
prices = st.integers(97, 103)
lots = st.integers(1, 9)
nth_order = st.integers(0, 3)
# Most orders are plain limits: without a book nothing else happens either.
limits = st.tuples(
    st.just("limit"),
    accounts,
    sides,
    prices,
    lots,
    st.sampled_from([*TimeInForce, TimeInForce.GTC]),
)
requests = st.one_of(
    limits,
    limits,
    st.tuples(
        st.just("market"), accounts, sides, st.integers(0, 9), st.integers(50_000, 3_000_000)
    ),
    st.tuples(st.just("cancel"), accounts, nth_order),
    st.tuples(st.just("all"), accounts),
    st.tuples(st.just("amend"), accounts, nth_order, st.integers(1, 8)),
    st.tuples(
        st.just("replace"),
        accounts,
        nth_order,
        sides,
        prices,
        lots,
        st.sampled_from(list(ReplaceMode)),
    ),
    st.tuples(st.just("withdraw"), accounts, st.integers(1, UNIT // 20)),
    st.tuples(st.just("again"), st.integers(0, 30)),
)
# A request, and how many messages the market and then either account shard takes after it.
steps = st.lists(
    st.tuples(requests, st.integers(0, 3), st.integers(0, 4), st.integers(0, 4)),
    min_size=20,
    max_size=40,
)


def command_of(exchange: Exchange, step: tuple[Any, ...]) -> Any:
    """Return the command that a step of the generator stands for."""
    kind, account_id, *rest = step
    orders = list(exchange.account(account_id).orders.values())
    if kind == "limit":
        side, price, quantity, time_in_force = rest
        return exchange.order(account_id, side, price, quantity, time_in_force=time_in_force)
    if kind == "market":
        side, quantity, amount = rest
        return exchange.order(
            account_id,
            side,
            0,
            quantity,
            order_type=OrderType.MARKET,
            quote_amount=0 if quantity else amount,
        )
    if kind == "withdraw":
        return Withdraw(account_id, "USDT", rest[0], *exchange.next_request())
    if kind == "all":
        return CancelAllOrders(account_id, "BTCUSDT", *exchange.next_request())
    named = orders[rest[0]].client_order_id if rest[0] < len(orders) else "nobody"
    if kind == "cancel":
        return CancelOrder(
            account_id, "BTCUSDT", 0, named, "x", CancelRestriction.NONE, *exchange.next_request()
        )
    if kind == "amend":
        return AmendOrder(account_id, "BTCUSDT", 0, named, "", rest[1], *exchange.next_request())
    _, side, price, quantity, mode = rest
    place = exchange.order(account_id, side, price, quantity)
    return ReplaceOrder(0, named, "x", CancelRestriction.NONE, mode, place)


def run(script: list[tuple[Any, ...]]) -> tuple[Exchange, list[Any]]:
    """Return the exchange and the commands it was given; a few may still be on their way."""
    exchange = Exchange(2)
    commands: list[Any] = []
    for account_id in ACCOUNTS:
        exchange.deposit(account_id, "USDT", UNIT // 20 * account_id)
        exchange.deposit(account_id, "BTC", UNIT // 20)
        for side, price in ((Side.BUY, 100 - account_id), (Side.SELL, 100 + account_id)):
            commands.append(exchange.order(account_id, side, price, 5))
            exchange.command(commands[-1])
    exchange.run()
    for step, *deliveries in script:
        if step[0] != "again":
            commands.append(command_of(exchange, step))
            exchange.command(commands[-1])
        elif step[1] < len(commands):
            journals = [len(shard.journal) for shard in exchange.shards]
            exchange.command(commands[step[1]])
            assert journals == [len(shard.journal) for shard in exchange.shards]
        for _ in range(deliveries[0]):
            exchange.market_step("BTCUSDT")
        for shard, messages in zip(exchange.shards, deliveries[1:], strict=True):
            for _ in range(messages):
                exchange.settle_step(shard, "BTCUSDT")
            check_conservation(shard)
    return exchange, commands


@given(steps)
@settings(max_examples=150, deadline=None)
def test_replayed_accounts_equal_live_accounts_byte_for_byte(script: list[Any]) -> None:
    exchange, _ = run(script)
    for shard in exchange.shards:
        live = snapshot.encode_shard(shard.ledger, shard.accounts.values())
        assert replayed(shard) == live
        ledger, accounts = snapshot.decode_shard(live)
        assert snapshot.encode_shard(ledger, accounts) == live
        assert accounts == [shard.accounts[n] for n in sorted(shard.accounts)]


@given(steps)
@settings(max_examples=150, deadline=None)
def test_holds_are_released_to_the_last_unit_when_all_orders_ended(script: list[Any]) -> None:
    exchange, _ = run(script)
    exchange.run()
    for account_id in ACCOUNTS:
        exchange.command(CancelAllOrders(account_id, "BTCUSDT", *exchange.next_request()))
    exchange.run()
    for shard in exchange.shards:
        for account in shard.accounts.values():
            assert not account.orders
            assert all(balance.held == 0 for balance in account.balances.values())
    for asset in ("BTC", "USDT"):
        clearing = [shard.ledger.clearing().get(asset, 0) for shard in exchange.shards]
        assert sum(clearing) == 0


@given(steps)
@settings(max_examples=150, deadline=None)
def test_the_outcome_read_is_the_answer_that_the_market_gave(script: list[Any]) -> None:
    exchange, commands = run(script)
    exchange.run()
    given_answers = exchange.markets["BTCUSDT"].answers
    for command in commands:
        request = command.place if hasattr(command, "place") else command
        if request.request_id not in given_answers:
            continue  # the account refused it, or it was a withdrawal
        first: Any = given_answers[request.request_id]
        again: Any = exchange.outcome(request.account_id, request.identity, "BTCUSDT")
        assert type(again) is type(first), (first, again)
        if type(first) is Refused:
            # The market tells the account nothing of a refused cancel or amend.
            assert again.reason in (first.reason, RejectReason.UNKNOWN_ORDER)
        else:
            assert normal(again) == normal(first)


def normal(answer: Any) -> Any:
    """Leave out what differs by right: who asks, and how exactly a cancel failed."""
    answer = msgspec.structs.replace(answer, request_id=0)
    if hasattr(answer, "after"):
        answer = msgspec.structs.replace(answer, after=0)
    if type(answer) is OrderReplaced:
        placed: OrderPlaced | None = answer.placed
        failed = answer.cancel_reason is not RejectReason.NONE
        answer = msgspec.structs.replace(
            answer,
            cancel_reason=RejectReason.UNKNOWN_ORDER if failed else RejectReason.NONE,
            placed=None if placed is None else normal(placed),
        )
    return answer


@given(steps)
@settings(max_examples=150, deadline=None)
def test_a_repeated_request_gets_the_first_answer_or_is_told_to_ask(script: list[Any]) -> None:
    exchange, commands = run(script)
    exchange.run()
    for command in commands:
        request = command.place if hasattr(command, "place") else command
        again = exchange.command(command)
        read = exchange.outcome(request.account_id, request.identity, "BTCUSDT")
        assert type(read) is not OutcomePending
        if type(again) is OutcomePending:
            assert again.is_known
        else:
            assert normal(again) == normal(read)


@given(steps)
@settings(max_examples=150, deadline=None)
def test_the_audit_is_clean_at_every_vector_of_positions(script: list[Any]) -> None:
    exchange, _ = run(script)
    assert audit_of(exchange).findings == ()
    while exchange.market_step("BTCUSDT"):
        continue
    assert audit_of(exchange).findings == ()
    while exchange.settle_step(exchange.shards[1], "BTCUSDT"):
        assert audit_of(exchange).findings == ()
