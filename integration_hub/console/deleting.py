"""What keeps a setting from being deleted, found without reading it: millions of events may stand behind a source."""

from collections.abc import Iterator
from typing import Any

from django.db.models import PROTECT, ForeignObjectRel, Model
from django.utils.text import capfirst


def kept_by(row: Model) -> list[str]:
    """The kinds of rows that must not lose this one, as they are called."""
    return list(dict.fromkeys(_found(row)))


def _found(row: Model) -> Iterator[str]:
    for relation in row._meta.get_fields(include_hidden=True):
        if not (isinstance(relation, ForeignObjectRel) and relation.on_delete is PROTECT):
            continue
        of: Any = relation.related_model
        if of._base_manager.filter(**{relation.field.name: row}).exists():
            yield capfirst(str(of._meta.verbose_name_plural))
