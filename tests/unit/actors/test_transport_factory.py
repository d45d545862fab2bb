"""The factory gives what was asked for, or says in one sentence why not."""

from pathlib import Path

import pytest

from actors.transport.factory import BACKENDS, open_transport
from actors.transport.port import TransportError

SECRET = b"a secret only this cluster holds"


@pytest.mark.parametrize("backend", BACKENDS)
async def test_every_backend_can_be_opened_started_and_closed(backend: str, tmp_path: Path) -> None:
    transport = open_transport(backend, f"ipc://{tmp_path}/host", SECRET)
    await transport.start(lambda data: None)
    assert transport.endpoint == f"ipc://{tmp_path}/host"
    transport.close()


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(TransportError, match="stream, zeromq"):
        open_transport("pigeons", "ipc:///run/host", SECRET)
