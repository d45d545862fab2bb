"""Laws of accounts and a market together: what a market says settles to the last unit.

The flows are those of test_market_laws.py, given to real accounts as their clients would.
"""

from typing import Any

from hypothesis import given

from exchange.account import decider as accounts
from exchange.account.commands import (
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    Deposit,
    PlaceOrder,
    ReplaceOrder,
)
from exchange.account.events import (
    AmendRequested,
    CancelAllRequested,
    CancelRequested,
    OrderSubmitted,
    ReplaceSubmitted,
    RequestRefused,
)
from exchange.account.state import Account
from exchange.instrument import Instrument
from exchange.market.events import TradeExecuted
from exchange.orders import Side
from tests.property.test_market_laws import ACCOUNTS, RULES, Scenario, flows, law
from tests.support.market_flow import NOW_NS, open_market, play

DEPOSITS = {"BTC": 40 * RULES.lot_size, "USDT": 5_000 * RULES.minor_units_per_tick_lot}


class Context:
    """What accounts know of the rest; the protective price is the one the flow has drawn."""

    protect = 0

    def instrument(self, symbol: str) -> Instrument:
        return RULES

    def fee_rates(self, account_id: int, symbol: str) -> tuple[int, int]:
        return 123_457, 234_571

    def has_asset(self, code: str) -> bool:
        return code in DEPOSITS

    def has_account(self, account_id: int) -> bool:
        return True

    def protect_ticks(self, symbol: str, side: Side) -> int:
        return self.protect


class Exchange:
    def __init__(self) -> None:
        self.market = open_market(RULES)
        self.context = Context()
        self.accounts = {number: Account(number) for number in range(1, ACCOUNTS + 1)}
        self.commissions = dict.fromkeys(DEPOSITS, 0)
        self.requests = 0
        for number in self.accounts:
            for asset, amount in DEPOSITS.items():
                self.obey(
                    Deposit(number, asset, amount, NOW_NS, *self.request()),
                )

    def request(self) -> tuple[bytes, str, int]:
        self.requests += 1
        return self.requests.to_bytes(16, "big"), "gateway-1", self.requests

    def send(self, message: Any) -> None:
        """Send what the flow would tell the market as the client's command to the account."""
        kind = type(message)
        if kind is OrderSubmitted:
            self.obey(self.place(message))
        elif kind is ReplaceSubmitted:
            self.obey(
                ReplaceOrder(
                    message.cancel_order_id,
                    message.cancel_orig_client_order_id,
                    message.cancel_client_order_id,
                    message.restriction,
                    message.mode,
                    self.place(message.order),
                )
            )
        else:
            values = [getattr(message, name) for name in message.__struct_fields__[:-3]]
            commands: dict[Any, Any] = {
                CancelRequested: CancelOrder,
                CancelAllRequested: CancelAllOrders,
                AmendRequested: AmendOrder,
            }
            self.obey(commands[kind](*values, *self.request()))

    def place(self, order: OrderSubmitted) -> PlaceOrder:
        self.context.protect = order.protect_ticks
        return PlaceOrder(
            order.account_id,
            order.symbol,
            order.side,
            order.order_type,
            order.time_in_force,
            order.price_ticks,
            order.quantity_lots,
            order.quote_amount,
            order.client_order_id,
            order.stp_mode,
            order.received_at_ns,
            *self.request(),
        )

    def obey(self, command: Any) -> None:
        place = command.place if isinstance(command, ReplaceOrder) else command
        account = self.accounts[place.account_id]
        for event in accounts.decide(account, command, self.context):
            accounts.evolve(account, event)
            if not isinstance(command, Deposit) and type(event) is not RequestRefused:
                self.settle(play(self.market, event))

    def settle(self, events: list[Any]) -> None:
        for event in events:
            if not isinstance(event, TradeExecuted):
                accounts.evolve(self.accounts[event.account_id], event)
                continue
            bought, sold = ("BTC", "USDT") if event.taker_side is Side.BUY else ("USDT", "BTC")
            self.commissions[bought] += event.taker_commission
            self.commissions[sold] += event.maker_commission
            parties = dict.fromkeys((event.taker_account_id, event.maker_account_id))
            for account_id in parties:
                accounts.evolve(self.accounts[account_id], event)


@law
@given(flows)
def test_money_is_conserved_and_holds_are_those_of_open_orders(
    flow: list[tuple[Any, ...]],
) -> None:
    exchange = Exchange()
    scenario = Scenario(exchange.market)
    for step in flow:
        exchange.send(scenario.message(step))
        for asset, deposited in DEPOSITS.items():
            balances = [account.balances[asset] for account in exchange.accounts.values()]
            total = sum(balance.available + balance.held for balance in balances)
            assert total + exchange.commissions[asset] == deposited * ACCOUNTS
    for account in exchange.accounts.values():
        held = dict.fromkeys(DEPOSITS, 0)
        for order in account.orders.values():
            assert order.order_id in exchange.market.orders
            resting = exchange.market.orders[order.order_id]
            assert order.hold_left == resting.leaves_lots * resting.hold_per_lot
            assert order.as_state().status is resting.status
            held[order.hold_asset] += order.hold_left
        assert held == {asset: account.balances[asset].held for asset in DEPOSITS}
    assert sum(len(account.orders) for account in exchange.accounts.values()) == len(
        exchange.market.orders
    )
