"""Errors no client can cause. The right answer is to stop and recover from the stream."""


class ExchangeError(Exception):
    """Root of the core's errors. The keyword arguments become structured log fields."""

    def __init__(self, **facts: object) -> None:
        super().__init__(", ".join(f"{name}={value!r}" for name, value in facts.items()))
        self.facts = facts


class InvariantError(ExchangeError):
    """State and event contradict each other: a bug, or a stream that was tampered with."""


class AmountOverflowError(ExchangeError):
    """An amount of money does not fit 63 bits."""
