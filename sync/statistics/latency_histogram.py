"""Latency histogram with fixed bounds, so that the counts of two hours can be added. Pure.

Eight buckets for each power of ten, from a millisecond to 75 seconds: a quantile is accurate to a third.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

BUCKET_BOUNDS: tuple[float, ...] = tuple(0.001 * 10 ** (step / 8) for step in range(40))
BUCKET_COUNT = len(BUCKET_BOUNDS) + 1


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration. Bucket n ends before bound n; the last has no upper bound."""
    return bisect_right(BUCKET_BOUNDS, seconds)


def add_histograms(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Add the counts of several histograms."""
    total = [0] * BUCKET_COUNT
    for histogram in histograms:
        for bucket, number in enumerate(histogram):
            total[bucket] += number
    return total


def estimate_quantile(histogram: Sequence[int], share: float) -> float | None:
    """Return the seconds that this share of the requests did not exceed, None without requests."""
    rank = share * sum(histogram)
    if not rank:
        return None
    below = 0
    for place, number in enumerate(histogram):
        if number and below + number >= rank:
            low = BUCKET_BOUNDS[place - 1] if place else 0.0
            # The last bucket has no upper bound: twice its lower one is used.
            high = BUCKET_BOUNDS[place] if place < len(BUCKET_BOUNDS) else BUCKET_BOUNDS[-1] * 2
            return low + (high - low) * (rank - below) / number
        below += number
    return BUCKET_BOUNDS[-1] * 2
