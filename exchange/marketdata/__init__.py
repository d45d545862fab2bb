"""Depth, trades, candles and tickers: folds over market events."""
