"""The load generator and the replay count what happened, no more and no less."""

from benchmarks.client import Credentials, connect
from benchmarks.e2e import IN_FLIGHT_MAX, Load
from benchmarks.flow import parse_operation, plan
from benchmarks.replay import ES_USD, Player, ProgressBar
from tests.integration.benchmarks.tiny_exchange import tiny_exchange

KEYS = [Credentials(key_id=f"K{n}", key_type="hmac", secret="s") for n in range(3)]


async def test_every_trade_is_counted_once_when_both_reports_have_come() -> None:
    async with tiny_exchange() as (exchange, url):
        load = Load(seed=1)
        await load.open(url, KEYS, log_on=False)
        measured = await load.saturate(warm_up_s=0.0, seconds=0.3)
        await load.close()
    # Nothing was counted before, and what is still on its way at the end is within the window.
    assert 0 < measured.trades <= exchange.trades
    assert exchange.trades - measured.trades <= IN_FLIGHT_MAX * len(KEYS)
    assert abs(measured.orders - 2 * measured.trades) <= 2 * IN_FLIGHT_MAX * len(KEYS)
    assert measured.refused == 0
    assert 0 < measured.answer_p50_us <= measured.answer_p99_us


async def test_refused_orders_are_counted_and_replaced_by_new_ones() -> None:
    async with tiny_exchange() as (exchange, url):
        exchange.refuse_every = 3
        load = Load(seed=1)
        await load.open(url, KEYS, log_on=False)
        measured = await load.saturate(warm_up_s=0.0, seconds=0.2)
        await load.close()
    assert measured.orders > IN_FLIGHT_MAX * len(KEYS)
    assert abs(measured.refused - measured.orders / 3) <= 2


async def test_client_order_ids_are_never_used_twice() -> None:
    async with tiny_exchange() as (exchange, url):
        load = Load(seed=1)
        await load.open(url, KEYS, log_on=False)
        await load.offer(500.0, warm_up_s=0.0, seconds=0.2)
        await load.close()
    orders = [r["params"] for r in exchange.requests if r["method"] == "order.place"]
    ids = [order["newClientOrderId"] for order in orders if "newClientOrderId" in order]
    assert len(ids) == len(set(ids)) > 50


async def test_a_replay_counts_fills_and_refusals_and_waits_for_the_last_answer() -> None:
    lines = ["N,1,buy,9,3,GTC", "N,2,sell,9,3,IOC", "C,1,3", "N,3,sell,9,3,GTC"]
    planned = list(plan(map(parse_operation, lines), ES_USD, sessions=2))
    async with tiny_exchange() as (exchange, url):
        connections = [await connect(url, key) for key in KEYS[:2]]
        player = Player(connections, in_flight_max=1)
        with ProgressBar(len(planned)) as progress:
            seconds = await player.play(planned, progress)
        for connection in connections:
            await connection.close()
    assert seconds > 0
    assert (player.answered, player.lost) == (4, 0)
    assert (player.trades, player.traded_lots) == (1, 3)
    assert player.refusals == {("order.cancel", -2011, "Unknown order sent."): 1}
    assert player.latency_us.count == 4
    assert exchange.trades == 1
