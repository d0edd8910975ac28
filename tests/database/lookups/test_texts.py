"""A text with a NUL, which no column holds, finds nothing."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import DataError, connection
from django.db.models import CharField
from django.db.models.lookups import Exact

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


def test_the_lookup_of_django_is_an_error_on_postgresql() -> None:
    """Broken variant: the lookup that Django brings."""
    ours = CharField.get_lookups()["exact"]
    CharField.register_lookup(Exact)
    try:
        rows = Group.objects.filter(name="\0")
        if connection.vendor == "postgresql":
            with pytest.raises((DataError, ValueError)):
                rows.count()
        else:
            assert rows.count() == 0, "SQLite takes the character"
    finally:
        CharField.register_lookup(ours)
    assert Group.objects.filter(name="\0").count() == 0
