"""The limit of handshakes for tests that reach it, however long their requests take."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from webhooks.receiving import handshakes


@contextmanager
def slow_handshake_limit() -> Iterator[int]:
    """Grant a further handshake after 50 s instead of two. Yields how many are granted at once."""
    limit = replace(handshakes.HANDSHAKE_LIMIT, per_second=0.02)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(handshakes, "HANDSHAKE_LIMIT", limit)
        yield limit.burst
