"""What the system records about itself when an item could not be processed."""

from exchange.message import Event


class CommandQuarantined(Event, frozen=True, tag=901):
    """An item failed its last attempt and was not run. The state of the entity is unchanged by it;
    what it means for orders and money is said by the events recorded with it."""

    entity: int
    source: str  # the shard that sent it; "" for a command of a session
    number: int  # its number from that source, else 0
    item: bytes  # as it came
    error: str
    at_ns: int
