"""Decide when to retry a delivery, or to give up. Pure: the random number is an argument.

Exponential back-off with full jitter, which empties a backlog without a stampede, with an upper bound. A
Retry-After header is a lower bound, up to the same upper bound.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retry limits of a route: attempts, age of the delivery, and delays from `base_seconds` to `cap_seconds`."""

    max_attempts: int = 8
    max_age_seconds: float = 72 * 3600.0
    base_seconds: float = 2.0
    cap_seconds: float = 3600.0


def next_retry_delay(
    policy: RetryPolicy,
    failed_attempts: int,
    age_seconds: float,
    jitter: float,
    retry_after: float | None = None,
) -> float | None:
    """Return the seconds until the next attempt after `failed_attempts`, or None if attempts or age run out before.

    `jitter` is a random number in [0, 1).
    """
    if failed_attempts >= policy.max_attempts:
        return None
    # The exponent is limited, since 2.0 to a large power overflows.
    ceiling = max(
        policy.base_seconds / 2,
        min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(failed_attempts, 40)),
    )
    # At least half the base, so that no retry follows at once.
    jittered = policy.base_seconds / 2 + jitter * (ceiling - policy.base_seconds / 2)
    delay = max(jittered, min(retry_after or 0.0, policy.cap_seconds))
    return None if age_seconds + delay > policy.max_age_seconds else delay
