"""Latencies in buckets: constant memory, any number of values, error below 1 %."""

_SUB_BITS = 7  # 128 buckets a power of two: a bucket is at most 1/64 of its value wide


class Histogram:
    """Counts of non-negative whole numbers, exact below 128 and within 1/64 above."""

    __slots__ = ("_counts", "count", "value_max")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}  # bounded: under 128 * 64 buckets for 64-bit values
        self.count = 0
        self.value_max = 0

    def record(self, value: int) -> None:
        """Count one value; a negative one, of a clock that stepped back, counts as 0."""
        value = max(value, 0)
        shift = value.bit_length() - _SUB_BITS
        bucket = (shift << _SUB_BITS | value >> shift) if shift > 0 else value
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.value_max = max(self.value_max, value)

    def merge(self, other: "Histogram") -> None:
        """Add the values that `other` counted."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.value_max = max(self.value_max, other.value_max)

    def percentile(self, percent: float) -> int:
        """Return the value that `percent` of all values do not exceed, rounded up to its bucket's
        end; 0 if there are none."""
        rank = max(1, -int(-self.count * percent // 100))
        seen = 0
        for bucket in sorted(self._counts, key=_bucket_end):
            seen += self._counts[bucket]
            if seen >= rank:
                return min(_bucket_end(bucket), self.value_max)
        return 0


def _bucket_end(bucket: int) -> int:
    """Return the largest value that falls into `bucket`."""
    shift, low = divmod(bucket, 1 << _SUB_BITS)
    return ((low + 1) << shift) - 1
