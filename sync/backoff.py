"""When to try again. Pure: the attempt, what the other side asked for, and one random number in; seconds out.

Exponential with full jitter (the spread that empties a backlog without a stampede), capped; a Retry-After is a floor.
"""

BASE_SECONDS = 2.0
CAP_SECONDS = 3600.0


def retry_delay(tries: int, jitter: float, retry_after: float | None = None) -> float:
    """Seconds until the next try after `tries` failed ones. `jitter` is a random number in [0, 1)."""
    ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(tries, 20))
    spread = BASE_SECONDS / 2 + jitter * (ceiling - BASE_SECONDS / 2)
    asked = min(retry_after or 0.0, CAP_SECONDS)
    return max(spread, asked)
