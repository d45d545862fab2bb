"""Every test that takes `world` runs over light processes and over slow children."""

import pytest

from tests.unit.supervision.worlds import LightWorld, SlowWorld, World


@pytest.fixture(params=[LightWorld, SlowWorld], ids=["light", "slow"])
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param()
    return made
