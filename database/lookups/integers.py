"""Lookups of integer columns that take numbers of any size.

Django answers `pk=10**20` without the database, since no column contains such a number. `pk__in=[10**20]` it sends, and
SQLite's driver raises OverflowError. Forms and actions of the admin look up posted keys that way.
"""

from typing import Any

from django.db.models import BigIntegerField, ForeignObject, IntegerField
from django.db.models.fields.related_lookups import RelatedIn
from django.db.models.lookups import In

_MAX = BigIntegerField.MAX_BIGINT


class BoundedIn(In):
    """`in` that leaves out numbers which no integer column holds."""

    def get_prep_lookup(self) -> Any:
        """Return the values to look up."""
        return _without_huge_numbers(self, super().get_prep_lookup())


class BoundedRelatedIn(RelatedIn):
    """`in` of a relation that leaves out numbers which no integer column holds."""

    def get_prep_lookup(self) -> Any:
        """Return the values to look up."""
        return _without_huge_numbers(self, super().get_prep_lookup())


def _without_huge_numbers(lookup: In, values: Any) -> Any:
    if not lookup.rhs_is_direct_value():
        # A subquery has only values of a column.
        return values
    return [value for value in values if not isinstance(value, int) or -_MAX - 1 <= value <= _MAX]


def register_bounded_lookups() -> None:
    """Let all integer columns and relations use them."""
    IntegerField.register_lookup(BoundedIn)
    ForeignObject.register_lookup(BoundedRelatedIn)
