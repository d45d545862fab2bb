"""What hosts say to each other: frames of items, MessagePack arrays.

A frame belongs to a link (link.py): sequence, acknowledgement and window. Its items belong to
shards and gateways. Messages of shards stay encoded (`Raw`) until the receiving shard decodes them,
and are the very bytes of the sender's journal.
"""

import msgspec


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of the things a frame carries."""


class Numbered(Item, frozen=True, tag=1):
    """Messages of shard `source` to shard `target`, numbered densely from `first`."""

    source: str
    target: str
    first: int
    messages: list[msgspec.Raw]


class Watermark(Item, frozen=True, tag=2):
    """`target` has durably applied everything of `source` up to `number`."""

    source: str
    target: str
    number: int


class Resend(Item, frozen=True, tag=3):
    """`target` (which sends this) wants the messages of `source` from `first` on."""

    source: str
    target: str
    first: int


class Commands(Item, frozen=True, tag=4):
    """Commands for entities of `shard`. Not numbered: whoever sent them asks for the outcome."""

    shard: str
    commands: list[msgspec.Raw]


class Answers(Item, frozen=True, tag=5):
    """Answers (exchange/answers.py, Answer) to the host that the requests named in reply_to."""

    answers: list[msgspec.Raw]


class Sync(Item, frozen=True, tag=6):
    """Account shard `source` asks market shard `target`: when you have applied my messages up to
    `number`, tell me the number of your last message to me."""

    source: str
    target: str
    number: int
    sync_id: int


class Synced(Item, frozen=True, tag=7):
    """The answer to Sync, from market shard `source` to account shard `target`."""

    source: str
    target: str
    number: int
    sync_id: int


class Follow(Item, frozen=True, tag=8):
    """A gateway or account host wants a feed: of a market shard its market data (or only its
    quotes), of the directory its events after `after`. Repeated after the other side restarted."""

    shard: str
    feed: str  # "data", "quotes" or "events"
    after: int


class MarketData(Item, frozen=True, tag=9):
    """Market data (exchange/answers.py, MarketDataMessage) of one market, in order."""

    shard: str
    messages: list[msgspec.Raw]


class Quote(Item, frozen=True, tag=10):
    """Best prices in ticks (0: none) and the last trade's, for protective prices."""

    symbol: str
    bid_ticks: int
    ask_ticks: int
    last_ticks: int


class DirectoryFeed(Item, frozen=True, tag=11):
    """Directory events after `after`, the stream then being at `upto`. With `is_full` they are the
    whole directory as a list of events, to start from nothing."""

    after: int
    upto: int
    is_full: bool
    events: list[msgspec.Raw]


class SubscribeUser(Item, frozen=True, tag=12):
    """A gateway wants the user events of an account after number `after` (-1: from now on)."""

    shard: str
    account_id: int
    after: int


class UnsubscribeUser(Item, frozen=True, tag=13):
    shard: str
    account_id: int


class UserEvents(Item, frozen=True, tag=14):
    """User events (exchange/answers.py, UserEvent) of accounts of `shard`, in order."""

    shard: str
    events: list[msgspec.Raw]


class UserSubscribed(Item, frozen=True, tag=15):
    """The subscription is live: events after `user_seq` follow. `has_gap`: older ones than asked
    for are gone, so the session must be told to start again."""

    shard: str
    account_id: int
    user_seq: int
    has_gap: bool


class Projected(Item, frozen=True, tag=16):
    """The projection has `shard` in the cold store up to `seq`."""

    shard: str
    seq: int


class ShardServing(Item, frozen=True, tag=17):
    """`shard` was recovered here: what it knew of followers and subscribers is gone."""

    shard: str


AnyItem = (
    Numbered
    | Watermark
    | Resend
    | Commands
    | Answers
    | Sync
    | Synced
    | Follow
    | MarketData
    | Quote
    | DirectoryFeed
    | SubscribeUser
    | UnsubscribeUser
    | UserEvents
    | UserSubscribed
    | Projected
    | ShardServing
)


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What travels between two hosts. `seq` 0: only an acknowledgement, takes no credit."""

    sender: str  # host name
    incarnation: int  # of the sender: when its process started, ns
    peer_incarnation: int  # of the receiver as the sender knows it; 0: an introduction, answer it
    seq: int  # 1, 2, ... within this pair of incarnations; 0: only acknowledgement and watermarks
    ack: int  # everything up to here is durable at the sender
    items: list[AnyItem]


encode_frame = msgspec.msgpack.Encoder().encode
decode_frame = msgspec.msgpack.Decoder(Frame).decode
