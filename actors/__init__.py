"""Shells: hosts, light processes, and the edges of the system. No trading rule lives here."""
