"""How many webhooks a source may send: what is too much is answered 429 with a time to come back, and not stored."""

import math
from collections.abc import Mapping

from webhooks.models import Source
from webhooks.models.rate_limit import Rate, TooSoon, take_turn
from webhooks.receiving.gate import Refused

_SMALLEST_BURST = 10
_LONGEST = 60


class TooManyRequests(Refused):
    """The source is above its limit. `retry_after`: whole seconds, 1 to 60, until there is room for one more."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too-many-requests", reason=f"{seconds:.1f} s too soon")
        self.retry_after = min(max(1, math.ceil(seconds)), _LONGEST)


def admit(source: Source) -> None:
    """Count one verified webhook. `TooManyRequests` above the source's requests a minute.

    A tenth of them, at least 10, may come at once. Without a limit it costs nothing; during a flood most requests
    are refused without a statement.
    """
    limit = source.requests_per_minute
    if limit is None:
        return
    rate = Rate(limit / 60, max(_SMALLEST_BURST, limit // 10))
    try:
        take_turn(f"source:{source.pk}", rate, most_wait=0.0)
    except TooSoon as refusal:
        raise TooManyRequests(refusal.seconds) from refusal


def retry_headers(refused: Refused) -> Mapping[str, str]:
    """`Retry-After` (RFC 9110, section 10.2.3) where a refusal knows when; otherwise nothing."""
    return {"Retry-After": str(refused.retry_after)} if isinstance(refused, TooManyRequests) else {}
