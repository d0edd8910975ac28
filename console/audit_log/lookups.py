"""Look up the names of all objects on a page of the audit log by one statement."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet, TextField, Value
from django.db.models.functions import Cast

from console.base.forms import parse_pk
from exports.models import Export
from sync.models import Connection, Erasure, FailureDecision, PersonRequest, Route, Snooze
from sync.models import Mapping as MappingRow
from webhooks.models import Event, Source

ObjectKey = tuple[str, str]
"""A kind and the key of one of that kind, as text."""


def parse_pk_text(text: str) -> str:
    """Return the text of a primary key unchanged. Raises ValueError for any other text."""
    if parse_pk(text) is None:
        raise ValueError(text)
    return text


def parse_uuid(text: str) -> str:
    """Return a UUID in its usual spelling. Raises ValueError."""
    return str(UUID(text))


class _LookupTable(NamedTuple):
    """A model, the column to search by, the column to return, and the parser of keys."""

    model: type[Model]
    key: str
    value: str
    read: Callable[[str], str] = parse_pk_text


_LOOKUP_TABLES: Mapping[str, _LookupTable] = {
    "person": _LookupTable(User, "pk", "username"),
    "event": _LookupTable(Event, "uuid", "pk", parse_uuid),
    "delivery": _LookupTable(Event, "uuid", "pk", parse_uuid),
    "source": _LookupTable(Source, "pk", "name"),
    "sender": _LookupTable(Source, "slug", "name", str),
    "connection": _LookupTable(Connection, "pk", "name"),
    "mapping": _LookupTable(MappingRow, "pk", "name"),
    "route": _LookupTable(Route, "pk", "entity_type"),
    "group": _LookupTable(Group, "pk", "name"),
    "person-request": _LookupTable(PersonRequest, "uuid", "reason", parse_uuid),
    "export": _LookupTable(Export, "uuid", "reason", parse_uuid),
    "erasure": _LookupTable(Erasure, "uuid", "reason", parse_uuid),
    "snooze": _LookupTable(Snooze, "pk", "reason"),
    "decision": _LookupTable(FailureDecision, "pk", "reason"),
}


def resolve_names(object_keys: Iterable[ObjectKey]) -> dict[ObjectKey, str]:
    """Return a text for each key: the name of a person, setting or role; the key of an event; the reason of
    anything else.

    Objects that do not exist, or no longer, are left out.
    """
    keys: dict[str, set[str]] = defaultdict(set)
    for kind, text in object_keys:
        try:
            keys[kind].add(_LOOKUP_TABLES[kind].read(text))
        # This kind has no names, or the text is not a key of it.
        except (KeyError, ValueError):
            continue
    queries = [_lookup_query(kind, texts) for kind, texts in keys.items() if texts]
    # UNION ALL: the kind is a column, so no two rows are equal and none has to be compared.
    rows = queries[0].union(*queries[1:], all=True) if queries else ()
    return {(kind, _LOOKUP_TABLES[kind].read(key)): value for kind, key, value in rows}


def _lookup_query(kind: str, keys: set[str]) -> QuerySet[Any, Any]:
    table = _LOOKUP_TABLES[kind]
    rows = table.model._base_manager.filter((f"{table.key}__in", keys)).order_by()
    # All parts of a UNION need columns of the same types.
    columns = (Cast(name, TextField()) for name in (table.key, table.value))
    return rows.values_list(Value(kind, TextField()), *columns)
