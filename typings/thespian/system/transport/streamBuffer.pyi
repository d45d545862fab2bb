# ruff: noqa: N816 (Thespian's naming)
from collections.abc import Callable
from typing import Any

ackPacket: str
ackDataErrPacket: str

def toSendBuffer(A: object, ser: Callable[[object], bytes] = ...) -> bytes: ...

class ReceiveBuffer:
    _buf: bytes
    _blen: int
    _size: int | None
    def __init__(self, serializer: Callable[[bytes], object] = ...) -> None: ...
    def addMore(self, buf: bytes) -> None: ...
    def isDone(self) -> bool: ...
    def completed(self) -> tuple[Any, bytes] | None: ...
