"""In which segment of the audit log an entry is sealed."""

from datetime import datetime
from typing import NamedTuple

from audit.format.id_ranges import unpack
from audit.models import Entry, Segment

# Entries are committed out of the order of their ids, so that one may stand some segments further on: a segment is
# closed each second at most, and no transaction lasts longer than two minutes.
_MOST = 150


class Sealed(NamedTuple):
    """The number of the segment, and when it was closed."""

    number: int
    at: datetime


def sealed_in(entry: Entry) -> Sealed | None:
    """Where it is; None while it is nowhere. One statement as a rule, three at most."""
    reaching = Segment.objects.filter(highest_id__gte=entry.pk)
    after = reaching.order_by("highest_id", "number")  # those of a silence have the same highest id
    late = reaching.filter(is_late=True).order_by("-number")
    for some in (after[:1], after[1:_MOST], late[:_MOST]):
        for number, at, ids in some.values_list("number", "sealed_at", "ids"):
            if entry.pk in unpack(bytes(ids)):
                return Sealed(number, at)
    return None
