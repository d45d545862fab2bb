class IPActorAddress:
    bindname: tuple[str, int]
    sockname: tuple[str, int]
    def __init__(
        self,
        af: int,
        socktype: int,
        proto: int,
        baseaddr: str | None,
        port: int | None,
        external: object = ...,
    ) -> None: ...

class TCPv4ActorAddress(IPActorAddress):
    def __init__(
        self, initialIPAddr: str | None = ..., initialIPPort: int = ..., external: object = ...
    ) -> None: ...
