"""The actor thread of a host: nothing is ever raised, or Thespian would deliver it again."""

import logging

import pytest
from thespian.actors import ActorAddress, DeadEnvelope, PoisonMessage, WatchMessage

from actors.control import Ping, Request, Stop, encode_control
from actors.host import HostActor

STRANGER = ActorAddress("stranger")


@pytest.mark.parametrize(
    "message",
    [
        b"no message",
        encode_control(Ping(1)),
        encode_control(Stop(1)),
        encode_control(Request(1, "status", b"")),
        "text",
        None,
        WatchMessage([3]),
        PoisonMessage(b"ours, refused there"),
        DeadEnvelope(STRANGER, b"ours, undelivered"),
    ],
)
def test_messages_before_the_start_do_nothing(message: object) -> None:
    assert HostActor().receiveMessage(message, STRANGER) is None


def test_actor_keeps_the_loggers_that_were_set_up_before_it() -> None:
    root, manager = logging.root, logging.Logger.manager
    logging.root = logging.RootLogger(logging.WARNING)  # what Thespian does at an actor's start
    logging.Logger.root = logging.root
    logging.Logger.manager = logging.Manager(logging.root)
    HostActor()
    assert (logging.root, logging.Logger.root, logging.Logger.manager) == (root, root, manager)
