#!/usr/bin/env python3
"""VonmoTrade's command line: `python run_node.py start --demo`; `--help` shows the rest."""

from console.app import main

if __name__ == "__main__":
    main()
