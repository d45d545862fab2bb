"""Settings: typed, bounded, read once at start."""
