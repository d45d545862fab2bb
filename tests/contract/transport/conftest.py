"""Hosts run on uvloop, and edges, buffers and closing differ between loops: so do these tests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.contract.transport.lab import Lab


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Two or more hosts on transports of the kind that the test's parameter names."""
    lab = Lab(request.param, tmp_path)
    yield lab
    lab.close()
