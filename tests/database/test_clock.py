"""The database's clock: the same time when read, stored by a queryset or by a statement."""

import time
from datetime import timedelta

import pytest
from django.db import transaction

from database.clock import database_now, read_clock
from database.statement import Statement
from database.values import parse_timestamp
from webhooks.models import RateLimitState

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def test_the_clock_goes_on_within_a_transaction() -> None:
    with transaction.atomic():
        RateLimitState.objects.create(key="a", free_at=database_now())
        stored, first = RateLimitState.objects.get().free_at, read_clock()
        time.sleep(0.01)
        assert stored <= first < read_clock()
        RateLimitState.objects.update(free_at=database_now())
        assert RateLimitState.objects.get().free_at > first


@pytest.mark.parametrize("seconds", [0.0, 90.5, -90.5])
def test_a_queryset_and_a_statement_mean_the_same_time(seconds: float) -> None:
    RateLimitState.objects.create(key="a", free_at=database_now(plus_seconds=seconds))
    (by_statement,) = Statement("SELECT {clock}").fetch_all(seconds)[0]
    by_queryset = RateLimitState.objects.get().free_at
    later = timedelta(seconds=seconds)
    assert timedelta(0) <= parse_timestamp(by_statement) - by_queryset < SECOND
    assert timedelta(0) <= read_clock() + later - by_queryset < SECOND
