"""Endpoint texts: `ipc://PATH` for a Unix socket, `tcp://HOST:PORT` between machines."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from actors.transport.port import TransportError

IPC_PATH_BYTES_MAX = 100  # sockaddr_un holds 107 and a zero on Linux, 103 elsewhere


@dataclass(frozen=True, slots=True)
class IpcEndpoint:
    path: str

    def __str__(self) -> str:
        return f"ipc://{self.path}"


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    host: str
    port: int  # 0: any free one, only for listening

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}"


Endpoint = IpcEndpoint | TcpEndpoint


def parse_endpoint(text: str) -> Endpoint:
    """Return what `text` names.

    Raises:
        TransportError: not an endpoint, or a socket path longer than systems can bind.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "ipc" and rest:
        if len(os.fsencode(rest)) > IPC_PATH_BYTES_MAX:
            raise TransportError(
                reason="socket path too long: choose a shorter data directory",
                path=rest,
                bytes_max=IPC_PATH_BYTES_MAX,
            )
        return IpcEndpoint(rest)
    if separator and scheme == "tcp":
        host, colon, port = rest.rpartition(":")
        if colon and host and port.isascii() and port.isdecimal() and int(port) < 65536:
            return TcpEndpoint(host, int(port))
    raise TransportError(reason="an endpoint is ipc://PATH or tcp://HOST:PORT", endpoint=text)


def prepare_socket_directory(endpoint: IpcEndpoint) -> None:
    """Make sure that the socket's directory is there and is closed to everybody else.

    Raises:
        TransportError: it is not ours, or not a directory.
    """
    directory = Path(endpoint.path).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
        if status.st_uid != os.getuid():
            raise TransportError(reason="socket directory of another user", path=str(directory))
        if stat.S_IMODE(status.st_mode) & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise TransportError(
            reason="socket directory cannot be used", path=str(directory), error=str(error)
        ) from error
