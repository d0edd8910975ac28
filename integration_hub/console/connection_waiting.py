"""What waits for each connection, counted within bounds."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from database.statement import Statement

MOST_WAITING = 10_000

# By the index that holds only what waits; beyond so many it is not worth knowing how many more.
_WAITING = Statement(
    """SELECT identity_id, commercial_id, COUNT(*) FROM (SELECT identity_id, commercial_id FROM sync_delivery
    WHERE state IN ('pending', 'retrying') ORDER BY due_at, id LIMIT %s) w GROUP BY identity_id, commercial_id"""
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries wait. `is_least`: there are more than were counted."""

    number: int = 0
    is_least: bool = False


def waiting() -> Mapping[int, Waiting]:
    """By the connection's key: what waits for it, at either end. One statement."""
    rows = _WAITING.rows(MOST_WAITING + 1)
    is_least = sum(number for _, _, number in rows) > MOST_WAITING
    numbers: defaultdict[int, int] = defaultdict(int)
    for identity, commercial, number in rows:
        for connection in {identity, commercial}:
            numbers[connection] += number
    return defaultdict(
        lambda: Waiting(0, is_least), {key: Waiting(each, is_least) for key, each in numbers.items()}
    )


def waiting_words(found: Waiting) -> str:
    """`1,204 deliveries`; where there are more than were counted, that."""
    number = f"{found.number:,}"
    if found.is_least:
        return _("at least %(number)s deliveries") % {"number": number}
    return ngettext("%(number)s delivery", "%(number)s deliveries", found.number) % {"number": number}
