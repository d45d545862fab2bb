"""One node for one directory; the lock lives as long as any process of the node."""

import os
import signal
from pathlib import Path

import pytest

from actors.node_lock import NodeBusyError, NodeLock, is_locked


def _fork_holder() -> int:
    """Fork a process that holds what we hold, until it is killed."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def test_lock_is_refused_while_its_starter_lives(tmp_path: Path) -> None:
    lock = NodeLock.take(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(NodeBusyError, match=rf"already running on .* \(process {os.getpid()}\)\."):
        NodeLock.take(tmp_path)
    lock.close()
    assert not is_locked(tmp_path)


def test_directory_without_a_lock_file_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)


def test_remains_of_a_node_whose_starter_died_are_killed(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    starter = os.fork()
    if starter == 0:
        NodeLock.take(tmp_path)
        os.write(write_end, b"%d" % _fork_holder())
        os._exit(0)
    os.waitpid(starter, 0)
    left = int(os.read(read_end, 20))
    assert is_locked(tmp_path)
    lock = NodeLock.take(tmp_path)
    with pytest.raises(ProcessLookupError):  # it was killed, or is a zombie of nobody's
        _signal_unless_zombie(left)
    lock.close()
    os.close(read_end)
    os.close(write_end)


def test_process_that_outlives_its_node_is_killed_at_the_end(tmp_path: Path) -> None:
    lock = NodeLock.take(tmp_path)
    left = _fork_holder()
    assert lock.wait_until_alone()
    assert os.waitpid(left, 0)[1] == signal.SIGKILL
    lock.close()
    assert not is_locked(tmp_path)


def _signal_unless_zombie(pid: int) -> None:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        raise ProcessLookupError from None
    if state == "Z":
        raise ProcessLookupError
    os.kill(pid, 0)
