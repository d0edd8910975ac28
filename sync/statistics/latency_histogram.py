"""How long requests took, as counts between fixed bounds: what is counted of two hours adds up to both. Pure.

Eight bounds for each power of ten, from a millisecond to 75 seconds: a quantile is right within a third.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

BUCKET_BOUNDS: tuple[float, ...] = tuple(0.001 * 10 ** (step / 8) for step in range(40))
BUCKET_COUNT = len(BUCKET_BOUNDS) + 1


def bucket_of(seconds: float) -> int:
    """Between which bounds it falls: place n is up to, and without, bound n; the last is beyond them all."""
    return bisect_right(BUCKET_BOUNDS, seconds)


def add_histograms(histograms: Iterable[Sequence[int]]) -> list[int]:
    """The counts of all of them together."""
    total = [0] * BUCKET_COUNT
    for each in histograms:
        for place, number in enumerate(each):
            total[place] += number
    return total


def estimate_quantile(histogram: Sequence[int], share: float) -> float | None:
    """The seconds which that share of the requests did not exceed; None where there was none."""
    rank = share * sum(histogram)
    if not rank:
        return None
    below = 0
    for place, number in enumerate(histogram):
        if number and below + number >= rank:
            low = BUCKET_BOUNDS[place - 1] if place else 0.0
            high = BUCKET_BOUNDS[place] if place < len(BUCKET_BOUNDS) else BUCKET_BOUNDS[-1] * 2
            return low + (high - low) * (rank - below) / number
        below += number
    return BUCKET_BOUNDS[-1] * 2
