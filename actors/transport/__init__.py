"""Carrying bytes between hosts. Sequence, acknowledgement and resend are above it, in link.py."""
