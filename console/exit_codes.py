"""What a command's exit code tells a script. docs/exit-codes.md says it to people."""

from typing import Final

OK: Final = 0
REFUSED: Final = 1  # the node understood and said no; the reason is printed
USAGE: Final = 2  # the command line cannot be understood (Click's own code for it)
UNREACHABLE: Final = 3  # no node answered; a change may or may not have been made
CONFIG: Final = 4  # a settings or key file cannot be used
FINDINGS: Final = 5  # the audit found something
NODE_FAILED: Final = 6  # a node gave up; its last log lines say why
