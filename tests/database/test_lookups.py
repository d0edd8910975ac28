"""A key of any size, or a text with a NUL, finds what has it, or nothing."""

import pytest
from django.contrib.auth.models import Group, User

pytestmark = pytest.mark.django_db


LOOKUPS = ["exact", "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"]


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_a_text_with_a_nul_finds_nothing(lookup: str) -> None:
    name = Group.objects.latest("pk").name
    rows = Group.objects
    assert rows.filter(**{f"name__{lookup}": name}).count() == 1
    assert rows.filter(**{f"name__{lookup}": f"{name}\0"}).count() == 0
    assert rows.exclude(**{f"name__{lookup}": "\0"}).count() == rows.count()


def test_a_list_and_a_relation_ignore_a_text_with_a_null_character() -> None:
    group = Group.objects.latest("pk")
    assert list(Group.objects.filter(name__in=["\0", group.name, f"{group.name}\0"])) == [group]
    assert list(Group.objects.filter(name__in=Group.objects.filter(pk=group.pk).values("name"))) == [group]
    assert User.objects.filter(groups__name="\0").count() == 0


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
