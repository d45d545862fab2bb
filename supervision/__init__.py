"""OTP-like supervision for light processes and OS processes. Knows nothing about trading."""
