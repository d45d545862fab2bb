"""The only place that picks a transport. Why the stream is the default: docs/adr/0003."""

from actors.transport.port import Transport, TransportError
from actors.transport.stream import StreamTransport

BACKENDS = ("stream", "zeromq")


def open_transport(backend: str, listen_at: str, secret: bytes) -> Transport:
    """Return a transport that is not started. `secret` is the cluster's.

    Raises:
        TransportError: no such backend, its library is not installed, or not an endpoint.
    """
    match backend:
        case "stream":
            return StreamTransport(listen_at, secret)
        case "zeromq":
            try:
                from actors.transport.zeromq import ZeroMqTransport
            except ImportError as error:
                raise TransportError(reason="install pyzmq to use it", backend=backend) from error
            return ZeroMqTransport(listen_at, secret)
    raise TransportError(reason=f"a transport is one of {', '.join(BACKENDS)}", backend=backend)
