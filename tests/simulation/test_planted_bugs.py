"""The simulation is trusted because it finds these: bugs put in on purpose (planted.py)."""

import pytest

from tests.simulation.families import run_seed
from tests.simulation.planted import PLANTED, AskingShard, in_shards


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str) -> None:
    family, seeds, plant = PLANTED[bug]
    for seed in range(1, seeds + 1):
        try:
            run_seed(family, seed, **plant())
        except Exception:  # noqa: BLE001 - found, however it shows
            return
    pytest.fail(f"{bug}: not found by {seeds} seeds of {family}")


def test_asking_again_does_no_harm() -> None:
    """So it is the acknowledgement that the planted bug is found by."""
    for seed in range(1, 6):
        run_seed("unknown-appends", seed, **in_shards(AskingShard)())
