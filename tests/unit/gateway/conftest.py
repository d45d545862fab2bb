"""An exchange in one thread for every test."""

import pytest

from tests.support.direct_exchange import Client, DirectExchange


@pytest.fixture
def exchange() -> DirectExchange:
    return DirectExchange()


@pytest.fixture
def alice(exchange: DirectExchange) -> Client:
    return Client(exchange, 1)


@pytest.fixture
def bob(exchange: DirectExchange) -> Client:
    return Client(exchange, 2)
