"""Every refusal of an account, and what goes on to the market."""

from typing import Any

import pytest

from exchange.account import state
from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    Deposit,
    ReplaceOrder,
    Withdraw,
)
from exchange.account.decider import decide, evolve
from exchange.account.events import (
    AccountFrozen,
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
    RequestRefused,
)
from exchange.answers import Refused, Transferred
from exchange.errors import InvariantError
from exchange.money import AMOUNT_MAX, UNIT
from exchange.orders import CancelRestriction, OrderType, ReplaceMode, Side
from exchange.reject import RejectReason
from tests.support.shards import BTCUSDT, Exchange

BUY, SELL = Side.BUY, Side.SELL
TICK_LOT = BTCUSDT.minor_units_per_tick_lot


@pytest.fixture
def exchange() -> Exchange:
    exchange = Exchange(1)
    exchange.deposit(1, "USDT", 1_000 * TICK_LOT)
    return exchange


def cancel(exchange: Exchange, symbol: str = "BTCUSDT") -> CancelOrder:
    return CancelOrder(1, symbol, 7, "", "x", CancelRestriction.NONE, *exchange.next_request())


def amend(exchange: Exchange, symbol: str = "BTCUSDT") -> AmendOrder:
    return AmendOrder(1, symbol, 7, "", "", 3, *exchange.next_request())


def cancel_all(exchange: Exchange, symbol: str = "BTCUSDT") -> CancelAllOrders:
    return CancelAllOrders(1, symbol, *exchange.next_request())


def replace(exchange: Exchange, **changes: Any) -> ReplaceOrder:
    place = exchange.order(1, BUY, 100, changes.pop("quantity", 5), **changes)
    restriction, mode = CancelRestriction.NONE, ReplaceMode.STOP_ON_FAILURE
    return ReplaceOrder(7, "", "x", restriction, mode, place)


def refusal(exchange: Exchange, command: Any) -> RejectReason:
    answer = exchange.command(command)
    assert isinstance(answer, Refused)
    return answer.reason


def decided(exchange: Exchange, command: Any) -> Any:
    [event] = decide(exchange.account(1), command, exchange.context)
    return event


def test_an_order_takes_rates_and_hold_into_its_event(exchange: Exchange) -> None:
    command = exchange.order(1, BUY, 100, 10)
    event = decided(exchange, command)
    assert type(event) is OrderSubmitted
    assert (event.hold_asset, event.hold_amount) == ("USDT", 1_000 * TICK_LOT)
    assert (event.hold_per_lot, event.protect_ticks) == (100 * TICK_LOT, 0)
    assert (event.maker_rate_e8, event.taker_rate_e8) == (100_003, 200_017)
    assert (event.order_ref, event.identity) == (1, command.identity)


def test_one_unit_too_little_is_insufficient(exchange: Exchange) -> None:
    exchange.command(Withdraw(1, "USDT", 1, *exchange.next_request()))
    assert refusal(exchange, exchange.order(1, BUY, 100, 10)) is RejectReason.INSUFFICIENT_FUNDS
    assert refusal(exchange, exchange.order(1, SELL, 100, 1)) is RejectReason.INSUFFICIENT_FUNDS


def test_held_money_cannot_be_held_or_withdrawn_again(exchange: Exchange) -> None:
    exchange.command(exchange.order(1, BUY, 100, 10))
    assert refusal(exchange, exchange.order(1, BUY, 1, 1)) is RejectReason.INSUFFICIENT_FUNDS
    withdrawal = Withdraw(1, "USDT", 1, *exchange.next_request())
    assert refusal(exchange, withdrawal) is RejectReason.INSUFFICIENT_FUNDS


@pytest.mark.parametrize("kind", [cancel, amend, cancel_all, replace])
def test_requests_for_unknown_markets_are_refused(exchange: Exchange, kind: Any) -> None:
    assert refusal(exchange, kind(exchange, symbol="NOPE")) is RejectReason.UNKNOWN_SYMBOL


def test_an_order_for_an_unknown_market_is_refused(exchange: Exchange) -> None:
    order = exchange.order(1, BUY, 100, 1, symbol="NOPE")
    assert refusal(exchange, order) is RejectReason.UNKNOWN_SYMBOL


@pytest.mark.parametrize("kind", [Deposit, Withdraw])
@pytest.mark.parametrize(
    ("asset", "amount", "expected"),
    [
        ("USDT", 0, RejectReason.AMOUNT_NOT_POSITIVE),
        ("USDT", -1, RejectReason.AMOUNT_NOT_POSITIVE),
        ("NOPE", 1, RejectReason.UNKNOWN_ASSET),
    ],
)
def test_impossible_transfers_are_refused(
    exchange: Exchange, kind: Any, asset: str, amount: int, expected: RejectReason
) -> None:
    assert refusal(exchange, kind(1, asset, amount, *exchange.next_request())) is expected


