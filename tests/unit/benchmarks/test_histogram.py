"""Percentiles from buckets are those of the sorted values, within a bucket's width."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import Histogram


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def test_small_values_are_exact() -> None:
    histogram = filled(list(range(1, 101)))
    assert [histogram.percentile(p) for p in (1, 50, 99, 100)] == [1, 50, 99, 100]


def test_an_empty_histogram_has_zero_percentiles() -> None:
    assert Histogram().percentile(99) == 0


def test_a_negative_value_counts_as_zero() -> None:
    assert filled([-5]).percentile(50) == 0


@given(
    st.lists(st.integers(0, 2**60), min_size=1, max_size=200),
    st.floats(min_value=0.1, max_value=100),
)
def test_a_percentile_is_at_most_a_64th_above_the_sorted_value(
    values: list[int], percent: float
) -> None:
    exact = sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
    found = filled(values).percentile(percent)
    assert exact <= found <= exact + exact // 64 + 1


@given(st.lists(st.integers(0, 10**9)), st.lists(st.integers(0, 10**9)))
def test_merged_histograms_equal_one_that_counted_everything(
    left: list[int], right: list[int]
) -> None:
    merged, whole = filled(left), filled(left + right)
    merged.merge(filled(right))
    assert (merged.count, merged.value_max) == (whole.count, whole.value_max)
    for percent in (1, 25, 50, 99, 100):
        assert merged.percentile(percent) == whole.percentile(percent)


@pytest.mark.parametrize("value", [127, 128, 129, 255, 256, 10**6, 2**40 + 1])
def test_the_largest_value_is_kept_exactly(value: int) -> None:
    assert filled([1, value]).percentile(100) == value
