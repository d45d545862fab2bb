# ruff: noqa: N801, N815, N816 (Thespian's naming)
import socket as _socket
from datetime import timedelta
from typing import Any

from thespian.system.transport.streamBuffer import ReceiveBuffer as _ReceiveBuffer

serializer: Any
ReceiveBuffer: type[_ReceiveBuffer]
ackMsg: bytes
ackDataErrMsg: bytes
MAX_INCOMING_SOCKET_PERIOD: timedelta

class TCPIncoming_Common:
    socket: _socket.socket
    data: Any
    _rData: _ReceiveBuffer
