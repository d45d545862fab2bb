"""The client dialect, sans-IO: text in, commands out, and back."""
