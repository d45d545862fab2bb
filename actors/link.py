"""One link: this host's conversation with one peer host, over a transport that may lose anything.

Sans-IO: frames come in, frames go out through `send`, time is handed in. A link puts right what
transports do (loss, repetition, reordering), gathers messages into frames while it waits for
credit, and acknowledges only what its host says is durable.

Incarnations. Frames are numbered within a pair of incarnations, one of each host. Data is taken
only from a frame that names exactly this pair: the sender's incarnation is the newest known, and it
addressed this incarnation of the receiver. Such a frame was made after its sender had heard of this
incarnation, so it belongs to this conversation and to no earlier one, and both ends counted from 1
when the pair came about. That is all the handshake there is: whoever has not been addressed by the
peer says empty frames to incarnation 0 until it is; whoever is addressed as another incarnation
than it is answers with an empty frame; and whoever knows the peer may send data at once. An
incarnation must be higher than all before it of the same host; the time of start in ns is, unless
the clock is set back.

A restarted peer knows of nobody and may have nothing to say. Whoever only listened to it (a gateway
to an account's events) has to notice: so a peer that is silent is asked whether it is still there.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from actors.link_buffer import LinkBuffer
from actors.transport.port import MESSAGE_BYTES_MAX
from actors.wire import AnyItem, Frame, encode_frame
from exchange.errors import InvariantError

RESEND_AFTER_NS_MAX = 2_000_000_000
INTRODUCE_AFTER_NS = 20_000_000  # again, while not answered; doubles
ASK_SILENT_NS = 500_000_000  # nothing heard for so long: the peer may be another one by now
ACK_DELAY_NS = 2_000_000  # an acknowledgement waits so long for data to travel with
FRAME_BYTES_MAX = 1024 * 1024  # larger frames are halved; one message may take a frame of its own


class MessageTooLargeError(InvariantError):
    """One message does not fit any frame: whoever made it should have made several."""


@dataclass(slots=True)
class LinkMetrics:
    """Counters since start. Batch size is messages_sent / frames_sent."""

    frames_sent: int = 0  # with data, resends not counted
    messages_sent: int = 0
    bytes_sent: int = 0
    empty_frames_sent: int = 0  # acknowledgements and introductions
    resends: int = 0
    frames_received: int = 0  # with data, in order, each once
    duplicates: int = 0
    reordered: int = 0  # kept until those before them came
    refused: int = 0  # data of another pair of incarnations, or beyond the window
    peer_restarts: int = 0
    credit_waits: int = 0
    credit_wait_ns: int = 0  # something to send, and no credit


class Link:
    """The conversation with one peer. Owned by one thread; nothing in it waits."""

    def __init__(
        self,
        me: str,
        peer: str,
        incarnation: int,
        send: Callable[[bytes], None],
        on_peer_restarted: Callable[[str], None],
        *,
        window: int = 2,
        frame_items_max: int = 1000,
        buffer_items_max: int = 20_000,
        resend_after_ns: int = 250_000_000,
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        """`on_peer_restarted(peer)` says that what was under way to the peer may be lost.

        The owner then fills in numbered messages from the peer's watermarks, asks for the outcome
        of commands by their identity, and follows feeds anew. It may put messages meanwhile.
        """
        assert incarnation > 0
        assert window > 0
        assert frame_items_max > 0
        self.peer = peer
        self.metrics = LinkMetrics()
        self._me, self._incarnation, self._send = me, incarnation, send
        self._on_peer_restarted = on_peer_restarted
        self._window, self._frame_items_max = window, frame_items_max
        self._frame_bytes_max = frame_bytes_max

        self._buffer = LinkBuffer(buffer_items_max)
        # The adders are the buffer's own, without a call between: they run once per message.
        self.put = self._buffer.put
        self.put_command = self._buffer.put_command
        self.put_answer = self._buffer.put_answer
        self.put_numbered = self._buffer.put_numbered
        self.put_market_data = self._buffer.put_market_data
        self.put_user_event = self._buffer.put_user_event
        self.put_watermark = self._buffer.put_watermark

        self._peer_incarnation = 0  # 0: not known yet
        self._is_known_to_peer = False
        self._introduce_at_ns = 0
        self._silent_since_ns = 0  # the peer was heard, or asked, last
        self._seq = 0  # of the last data frame sent
        self._unacked: deque[tuple[int, bytes]] = deque()  # at most `window`
        self._received = 0  # last data frame taken in order
        self._durable = 0  # last data frame that may be acknowledged
        self._owes_frame = False  # an empty frame, at once: to introduce, or to acknowledge again
        self._ack_sent = 0  # the acknowledgement that the peer was last told
        self._ack_every = max(1, window // 2)  # so many wait no longer: the peer needs the credit
        self._delayed_since_ns = -1  # what may wait for data to travel with; -1: nothing
        self._stash: dict[int, Frame] = {}  # at most `window`: arrived before their turn
        self._resend_after_ns = resend_after_ns
        self._resend_interval_ns = resend_after_ns  # doubles while nothing is acknowledged
        self._introduce_interval_ns = INTRODUCE_AFTER_NS
        self._resend_at_ns = 0  # meaningful while something is unacknowledged
        self._waiting_since_ns = -1  # for credit; -1: not waiting

    @property
    def is_connected(self) -> bool:
        """Whether both sides know each other."""
        return self._is_known_to_peer and self._peer_incarnation > 0

    @property
    def peer_incarnation(self) -> int:
        return self._peer_incarnation

    @property
    def queue_length(self) -> int:
        """How many messages wait for a frame."""
        return len(self._buffer)

    @property
    def in_flight(self) -> int:
        """How many frames are sent and not acknowledged."""
        return len(self._unacked)

    # -------------------------------------------------------------- sending

    def flush(self, now_ns: int) -> None:
        """Send what waits, as far as there is credit; else the frame that is owed, if any.

        Call it after every turn of the host: it is cheap when there is nothing to do. What is
        only acknowledgement or watermark waits ACK_DELAY_NS for data to travel with: then
        `is_delayed`, and it should be called again.
        """
        if self._buffer.has_messages:
            if self._peer_incarnation == 0:
                self._introduce(now_ns)
                return
            self._send_data(now_ns)
        if self._owes_frame:
            self._send_empty(self._peer_incarnation)
        elif self._durable > self._ack_sent or (self._buffer.has_watermarks and self.is_connected):
            if self._delayed_since_ns < 0:
                self._delayed_since_ns = now_ns
            if (
                self._durable - self._ack_sent >= self._ack_every
                or now_ns - self._delayed_since_ns >= ACK_DELAY_NS
            ):
                self._send_empty(self._peer_incarnation)

    @property
    def is_delayed(self) -> bool:
        """Whether something waits for data to travel with."""
        return self._delayed_since_ns >= 0

    def tick(self, now_ns: int) -> None:
        """Do what time demands: introduce, ask, resend, flush. Call it every few tens of ms."""
        if not self.is_connected:
            self._introduce(now_ns)
        elif not self._unacked and now_ns - self._silent_since_ns >= ASK_SILENT_NS:
            self._silent_since_ns = now_ns
            self._send_empty(0)  # to incarnation 0: that obliges it to answer
        if self._unacked and now_ns >= self._resend_at_ns:
            self.metrics.resends += len(self._unacked)
            for _, data in self._unacked:
                self._send(data)
            self._resend_interval_ns = min(2 * self._resend_interval_ns, RESEND_AFTER_NS_MAX)
            self._resend_at_ns = now_ns + self._resend_interval_ns
        self.flush(now_ns)

    def _send_data(self, now_ns: int) -> None:
        metrics, buffer = self.metrics, self._buffer
        while buffer.has_messages:
            if len(self._unacked) >= self._window:
                if self._waiting_since_ns < 0:
                    self._waiting_since_ns = now_ns
                    metrics.credit_waits += 1
                return
            if self._waiting_since_ns >= 0:
                metrics.credit_wait_ns += now_ns - self._waiting_since_ns
                self._waiting_since_ns = -1
            self._seq += 1
            data, weight = self._build_frame()
            if not self._unacked:
                self._resend_interval_ns = self._resend_after_ns
                self._resend_at_ns = now_ns + self._resend_interval_ns
            self._unacked.append((self._seq, data))
            self._told_durable()
            metrics.frames_sent += 1
            metrics.messages_sent += weight
            metrics.bytes_sent += len(data)
            self._send(data)

    def _build_frame(self) -> tuple[bytes, int]:
        """Return the next data frame, encoded, and how many messages it carries."""
        buffer, weight_max = self._buffer, self._frame_items_max
        while True:
            groups = buffer.take(weight_max)
            items = [group.build() for group in groups]
            weight = sum(group.weight for group in groups)
            data = encode_frame(
                Frame(
                    self._me,
                    self._incarnation,
                    self._peer_incarnation,
                    self._seq,
                    self._durable,
                    items,
                )
            )
            if len(data) <= self._frame_bytes_max:
                return data, weight
            if len(groups) == 1 and (weight == 1 or groups[0].item is not None):
                if len(data) > MESSAGE_BYTES_MAX:
                    raise MessageTooLargeError(peer=self.peer, size_bytes=len(data))
                return data, weight
            # Rare: a book in full, a directory. Sizes are not counted per message, that would
            # cost more on every order than encoding again does now and then.
            buffer.put_back(groups)
            weight_max = max(1, weight // 2)

    def _send_empty(self, peer_incarnation: int) -> None:
        """Tell who we are, what is durable, and watermarks. Takes no credit and is not repeated:
        a watermark that is lost is told again when its source, hearing nothing, sends again."""
        items: list[AnyItem] = []
        if peer_incarnation:
            self._told_durable()
            groups = self._buffer.take_watermarks(self._frame_items_max)
            items = [group.build() for group in groups]
        self.metrics.empty_frames_sent += 1
        self._send(
            encode_frame(
                Frame(self._me, self._incarnation, peer_incarnation, 0, self._durable, items)
            )
        )

    def _told_durable(self) -> None:
        self._owes_frame = False
        self._ack_sent = self._durable
        self._delayed_since_ns = -1

    def _introduce(self, now_ns: int) -> None:
        if now_ns >= self._introduce_at_ns:
            # Addressed to incarnation 0, even if the peer is known: that obliges it to answer,
            # and only its answer shows that it knows us.
            self._send_empty(0)
            self._introduce_at_ns = now_ns + self._introduce_interval_ns
            self._introduce_interval_ns = min(2 * self._introduce_interval_ns, RESEND_AFTER_NS_MAX)

    # -------------------------------------------------------------- receiving

    def on_frame(self, frame: Frame, now_ns: int) -> list[Frame]:
        """Take a frame of the peer and return the frames that are now in order, oldest first.

        Each data frame is returned once within a pair of incarnations. The host handles them in
        this order and calls `durable` when what they caused is. A frame of seq 0 is returned if it
        brings watermarks; it is not acknowledged.
        """
        assert frame.sender == self.peer
        if frame.incarnation != self._peer_incarnation and not self._meet(frame, now_ns):
            return []
        self._silent_since_ns = now_ns
        if frame.peer_incarnation != self._incarnation:
            # The sender does not know this incarnation, so the frame is of no conversation with it.
            self._owes_frame = True
            if frame.seq:
                self.metrics.refused += 1
            return []
        self._is_known_to_peer = True
        if self._unacked and frame.ack >= self._unacked[0][0]:
            self._acknowledged(frame.ack, now_ns)
        if frame.seq == 0:
            return [frame] if frame.items else []
        return self._take_data(frame)

    def durable(self, seq: int, incarnation: int) -> None:
        """Say that data frames up to `seq` of the peer's `incarnation` are durable here.

        Both are the frame's. An acknowledgement is owed, and leaves with the next flush. If the
        peer was restarted since, nothing is: its new incarnation knows nothing of that frame.
        """
        if incarnation == self._peer_incarnation and seq > self._durable:
            assert seq <= self._received
            self._durable = seq

    def _meet(self, frame: Frame, now_ns: int) -> bool:
        """Learn of a newer incarnation of the peer; False if the frame is of an older one."""
        if frame.incarnation < self._peer_incarnation:
            self.metrics.refused += 1  # a replay, or a host that hung while its successor started
            return False
        was_known = self._peer_incarnation != 0
        self._peer_incarnation = frame.incarnation
        self._is_known_to_peer = False
        self._owes_frame = True
        self._introduce_at_ns = now_ns + INTRODUCE_AFTER_NS  # should that frame be lost
        self._introduce_interval_ns = INTRODUCE_AFTER_NS
        if was_known:
            self._seq = self._received = self._durable = self._ack_sent = 0
            self._delayed_since_ns = -1
            self._unacked.clear()
            self._stash.clear()
            self._waiting_since_ns = -1
            self._buffer.forget()
            self.metrics.peer_restarts += 1
            self._on_peer_restarted(self.peer)
        return True

    def _acknowledged(self, ack: int, now_ns: int) -> None:
        if ack > self._seq:
            raise InvariantError(peer=self.peer, ack=ack, seq=self._seq)
        unacked = self._unacked
        while unacked and unacked[0][0] <= ack:
            unacked.popleft()
        self._resend_interval_ns = self._resend_after_ns
        self._resend_at_ns = now_ns + self._resend_interval_ns

    def _take_data(self, frame: Frame) -> list[Frame]:
        metrics = self.metrics
        seq = frame.seq
        if seq <= self._received:
            metrics.duplicates += 1
            self._owes_frame = True  # its acknowledgement may have been lost
            return []
        if seq != self._received + 1:
            if seq > self._received + self._window:
                metrics.refused += 1  # the peer's window is larger than ours: it will resend
            elif seq in self._stash:
                metrics.duplicates += 1
            else:
                metrics.reordered += 1
                self._stash[seq] = frame
            return []
        frames = [frame]
        self._received = seq
        while self._stash:
            following = self._stash.pop(self._received + 1, None)
            if following is None:
                break
            frames.append(following)
            self._received += 1
        metrics.frames_received += len(frames)
        return frames
