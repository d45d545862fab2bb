"""The user events of one account shard, on their way to the gateways that subscribed.

Reports are numbered per account and kept for a while, so that a gateway that lost some (its link
was full, this host was restarted) is sent them again from where it was. Only when they are no
longer kept is it told of a gap.
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from msgspec import Raw

from actors import wire
from actors.batch import encode
from exchange.account.reports import position, reports_of
from exchange.account.state import Account
from exchange.answers import AccountPosition, UserEvent

if TYPE_CHECKING:
    from actors.account_shard import AccountShard

RECENT_EVENTS_MAX: Final = 256  # reports kept per followed account
SWEEP_NS: Final = 30_000_000_000  # accounts nobody follows are forgotten after one to two of these

log = structlog.get_logger(__name__)

_decode = msgspec.msgpack.Decoder(UserEvent).decode
_NOBODY: Final[dict[str, None]] = {}

Sending = list[tuple[str, int, Raw]]  # (gateway, account, event)


class UserFeeds:
    """Who follows which account, and what they are to be sent."""

    def __init__(self, shard: "AccountShard") -> None:
        # Account -> gateway hosts. Accounts in here are reported, also those without a gateway:
        # theirs was there a moment ago and may come back.
        self.gateways: dict[int, dict[str, None]] = {}
        self._shard = shard
        self._recent: dict[int, deque[tuple[int, Raw]]] = {}  # account -> (user_seq, report)
        self._sending: Sending = []  # of this turn
        self._touched: dict[int, dict[str, None]] = {}  # by reports: account -> assets
        self._asked: dict[tuple[int, str], int] = {}  # (account, gateway) -> after this number
        self._behind: dict[tuple[int, str], int] = {}  # their link was full after this number
        self._unfollowed: dict[int, None] = {}  # nobody followed them at the last sweep
        self._sweep_at_ns = 0

    # ---------------------------------------------------------------- what happens

    def report(self, account: Account, event: Any) -> None:
        """An event was folded into an account of `gateways`.

        Never raises: the event has happened, and failing now would have it happen again.
        """
        try:
            self._report(account, event)
        except Exception:
            log.exception("report_failed", account=account.account_id)
            self._recent.pop(account.account_id, None)
            for gateway in self.gateways[account.account_id]:
                self._asked[account.account_id, gateway] = 0  # confirmed again, with a gap

    def _report(self, account: Account, event: Any) -> None:
        account_id = account.account_id
        gateways = self.gateways[account_id]
        reports, assets = reports_of(account, event)
        for report in reports:
            raw = self._remember(account_id, report)
            for gateway in gateways:
                self._sending.append((gateway, account_id, raw))
        if assets and gateways:
            touched = self._touched.get(account_id)
            if touched is None:
                touched = self._touched[account_id] = {}
            for asset in assets:
                touched[asset] = None

    def replayed(self, account: Account, event: Any) -> None:
        """An event near the end of the stream was folded in recovery: its gateway may resume."""
        self.gateways.setdefault(account.account_id, {})
        for report in reports_of(account, event)[0]:
            self._remember(account.account_id, report)

    def _remember(self, account_id: int, event: UserEvent) -> Raw:
        raw = Raw(encode(event))
        recent = self._recent.get(account_id)
        if recent is None:
            recent = self._recent[account_id] = deque(maxlen=RECENT_EVENTS_MAX)
        recent.append((event.user_seq, raw))
        return raw

    # ---------------------------------------------------------------- who follows

    def subscribe(self, account_id: int, gateway: str, after: int) -> None:
        """Confirm at the end of the turn, send what the gateway missed, from then on everything."""
        key = account_id, gateway
        # "From now on", said again because the confirmation was late: not what did not fit since.
        self._asked[key] = self._behind.get(key, after) if after < 0 else after

    def unsubscribe(self, account_id: int, gateway: str) -> None:
        self.gateways.get(account_id, {}).pop(gateway, None)
        self._asked.pop((account_id, gateway), None)
        self._behind.pop((account_id, gateway), None)

    def forget_peer(self, peer: str) -> None:
        """The host `peer` was restarted: whom its sessions followed they follow anew."""
        for account_id in self.gateways:
            self.unsubscribe(account_id, peer)
        for account_id, gateway in list(self._asked):
            if gateway == peer:
                del self._asked[account_id, gateway]

    # ---------------------------------------------------------------- the end of a turn

    def after_turn(self) -> None:
        """Gather what leaves once this batch is durable."""
        if self._touched:
            self._report_positions()
        if self._sending:
            sending, self._sending = self._sending, []
            self._shard.batch.feeds.append(lambda: self._send(sending))
        if self._asked:
            asked, self._asked = self._asked, {}
            for (account_id, gateway), after in asked.items():
                if account_id in self._shard.suspended:
                    self._asked[account_id, gateway] = after  # its state may be half changed
                else:
                    self._confirm(account_id, gateway, after)
        now_ns = self._shard.host.monotonic_ns()
        if now_ns >= self._sweep_at_ns:
            self._sweep_at_ns = now_ns + SWEEP_NS
            self._sweep()

    def _report_positions(self) -> None:
        """One position behind all reports of a turn: it is state, not a step."""
        suspended, accounts = self._shard.suspended, self._shard.accounts
        for account_id, assets in list(self._touched.items()):
            if account_id not in suspended:  # else its state may be half changed
                del self._touched[account_id]
                raw = Raw(encode(position(accounts[account_id], tuple(assets))))
                for gateway in self.gateways.get(account_id, _NOBODY):
                    self._sending.append((gateway, account_id, raw))

    def _confirm(self, account_id: int, gateway: str, after: int) -> None:
        account = self._shard.accounts.get(account_id)
        user_seq = account.user_seq if account is not None else 0
        key = account_id, gateway
        missed = [raw for n, raw in self._recent.get(account_id, ()) if n > after >= 0]
        has_gap = after >= 0 and len(missed) != user_seq - after
        resumed_at = user_seq if after < 0 or has_gap else after
        confirmed = wire.UserSubscribed(self._shard.shard_id, account_id, resumed_at, has_gap)
        if has_gap:
            missed = []
        if account is not None and (missed or key in self._behind):
            missed.append(Raw(encode(position(account))))
        self.gateways.setdefault(account_id, {})[gateway] = None

        def confirm() -> None:
            if gateway not in self.gateways.get(account_id, _NOBODY):
                return  # unsubscribed, or restarted, meanwhile
            if self._shard.host.link(gateway).put(confirmed):
                self._behind.pop(key, None)
                self._send([(gateway, account_id, raw) for raw in missed])
            else:
                self._asked[key] = self._behind[key] = after if after >= 0 else resumed_at

        self._shard.batch.feeds.append(confirm)

    def _send(self, events: Sending) -> None:
        link_to, shard_id, behind = self._shard.host.link, self._shard.shard_id, self._behind
        for gateway, account_id, raw in events:
            if (behind and (account_id, gateway) in behind) or not link_to(gateway).put_user_event(
                shard_id, raw
            ):
                self._fall_behind(account_id, gateway, raw)

    def _fall_behind(self, account_id: int, gateway: str, raw: Raw) -> None:
        """The link is full: skip what follows, and go on from here when it has room."""
        key = account_id, gateway
        if key in self._behind or gateway not in self.gateways.get(account_id, _NOBODY):
            return
        event = _decode(raw)
        is_position = type(event) is AccountPosition
        self._asked[key] = self._behind[key] = event.user_seq - (0 if is_position else 1)

    def _sweep(self) -> None:
        unfollowed = [account_id for account_id, names in self.gateways.items() if not names]
        for account_id in unfollowed:
            if account_id in self._unfollowed:
                del self.gateways[account_id]
                self._recent.pop(account_id, None)
        self._unfollowed = dict.fromkeys(unfollowed)
