"""The simulation is trusted because it finds these: bugs put in on purpose (planted.py)."""

import pytest

from tests.simulation.families import run_seed
from tests.simulation.planted import PLANTED


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str) -> None:
    family, seeds, plant = PLANTED[bug]
    for seed in range(1, seeds + 1):
        try:
            run_seed(family, seed, **plant())
        except Exception:  # noqa: BLE001 - found, however it shows
            return
    pytest.fail(f"{bug}: not found by {seeds} seeds of {family}")
