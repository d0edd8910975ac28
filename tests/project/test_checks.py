"""A process whose leases end before its requests do is refused at its start, with one sentence."""

from typing import Any

import pytest
from django.core.management import CommandError

from integration_hub.checks import check_lease
from tests.support.builders.settings_rows import connection


@pytest.fixture
def short_lease(settings: Any) -> None:
    settings.LEASE_SECONDS = 12.0
    settings.SILENCED_SYSTEM_CHECKS = []


@pytest.mark.django_db
def test_a_lease_as_long_as_a_request_and_five_seconds_is_enough(settings: Any) -> None:
    settings.SILENCED_SYSTEM_CHECKS = []
    longest = connection(deadline_seconds=settings.LEASE_SECONDS - 5)
    longest.full_clean()
    check_lease()


@pytest.mark.django_db
def test_a_lease_shorter_than_a_request_is_refused_with_the_longest_of_them(
    short_lease: None, django_assert_num_queries: Any
) -> None:
    connection(name="Quick", slug="quick", deadline_seconds=7.0)
    connection(name="Off", slug="off", deadline_seconds=30.0, is_enabled=False)
    with django_assert_num_queries(1):
        check_lease()
    connection(name="Slow", slug="slow", deadline_seconds=7.5)
    connection(name="Slowest", slug="slowest", deadline_seconds=30.0)
    with pytest.raises(
        CommandError, match=r"“Slowest” may take 30 seconds\. Set LEASE_SECONDS to at least 35,"
    ):
        check_lease()
