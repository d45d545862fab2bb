"""The exchange as a pure program: state, commands and events; no I/O, clock, randomness or actors."""
