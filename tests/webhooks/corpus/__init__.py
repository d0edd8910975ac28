"""Documents of every class that the published JSON parsing suites test, each with its exact answer.

Made for the whole product: whatever reads JSON that others wrote can be run against `CASES`.
"""

from tests.webhooks.corpus import encodings, limits, numbers, strings, structures
from tests.webhooks.corpus.case import ACCEPTED, Case

__all__ = ["ACCEPTED", "CASES", "Case"]

CASES: tuple[Case, ...] = (
    *structures.CASES,
    *numbers.CASES,
    *strings.CASES,
    *encodings.CASES,
    *limits.CASES,
)
