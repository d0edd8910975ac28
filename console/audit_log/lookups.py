"""What is named on a page of the audit log is looked up by one statement, however much that is."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet, TextField, Value
from django.db.models.functions import Cast

from console.base.forms import parse_pk
from exports.models import Export
from sync.models import Connection, Erasure, FailureDecision, Replay, Route, Snooze
from sync.models import Mapping as MappingRow
from webhooks.models import Event, Source

Key = tuple[str, str]
"""A kind and the key of one of that kind, as text."""


def number(text: str) -> str:
    """`ValueError` for what is no key of a row."""
    if parse_pk(text) is None:
        raise ValueError(text)
    return text


def slug(text: str) -> str:
    """As it stands."""
    return text


def uuid(text: str) -> str:
    """One spelling for all that there are. `ValueError`."""
    return str(UUID(text))


class _Table(NamedTuple):
    """Where to look: by this column, for that one."""

    model: type[Model]
    key: str
    value: str
    read: Callable[[str], str] = number


_TABLES: Mapping[str, _Table] = {
    "person": _Table(User, "pk", "username"),
    "event": _Table(Event, "uuid", "pk", uuid),
    "delivery": _Table(Event, "uuid", "pk", uuid),
    "source": _Table(Source, "pk", "name"),
    "sender": _Table(Source, "slug", "name", slug),
    "connection": _Table(Connection, "pk", "name"),
    "mapping": _Table(MappingRow, "pk", "name"),
    "route": _Table(Route, "pk", "entity_type"),
    "group": _Table(Group, "pk", "name"),
    "replay": _Table(Replay, "uuid", "reason", uuid),
    "export": _Table(Export, "uuid", "reason", uuid),
    "erasure": _Table(Erasure, "uuid", "reason", uuid),
    "snooze": _Table(Snooze, "pk", "reason"),
    "decision": _Table(FailureDecision, "pk", "reason"),
}


def look_up(wanted: Iterable[Key]) -> dict[Key, str]:
    """Of people, settings and roles the name, of events and deliveries the key of the event, of all else the reason.

    What is not there, or not any more, is left out.
    """
    keys: dict[str, set[str]] = defaultdict(set)
    for kind, text in wanted:
        try:
            keys[kind].add(_TABLES[kind].read(text))
        except (KeyError, ValueError):
            continue
    parts = [_part(kind, some) for kind, some in keys.items() if some]
    rows = parts[0].union(*parts[1:], all=True) if parts else ()
    return {(kind, _TABLES[kind].read(key)): value for kind, key, value in rows}


def _part(kind: str, keys: set[str]) -> QuerySet[Any, Any]:
    table = _TABLES[kind]
    rows = table.model._base_manager.filter((f"{table.key}__in", keys)).order_by()
    columns = (Cast(name, TextField()) for name in (table.key, table.value))
    return rows.values_list(Value(kind, TextField()), *columns)
