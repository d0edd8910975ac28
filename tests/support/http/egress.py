"""Another egress policy than that of the tests, which may contact this machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from connectors.http.egress import EgressPolicy, use_egress_policy

PRODUCTION_DEFAULT = EgressPolicy()


@contextmanager
def egress_policy(policy: EgressPolicy = PRODUCTION_DEFAULT) -> Iterator[None]:
    """Judge connections by this policy meanwhile. Without one: as with DEBUG off and nothing configured."""
    use_egress_policy(policy)
    try:
        yield
    finally:
        use_egress_policy(settings.EGRESS_POLICY)
