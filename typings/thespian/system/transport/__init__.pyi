from datetime import timedelta

DEFAULT_MAX_TRANSMIT_PERIOD: timedelta
MIN_BACKOFF_DELAY: timedelta
