"""How long requests took, as counts between fixed bounds: what is counted of two hours adds up to both. Pure.

Eight bounds for each power of ten, from a millisecond to 75 seconds: a quantile is right within a third.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

BOUNDS: tuple[float, ...] = tuple(0.001 * 10 ** (step / 8) for step in range(40))
PLACES = len(BOUNDS) + 1


def place_of(seconds: float) -> int:
    """Between which bounds it falls: place n is up to, and without, bound n; the last is beyond them all."""
    return bisect_right(BOUNDS, seconds)


def added(histograms: Iterable[Sequence[int]]) -> list[int]:
    """The counts of all of them together."""
    total = [0] * PLACES
    for each in histograms:
        for place, number in enumerate(each):
            total[place] += number
    return total


def quantile(histogram: Sequence[int], share: float) -> float | None:
    """The seconds which that share of the requests did not exceed; None where there was none."""
    rank = share * sum(histogram)
    if not rank:
        return None
    below = 0
    for place, number in enumerate(histogram):
        if number and below + number >= rank:
            low = BOUNDS[place - 1] if place else 0.0
            high = BOUNDS[place] if place < len(BOUNDS) else BOUNDS[-1] * 2
            return low + (high - low) * (rank - below) / number
        below += number
    return BOUNDS[-1] * 2
