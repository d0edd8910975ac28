"""Filters for entries by action, actor and object, without an index that every webhook has to write.

Routine actions of webhooks are found by walking back from the newest entry: one is never far. Everything else is in
partial indexes, which a database uses only if their condition is in the text of the statement.
"""

from typing import Any

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from audit.models import Entry
from audit.models.entry import ROUTINE_ACTIONS, ROUTINE_STREAM_KINDS

# These conditions repeat those of the partial indexes of `Entry` word for word, and with literals: a planner cannot
# match a condition with parameters to an index.
_quoted_actions = ", ".join(f"'{action}'" for action in ROUTINE_ACTIONS)
_IS_NOT_ROUTINE = f'NOT ("audit_entry"."action" IN ({_quoted_actions}))'
_IS_BY_PEOPLE = {
    "sqlite": """"audit_entry"."actor" LIKE 'person:%%' ESCAPE '\\'""",
    "postgresql": """"audit_entry"."actor"::text LIKE 'person:%%'""",
}
_IS_OTHER_STREAM = {
    "sqlite": """(NOT ("audit_entry"."stream" LIKE 'event:%%' ESCAPE '\\')
        AND NOT ("audit_entry"."stream" LIKE 'delivery:%%' ESCAPE '\\'))""",
    "postgresql": """(NOT ("audit_entry"."stream"::text LIKE 'event:%%')
        AND NOT ("audit_entry"."stream"::text LIKE 'delivery:%%'))""",
}
_IS_OF_KIND = {
    "sqlite": """SUBSTR("audit_entry"."stream", 1, (INSTR("audit_entry"."stream", ':') - 1)) = %s""",
    "postgresql": """LEFT("audit_entry"."stream", (STRPOS("audit_entry"."stream", ':') - 1)) = %s""",
}


def filter_by_action(entries: QuerySet[Entry], action: str) -> QuerySet[Entry]:
    """Return the entries of one action."""
    matching = entries.filter(action=action)
    # Redundant for the result: it lets the database use the partial index.
    return matching if action in ROUTINE_ACTIONS else matching.filter(_sql_condition(_IS_NOT_ROUTINE))


def filter_by_people(entries: QuerySet[Entry], vendor: str) -> QuerySet[Entry]:
    """Return the entries that people caused."""
    return entries.filter(_sql_condition(_IS_BY_PEOPLE[vendor]))


def filter_by_actor(entries: QuerySet[Entry], actor: str, vendor: str) -> QuerySet[Entry]:
    """Return the entries that one person, one source or the hub caused."""
    matching = entries.filter(actor=actor)
    # Redundant for the result: it lets the database use the partial index of people.
    return filter_by_people(matching, vendor) if actor.startswith("person:") else matching


def filter_by_stream_kind(entries: QuerySet[Entry], kind: str, vendor: str) -> QuerySet[Entry]:
    """Return the entries of streams whose name begins with `kind` and a colon."""
    if kind in ROUTINE_STREAM_KINDS:
        return entries.filter(stream__startswith=f"{kind}:")
    return entries.filter(_sql_condition(_IS_OTHER_STREAM[vendor]), _sql_condition(_IS_OF_KIND[vendor], kind))


def _sql_condition(sql: str, *values: str) -> Any:
    return RawSQL(sql, values, output_field=BooleanField())  # noqa: S611 - of nothing that anybody sent
