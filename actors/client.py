"""A peer of a running node without shards: the command line, the demo's set-up, benchmarks.

It speaks to the hosts as the gateway does, over the transport, and needs the cluster's cookie.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from msgspec import Raw

from actors import wire
from actors.batch import encode
from actors.control import run_dir
from actors.cookie import read_cookie
from actors.follower import Follower
from actors.host_loop import CLIENT_PREFIX, HostLoop
from actors.placement import StoredPlacement
from config.schema import NodeConfig, decode_config, encode_config
from exchange.answers import Answer, OutcomePending
from exchange.ids import DIRECTORY_SHARD, account_shard

ANSWER_TIMEOUT_S = 10.0
decode_answer = msgspec.msgpack.Decoder(Answer).decode
_numbers = itertools.count()


class NodeUnreachableError(Exception):
    """No node runs on this data directory, or it does not answer."""


def publish_config(config: NodeConfig) -> None:
    """Leave the settings of a running node where clients of its data directory find them."""
    path = run_dir(config.node.data_dir) / "config"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_config(config))


def published_config(data_dir: str | Path) -> NodeConfig:
    """Return the settings of the node that runs on `data_dir`; raise NodeUnreachableError."""
    try:
        return decode_config((run_dir(data_dir) / "config").read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise NodeUnreachableError(f"no node has been started on {data_dir}") from error


class NodeClient(HostLoop):
    """Sends commands to shards and matches the answers to them by request id."""

    def __init__(self, config: NodeConfig, secret: bytes) -> None:
        placement = StoredPlacement(config)
        name = f"{CLIENT_PREFIX}{os.getpid()}-{next(_numbers)}"
        super().__init__(name, time.time_ns(), config, placement, secret)
        self.name = name
        self.follower = Follower(self.core, feed="")
        self.on_answer: Callable[[Any], None] | None = None  # of answers that nobody awaits
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next_id = time.time_ns() // 1_000
        self.core.handlers[wire.Answers] = self._on_answers

    @classmethod
    async def connect(
        cls, data_dir: str | Path, timeout_s: float = ANSWER_TIMEOUT_S
    ) -> "NodeClient":
        """Return a client that knows the directory. Raises NodeUnreachableError."""
        config = published_config(data_dir)
        client = cls(config, read_cookie(config.cookie_path))
        await client.start()
        try:
            async with asyncio.timeout(timeout_s):
                while not client.follower.is_synced:
                    client.follower.follow()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            client.close()
            raise NodeUnreachableError(f"the node on {data_dir} does not answer") from None
        return client

    async def __aenter__(self) -> "NodeClient":
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def next_request_id(self) -> int:
        self._next_id += 1
        return self._next_id

    async def directory(self, command: Any) -> Any:
        """Send a directory command; return DirectoryDone or Refused.

        Its reply_to and request_id are filled in. Directory commands have no identity: after
        NodeUnreachableError the outcome is unknown and to be looked up.
        """
        return await self._ask(DIRECTORY_SHARD, command)

    async def account(self, command: Any, again_s: float = 1.0) -> Any:
        """Send an account command; return its answer.

        Sent again every `again_s` until it is answered: its identity makes that harmless.
        """
        shard = account_shard(command.account_id, self.config.hosts.account_shards)
        return await self._ask(shard, command, again_s)

    async def _ask(self, shard: str, command: Any, again_s: float = ANSWER_TIMEOUT_S) -> Any:
        request_id = self.next_request_id()
        command = msgspec.structs.replace(command, reply_to=self.name, request_id=request_id)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            for _ in range(max(1, int(ANSWER_TIMEOUT_S / again_s))):
                self.submit_raw(shard, Raw(encode(command)))
                done, _pending = await asyncio.wait({future}, timeout=again_s)
                if done:
                    return future.result()
            raise NodeUnreachableError(f"{shard} did not answer for {ANSWER_TIMEOUT_S} s")
        finally:
            del self._waiting[request_id]

    def submit_raw(self, shard: str, raw: Raw) -> bool:
        """Queue an encoded command; False: too many wait."""
        taken: bool = self.core.link(self.core.placement.host_of(shard)).put_command(shard, raw)
        self.turn_soon()
        return taken

    def _on_answers(self, item: wire.Answers, _sender: str) -> None:
        for raw in item.answers:
            answer = decode_answer(raw)
            future = self._waiting.get(answer.request_id)
            if future is None:
                if self.on_answer is not None:
                    self.on_answer(answer)
            elif not future.done() and not isinstance(answer, OutcomePending):
                future.set_result(answer)

    def ticked(self) -> None:
        self.follower.tick()
