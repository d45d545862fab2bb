"""The embedded default: SQLite files, each written by one process."""
