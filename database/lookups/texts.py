"""Lookups of text columns that take NUL characters: they find nothing, because no text of the hub holds one.

PostgreSQL refuses such a value with an error. Addresses and forms of the console may contain any character.
"""

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import CharField, TextField
from django.db.models.lookups import (
    Contains,
    EndsWith,
    Exact,
    IContains,
    IEndsWith,
    IExact,
    In,
    IStartsWith,
    Lookup,
    StartsWith,
)


class _NulFindsNothing(Lookup):
    """Mixin of a lookup of one text."""

    def process_rhs(self, compiler: Any, connection: Any) -> Any:
        """Return the SQL of the text. Raises EmptyResultSet if it contains a NUL, which Django takes for *no row*."""
        if _holds_nul(self.rhs):
            raise EmptyResultSet
        return super().process_rhs(compiler, connection)


class InWithoutNul(In):
    """`in` that leaves out texts with a NUL."""

    def get_prep_lookup(self) -> Any:
        """Return the texts to look up."""
        values = super().get_prep_lookup()
        return [value for value in values if not _holds_nul(value)] if self.rhs_is_direct_value() else values


def _holds_nul(value: Any) -> bool:
    return isinstance(value, str) and "\0" in value


def register_text_lookups() -> None:
    """Let all text columns use them."""
    lookups = (Contains, EndsWith, Exact, IContains, IEndsWith, IExact, IStartsWith, StartsWith)
    for field in (CharField, TextField):
        for lookup in lookups:
            field.register_lookup(type(f"{lookup.__name__}WithoutNul", (_NulFindsNothing, lookup), {}))
        field.register_lookup(InWithoutNul)
