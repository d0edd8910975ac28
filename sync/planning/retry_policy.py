"""When to try again, or never. Pure: the policy, the try, the delivery's age, what the other side asked for and one
random number in; seconds out.

Exponential with full jitter (the spread that empties a backlog without a stampede), capped; a Retry-After is a floor,
capped as well.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """A route's patience: so many tries, not beyond an age in seconds, pauses from `base` up to `cap` seconds."""

    tries: int = 8
    age: float = 72 * 3600.0
    base: float = 2.0
    cap: float = 3600.0


def next_try(
    policy: Policy, tries: int, age: float, jitter: float, retry_after: float | None = None
) -> float | None:
    """Seconds until the next try after `tries` failed ones, or None: out of tries, or too old by then.

    `jitter` is a random number in [0, 1).
    """
    if tries >= policy.tries:
        return None
    ceiling = max(policy.base / 2, min(policy.cap, policy.base * 2.0 ** min(tries, 40)))
    spread = policy.base / 2 + jitter * (ceiling - policy.base / 2)
    delay = max(spread, min(retry_after or 0.0, policy.cap))
    return None if age + delay > policy.age else delay
