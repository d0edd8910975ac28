"""How entries are found by what was done, by whom and about what, without an index that has to be written with every
webhook.

What every webhook does is found by walking back from the newest entry: it is never far. All else, what people did, and
what is about neither events nor deliveries, stands in partial indexes; one serves only where its condition stands in
the text of the statement.
"""

from typing import Any

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from audit.models import Entry
from audit.models.entry import ROUTINE_ACTIONS, ROUTINE_STREAM_KINDS

_quoted_actions = ", ".join(f"'{each}'" for each in ROUTINE_ACTIONS)
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
    """Entries of one kind of deed."""
    found = entries.filter(action=action)
    return found if action in ROUTINE_ACTIONS else found.filter(_sql_condition(_IS_NOT_ROUTINE))


def filter_by_people(entries: QuerySet[Entry], vendor: str) -> QuerySet[Entry]:
    """Entries of what people did."""
    return entries.filter(_sql_condition(_IS_BY_PEOPLE[vendor]))


def filter_by_actor(entries: QuerySet[Entry], actor: str, vendor: str) -> QuerySet[Entry]:
    """Entries of what one person, one source or the hub did."""
    found = entries.filter(actor=actor)
    return filter_by_people(found, vendor) if actor.startswith("person:") else found


def filter_by_stream_kind(entries: QuerySet[Entry], kind: str, vendor: str) -> QuerySet[Entry]:
    """Entries of the streams that begin with this word."""
    if kind in ROUTINE_STREAM_KINDS:
        return entries.filter(stream__startswith=f"{kind}:")
    return entries.filter(_sql_condition(_IS_OTHER_STREAM[vendor]), _sql_condition(_IS_OF_KIND[vendor], kind))


def _sql_condition(sql: str, *values: str) -> Any:
    return RawSQL(sql, values, output_field=BooleanField())  # noqa: S611 - of nothing that anybody sent
