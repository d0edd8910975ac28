"""How entries are found by what was done and by whom, without an index that has to be written with every webhook.

What every webhook does is found by walking back from the newest entry: it is never far. All else, and what people
did, stands in partial indexes; one serves only where its condition stands in the text of the statement.
"""

from typing import Any

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from audit.models import Entry
from audit.models.entry import ROUTINE

_listed = ", ".join(f"'{each}'" for each in ROUTINE)
_IS_SELDOM = f'NOT ("audit_entry"."action" IN ({_listed}))'
_IS_BY_PEOPLE = {
    "sqlite": """"audit_entry"."actor" LIKE 'person:%%' ESCAPE '\\'""",
    "postgresql": """"audit_entry"."actor"::text LIKE 'person:%%'""",
}


def of_action(entries: QuerySet[Entry], action: str) -> QuerySet[Entry]:
    """Entries of one kind of deed."""
    found = entries.filter(action=action)
    return found if action in ROUTINE else found.filter(_raw(_IS_SELDOM))


def by_people(entries: QuerySet[Entry], vendor: str) -> QuerySet[Entry]:
    """Entries of what people did."""
    return entries.filter(_raw(_IS_BY_PEOPLE[vendor]))


def _raw(sql: str) -> Any:
    return RawSQL(sql, (), output_field=BooleanField())  # noqa: S611 - of nothing that anybody sent
