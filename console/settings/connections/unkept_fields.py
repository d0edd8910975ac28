"""Fields of a target that it does not keep: their names, and how many records show it."""

import json
from collections import Counter
from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.models import Connection, Link

MAX_RECORDS = 1_000
MAX_FIELDS = 20


@dataclass(frozen=True, slots=True)
class UnkeptFields:
    """The fields that most records show, each with a text for their number. Empty if the target keeps all.

    `more`: a sentence about the fields that are not shown.
    """

    rows: tuple[tuple[str, str], ...] = ()
    more: str = ""

    @property
    def consequence(self) -> str:
        """Describe what the hub does about it."""
        if not settings.UNKEPT_WRITES:
            return _("The hub sends them with every event.")
        sentence = _(
            "After %(number)s equal writes, the hub leaves such a field out until its value changes here or in the "
            "target. Correct the mapping, or the target."
        )
        return sentence % {"number": f"{settings.UNKEPT_WRITES:,}"}


def count_unkept_fields(connection: Connection) -> UnkeptFields:
    """Count the records of each field that the target does not keep. One query, of at most MAX_RECORDS rows."""
    links = Link.objects.filter(target=connection, unkept_fields__isnull=False)
    texts = list(links.values_list("unkept_fields", flat=True)[: MAX_RECORDS + 1])
    is_lower_bound = len(texts) > MAX_RECORDS
    records = Counter(name for text in texts[:MAX_RECORDS] for name in json.loads(text or "[]"))
    ordered = sorted(records.items(), key=lambda counted: (-counted[1], counted[0]))
    rows = tuple((name, _records_text(number, is_lower_bound)) for name, number in ordered[:MAX_FIELDS])
    return UnkeptFields(rows, _more_text(len(ordered) - MAX_FIELDS))


def _records_text(number: int, is_lower_bound: bool) -> str:
    values = {"number": f"{number:,}"}
    if is_lower_bound:
        return _("at least %(number)s records") % values
    return ngettext("%(number)s record", "%(number)s records", number) % values


def _more_text(number: int) -> str:
    if number <= 0:
        return ""
    return ngettext("%(number)s more field.", "%(number)s more fields.", number) % {"number": f"{number:,}"}
