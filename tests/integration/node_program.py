"""Runs one node for the tests, in a process of its own that they may kill.

Arguments: NodeOptions as JSON, and "start" to wait with `start_node` instead of `run_node`.
Each event is a line of JSON on standard output.
"""

import sys

import msgspec

from actors.control import HOST_PROGRAMS
from actors.node import NodeStartError, run_node, start_node
from actors.node_messages import NodeOptions
from config.logging import setup_logging
from config.schema import LoggingSettings

PROGRAMS = ("steady", "crashing", "failing_start", "endless_start", "returning", "deaf")


def main() -> int:
    setup_logging(LoggingSettings(format="json"))
    HOST_PROGRAMS.update({name: f"tests.integration.host_programs:{name}" for name in PROGRAMS})
    options = msgspec.json.decode(sys.argv[1], type=NodeOptions)
    try:
        if sys.argv[2:] == ["start"]:
            node = start_node(options, _say)
            _say({"event": "start_node_returned"})
            return node.run()
        return run_node(options, _say)
    except NodeStartError as error:
        _say({"event": "refused", "reason": str(error)})
        return 1


def _say(event: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
