"""The host: one Thespian actor, one OS process, one program on a uvloop thread.

The actor thread carries control messages and nothing else; the loop thread does the work. Thespian
delivers a message again after an exception, so nothing is ever raised out of `receiveMessage`: it
hands bytes over, or ends the process.
"""

import asyncio
import logging
import os
import threading
import traceback
from typing import Final

import msgspec
import uvloop
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    PoisonMessage,
    ThespianWatch,
    WatchMessage,
)

from actors.control import (
    HostControl,
    HostSpec,
    Outlet,
    Ping,
    Pong,
    Request,
    Start,
    Started,
    Stop,
    decode_to_host,
    encode_control,
    load_program,
    write_exit_record,
)
from actors.thespian_patch import frames_refused, keep_logging
from config.logging import get_logger

log = get_logger(__name__)

EXIT_OK: Final = 0
EXIT_PROGRAM: Final = 1  # the program raised, or returned unasked
EXIT_STOP_TIMEOUT: Final = 2  # the program did not return in time
EXIT_HOST: Final = 3  # the host itself failed: a bug


class HostActor(Actor):
    """Runs the program that its first message names."""

    def __init__(self) -> None:
        super().__init__()
        keep_logging()
        self._runner: ProgramRunner | None = None
        self._supervisor: ActorAddress | None = None

    def receiveMessage(self, msg: object, sender: ActorAddress) -> ThespianWatch | None:  # noqa: N802
        """Never raises: see the module. Returns the watch, which Thespian forgets every time."""
        try:
            self._receive(msg, sender)
        except Exception as error:
            log.exception("host_failed")
            end_process(
                None if self._runner is None else self._runner.spec, "error", EXIT_HOST, error
            )
        return ThespianWatch([self._runner.outlet.descriptor]) if self._runner else None

    def _receive(self, message: object, sender: ActorAddress) -> None:
        if isinstance(message, bytes):
            self._control(message, sender)
        elif isinstance(message, WatchMessage):
            if self._runner is not None and self._supervisor is not None:
                for waiting in self._runner.outlet.take():
                    self.send(self._supervisor, waiting)
        elif isinstance(message, ActorExitRequest):  # also what SIGTERM becomes
            if self._runner is not None:
                self._runner.stop_and_wait()
        elif isinstance(message, PoisonMessage):
            log.error("control_message_failed_at_supervisor")

    def _control(self, message: bytes, sender: ActorAddress) -> None:
        try:
            decoded = decode_to_host(message)
        except msgspec.MsgspecError:
            log.warning("control_message_unreadable")  # a console of another version, say
            return
        match decoded:
            case Ping() as ping if self._runner is not None:
                self._runner.ping(ping)
            case Start() as start if self._runner is None:
                self._supervisor = sender
                self._runner = ProgramRunner(start)
                self.send(sender, encode_control(Started(start.spec.incarnation, os.getpid())))
            case Stop(incarnation) if self._runner and self._runner.spec.incarnation == incarnation:
                self._runner.stop()
            case Request() as request if self._runner is not None:
                self._runner.request(request)
            case ignored:  # sent again, or for a host that was never started
                log.warning("control_message_ignored", message=type(ignored).__name__)


class ProgramRunner:
    """The loop thread and the program on it. Its methods are for the actor thread."""

    def __init__(self, start: Start) -> None:
        self.spec = start.spec
        self.outlet = Outlet()
        self._stop_timeout_s = start.stop_timeout_ms / 1000
        self._loop = uvloop.new_event_loop()
        self._control = HostControl(self.spec, self.outlet)
        self._thread = threading.Thread(target=self._run, name=self.spec.name, daemon=True)
        self._thread.start()

    def ping(self, ping: Ping) -> None:
        self._loop.call_soon_threadsafe(self._pong, ping.number)

    def request(self, request: Request) -> None:
        self._loop.call_soon_threadsafe(self._control.handle_request, request)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._control.stopping.set)

    def stop_and_wait(self) -> None:
        """Does not return: the process ends with the program, or at the deadline."""
        self.stop()
        self._thread.join(self._stop_timeout_s)
        end_process(self.spec, "stop_timeout", EXIT_STOP_TIMEOUT)

    def _pong(self, number: int) -> None:
        self.outlet.put(encode_control(Pong(self.spec.incarnation, number, frames_refused())))

    def _run(self) -> None:
        """Run the program, then end the process: there is nothing left to run it for.

        Ended from here, because the actor thread may be inside Thespian for seconds.
        """
        try:
            asyncio.set_event_loop(self._loop)
            program = load_program(self.spec.kind)
            self._loop.run_until_complete(program(self.spec, self._control))
        except BaseException as error:  # whatever it was, it ended this host
            log.exception("host_program_failed", name=self.spec.name)
            end_process(self.spec, "error", EXIT_PROGRAM, error)
        if self._control.stopping.is_set():
            end_process(self.spec, "shutdown", EXIT_OK)
        log.error("host_program_returned_unasked", name=self.spec.name)
        end_process(self.spec, "returned", EXIT_PROGRAM)


def end_process(
    spec: HostSpec | None, reason: str, code: int, error: BaseException | None = None
) -> None:
    """End this process, leaving an exit record. Runs no finalizers: state is in the streams."""
    try:
        if spec is not None:
            text = "" if error is None else f"{type(error).__name__}: {error}"
            trace = "" if error is None else "".join(traceback.format_exception(error))
            write_exit_record(spec, reason, text, trace)
        for handler in logging.root.handlers:
            handler.flush()
    finally:
        os._exit(code)
