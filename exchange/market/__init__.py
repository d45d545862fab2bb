"""One market: order book, matching, and what follows from it."""
