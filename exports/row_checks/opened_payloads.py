"""Opens one payload of each entity: digests show that stored bytes are unchanged, but not that their key still is.

Which payload it is changes from day to day, so each is opened at some time, for the cost of one.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from django.db.models import Count, F, Value, Window
from django.db.models.functions import Mod, RowNumber

from database.encryption.at_rest import CannotDecrypt
from exports.bundle.shipped.check_rows import RowFault
from exports.damaged_values import READ_ERRORS, is_damage
from webhooks.models import Payload, SubjectKey

PAGE_SIZE = 500  # keys
# Payloads that are read at once: each can have megabytes.
_BATCH_SIZE = 20
# No times: one that cannot be read would hide all other rows, and is found elsewhere.
_COLUMNS = ("encrypted", "subject__wrapped")


def check_opened_payloads(after: int, day: date) -> tuple[int | None, list[RowFault]]:
    """Open a payload of each of the next keys that are not destroyed. Returns the last key, None at the end, and a
    fault for each payload that cannot be opened.

    Call it in a snapshot: an erasure destroys keys.
    """
    live = SubjectKey.objects.filter(pk__gt=after, destroyed_at=None).order_by("pk")
    keys = list(live.values_list("pk", flat=True)[:PAGE_SIZE])
    if not keys:
        return None, []
    drawn = _draw_payloads(keys, day)
    batches = (drawn[start : start + _BATCH_SIZE] for start in range(0, len(drawn), _BATCH_SIZE))
    return keys[-1], [fault for batch in batches for fault in _open_payloads(batch)]


def _draw_payloads(keys: Sequence[int], day: date) -> list[int]:
    """Return one payload of each subject key that has any: the n-th of them, where n follows from the day."""
    numbered = Payload.objects.filter(subject__in=keys).annotate(
        place=Window(RowNumber(), partition_by=F("subject"), order_by=F("pk").asc()),
        number=Window(Count("pk"), partition_by=F("subject")),
    )
    drawn = numbered.filter(place=Mod(Value(day.toordinal()), F("number")) + 1)
    return list(drawn.values_list("pk", flat=True))


def _open_payloads(keys: Sequence[int]) -> Iterator[RowFault]:
    for payload in Payload.objects.filter(pk__in=keys).select_related("subject").only(*_COLUMNS):
        try:
            payload.decrypt()
        except CannotDecrypt:
            yield _fault(payload)
        except READ_ERRORS as error:
            if not is_damage(error):
                raise
            yield _fault(payload)


def _fault(payload: Payload) -> RowFault:
    return RowFault(
        "unreadable",
        "payloads",
        f"with id {payload.pk}",
        "encrypted",
        "cannot be opened with the key of its entity",
    )
