"""The exchange as a pure program: state, commands, events; no I/O, clock, chance or actors."""
