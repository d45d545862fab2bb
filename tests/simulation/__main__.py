"""`python -m tests.simulation --seed N --family NAME`: one run, and what happened."""

import argparse
import logging
import sys

import structlog

from tests.simulation.families import FAMILIES, run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="everything")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on")
    parser.add_argument("--logs", action="store_true", help="the log lines of the hosts too")
    options = parser.parse_args()
    level = logging.INFO if options.logs else logging.CRITICAL
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for seed in range(options.seed, options.seed + options.seeds):
        run_seed(options.family, seed, lambda line: print(line, flush=True))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