def test_a_deposit_beyond_63_bits_is_refused_and_one_below_is_taken(exchange: Exchange) -> None:
    room = AMOUNT_MAX - 1_000 * TICK_LOT
    too_much = Deposit(1, "USDT", room + 1, *exchange.next_request())
    assert refusal(exchange, too_much) is RejectReason.AMOUNT_OVERFLOW
    answer = exchange.command(Deposit(1, "USDT", room, *exchange.next_request()))
    assert isinstance(answer, Transferred)
    assert answer.available == AMOUNT_MAX


@pytest.mark.parametrize("kind", [cancel, amend, cancel_all, replace])
def test_an_account_nobody_created_is_refused(exchange: Exchange, kind: Any) -> None:
    exchange.context.accounts_max = 0
    exchange.account(1).balances.clear()
    assert refusal(exchange, kind(exchange)) is RejectReason.UNKNOWN_ACCOUNT


def test_a_deposit_to_an_account_nobody_created_is_refused(exchange: Exchange) -> None:
    exchange.context.accounts_max = 1
    answer = exchange.command(Deposit(2, "USDT", 1, *exchange.next_request()))
    assert isinstance(answer, Refused)
    assert answer.reason is RejectReason.UNKNOWN_ACCOUNT


def test_a_frozen_account_is_let_nothing_but_cancels(exchange: Exchange) -> None:
    evolve(exchange.account(1), AccountFrozen(1, exchange.now_ns))
    for command in (
        exchange.order(1, BUY, 100, 1),
        amend(exchange),
        replace(exchange),
        Deposit(1, "USDT", 1, *exchange.next_request()),
        Withdraw(1, "USDT", 1, *exchange.next_request()),
    ):
        assert refusal(exchange, command) is RejectReason.ACCOUNT_FROZEN
    assert type(decided(exchange, cancel(exchange))) is CancelRequested
    assert type(decided(exchange, cancel_all(exchange))) is CancelAllRequested


def test_cancels_and_amends_go_on_unseen(exchange: Exchange) -> None:
    command = cancel(exchange)
    event = decided(exchange, command)
    names = CancelRequested.__struct_fields__
    assert [getattr(event, name) for name in names] == [getattr(command, name) for name in names]
    request = amend(exchange)
    event = decided(exchange, request)
    names = AmendRequested.__struct_fields__
    assert [getattr(event, name) for name in names] == [getattr(request, name) for name in names]


@pytest.mark.parametrize(("quantity", "top_up"), [(4, 400), (10, 1_000), (25, 1_000)])
def test_a_replacement_tops_up_with_what_is_free_up_to_its_need(
    exchange: Exchange, quantity: int, top_up: int
) -> None:
    event = decided(exchange, replace(exchange, quantity=quantity))
    assert type(event) is ReplaceSubmitted
    assert event.hold_needed == quantity * 100 * TICK_LOT
    assert event.order.hold_amount == top_up * TICK_LOT


def test_a_replacement_without_a_hold_is_refused(exchange: Exchange) -> None:
    assert refusal(exchange, replace(exchange, quantity=0)) is RejectReason.LOT_SIZE


def test_a_market_order_is_held_at_the_protective_price(exchange: Exchange) -> None:
    exchange.context.quotes["BTCUSDT", BUY] = 50
    event = decided(exchange, exchange.order(1, BUY, 0, 2, order_type=OrderType.MARKET))
    assert (event.protect_ticks, event.hold_amount) == (50, 100 * TICK_LOT)


def test_the_same_identity_has_one_effect_and_one_answer(exchange: Exchange) -> None:
    deposit = Deposit(1, "BTC", UNIT, *exchange.next_request())
    first = exchange.command(deposit)
    exchange.deposit(1, "BTC", UNIT)
    assert exchange.command(deposit) == first
    assert exchange.account(1).available("BTC") == 2 * UNIT


def test_a_refusal_is_remembered_though_the_reason_has_gone(exchange: Exchange) -> None:
    order = exchange.order(1, SELL, 100, 1)
    first = exchange.command(order)
    exchange.deposit(1, "BTC", UNIT)
    assert exchange.command(order) == first == Refused(order.request_id, RejectReason(2001))


def test_a_full_memory_refuses_orders_first_then_cancels(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.account.decider.IDENTITIES_MAX", 1)
    monkeypatch.setattr("exchange.account.decider.CANCEL_IDENTITIES_MAX", 2)
    assert refusal(exchange, exchange.order(1, BUY, 1, 1)) is RejectReason.OVERLOADED
    assert len(exchange.account(1).identities) == 1  # the refusal itself takes no room
    assert exchange.command(cancel(exchange)) is None
    assert refusal(exchange, cancel(exchange)) is RejectReason.OVERLOADED
    assert state.IDENTITIES_MAX < state.CANCEL_IDENTITIES_MAX


def test_a_command_for_another_account_is_a_bug(exchange: Exchange) -> None:
    with pytest.raises(InvariantError):
        decide(exchange.account(2), exchange.order(1, BUY, 1, 1), exchange.context)


def test_deciding_changes_nothing(exchange: Exchange) -> None:
    account = exchange.account(1)
    before = repr(account)
    for command in (exchange.order(1, BUY, 1, 1), replace(exchange), cancel(exchange)):
        assert type(decided(exchange, command)) is not RequestRefused
    assert repr(account) == before
