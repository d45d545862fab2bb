"""Measurements, load and replays. Figures are kept with machine and commit."""
