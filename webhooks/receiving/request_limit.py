"""Limit the requests of a source. A request above the limit is answered 429 with `Retry-After` and is not stored."""

import math
from collections.abc import Mapping

from webhooks.models import Source
from webhooks.models.rate_limit import RateLimit, RateLimitExceeded, reserve_turn
from webhooks.receiving.request_verification import RequestRefused

_MIN_BURST = 10
_MAX_RETRY_SECONDS = 60


class TooManyRequests(RequestRefused):
    """A request above the limit of its source. `retry_after`: whole seconds, 1 to 60, until one more is allowed."""

    def __init__(self, seconds: float) -> None:
        super().__init__("too-many-requests", reason=f"{seconds:.1f} s too soon")
        self.retry_after = min(max(1, math.ceil(seconds)), _MAX_RETRY_SECONDS)


def check_request_limit(source: Source) -> None:
    """Count one verified request. Raises TooManyRequests above the source's requests a minute.

    A tenth of the limit, at least 10, may arrive at once. A source without a limit costs nothing, and in a flood most
    requests are refused without a database statement.
    """
    limit = source.requests_per_minute
    if limit is None:
        return
    rate = RateLimit(limit / 60, max(_MIN_BURST, limit // 10))
    try:
        reserve_turn(f"source:{source.pk}", rate, max_wait=0.0)
    except RateLimitExceeded as refusal:
        raise TooManyRequests(refusal.seconds) from refusal


def retry_headers(refusal: RequestRefused) -> Mapping[str, str]:
    """Return the `Retry-After` header (RFC 9110, section 10.2.3) for a refusal by the request limit, otherwise none."""
    return {"Retry-After": str(refusal.retry_after)} if isinstance(refusal, TooManyRequests) else {}
