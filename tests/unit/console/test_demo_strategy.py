"""The demo's traders quote both sides around a price that stays near its anchor."""

import random

import pytest

from console.demo_strategy import LEVELS, QUANTITY_LOTS_MAX, Walk, quote, take

MID = 5_000_000


@pytest.mark.parametrize("seed", range(20))
def test_a_maker_never_crosses_itself_while_the_middle_stands(seed: int) -> None:
    rng = random.Random(seed)
    wishes = [quote(slot, MID, rng) for slot in range(2 * LEVELS)]
    buys = [wish.price_ticks for wish in wishes if wish.side == "BUY"]
    sells = [wish.price_ticks for wish in wishes if wish.side == "SELL"]
    assert len(buys) == len(sells) == LEVELS
    assert max(buys) < MID < min(sells)


@pytest.mark.parametrize("seed", range(20))
def test_a_taker_reaches_the_best_level_of_the_other_side(seed: int) -> None:
    rng = random.Random(seed)
    best_bid = quote(0, MID, rng).price_ticks
    best_ask = quote(1, MID, rng).price_ticks
    for _ in range(50):
        wish = take(MID, rng)
        assert 0 < wish.quantity_lots <= QUANTITY_LOTS_MAX
        if wish.side == "BUY":
            assert wish.price_ticks >= best_ask
        else:
            assert wish.price_ticks <= best_bid


@pytest.mark.parametrize("seed", range(5))
def test_the_price_wanders_but_is_drawn_back(seed: int) -> None:
    rng, walk = random.Random(seed), Walk(MID)
    prices = [walk.step(rng) for _ in range(20_000)]
    assert len(set(prices)) > 1_000
    assert all(MID * 0.9 < price < MID * 1.1 for price in prices)


def test_prices_stay_positive_however_low_the_anchor() -> None:
    rng, walk = random.Random(1), Walk(10)
    for slot in range(200):
        walk.step(rng)
        assert quote(slot % (2 * LEVELS), walk.mid_ticks, rng).price_ticks >= 1
        assert take(walk.mid_ticks, rng).price_ticks >= 1
