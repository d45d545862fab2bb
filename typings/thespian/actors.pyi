# ruff: noqa: N815, N818 (Thespian's naming)
"""The part of thespian==4.0.1 that we use."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

class ActorSystemException(Exception): ...
class InvalidActorAddress(ActorSystemException): ...
class ActorSystemFailure(ActorSystemException): ...
class ActorSystemRequestTimeout(ActorSystemFailure): ...

class ActorAddress:
    def __init__(self, aaddr: object) -> None: ...
    @property
    def addressDetails(self) -> Any: ...

class ActorSystemMessage: ...

class ActorExitRequest(ActorSystemMessage):
    def __init__(self, recursive: bool = ...) -> None: ...

class ChildActorExited(ActorSystemMessage):
    @property
    def childAddress(self) -> ActorAddress: ...

class PoisonMessage(ActorSystemMessage):
    poisonMessage: object
    details: str | None

class WakeupMessage(ActorSystemMessage):
    delayPeriod: timedelta
    payload: object

class WatchMessage(ActorSystemMessage):
    ready: list[int]

class DeadEnvelope(ActorSystemMessage):
    deadAddress: ActorAddress
    deadMessage: object

class ThespianWatch:
    filenos: list[int]
    def __init__(self, filenos: list[int]) -> None: ...

class Actor:
    _myRef: Any
    def __init__(self) -> None: ...
    def receiveMessage(self, msg: object, sender: ActorAddress) -> ThespianWatch | None: ...
    @property
    def myAddress(self) -> ActorAddress: ...
    def createActor(
        self,
        actorClass: type[Actor] | str,
        targetActorRequirements: Mapping[str, object] | None = ...,
        globalName: str | None = ...,
        sourceHash: str | None = ...,
    ) -> ActorAddress: ...
    def send(self, targetAddr: ActorAddress, msg: object) -> None: ...
    def wakeupAfter(self, timePeriod: timedelta, payload: object = ...) -> None: ...

class ActorSystem:
    def __init__(
        self,
        systemBase: str | None = ...,
        capabilities: Mapping[str, object] | None = ...,
        logDefs: Mapping[str, object] | None = ...,
        transientUnique: bool = ...,
    ) -> None: ...
    def shutdown(self) -> None: ...
    def createActor(
        self,
        actorClass: type[Actor] | str,
        targetActorRequirements: Mapping[str, object] | None = ...,
        globalName: str | None = ...,
        sourceHash: str | None = ...,
    ) -> ActorAddress: ...
    def tell(self, actorAddr: ActorAddress, msg: object) -> None: ...
    def ask(
        self, actorAddr: ActorAddress, msg: object, timeout: timedelta | float | None = ...
    ) -> Any: ...
    def listen(self, timeout: timedelta | float | None = ...) -> Any: ...
