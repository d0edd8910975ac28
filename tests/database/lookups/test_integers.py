"""A key of any size finds what has it, or nothing."""

import pytest
from django.contrib.auth.models import Group

pytestmark = pytest.mark.django_db

HUGE = 10**20


def test_numbers_that_no_column_holds_find_nothing() -> None:
    group = Group.objects.latest("pk")
    rows = Group.objects.filter
    assert list(rows(pk__in=[HUGE, -HUGE, group.pk])) == [group]
    assert list(rows(pk__in=[str(HUGE)])) == []
    assert rows(pk__in=[2**63 - 1, -(2**63)]).count() == 0
    assert Group.objects.exclude(pk__in=[HUGE]).count() == Group.objects.count()
    assert list(rows(pk__in=Group.objects.filter(pk=group.pk))) == [group]
    assert list(rows(user__in=[HUGE])) == []
    assert list(rows(permissions__in=[HUGE, 2**63])) == []
