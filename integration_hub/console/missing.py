"""Why a payload is not there any more, in a sentence for its place on the page."""

from bisect import bisect_right
from datetime import datetime
from functools import cached_property

from sync.models import Kept, Pruning
from webhooks.models import Event, is_erased

ERASED = "Erased, with everything that was kept of the person."
_MOST_RUNS = 2_000


class Missing:
    """What is not kept of one event. Asks the database once, and only where something is missing."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def sentence(self, moment: datetime) -> str:
        """Of a payload that was stored at about this moment."""
        if is_erased(self._event.entity_id):
            return ERASED
        place = bisect_right([up_to for up_to, _ in self._runs], moment)
        if place == len(self._runs):
            return "Not kept, or deleted since."
        return f"Deleted by retention on {self._runs[place][1]:%Y-%m-%d}."

    @cached_property
    def _runs(self) -> list[tuple[datetime, datetime]]:
        """Up to when, and when, retention deleted payloads of this event's time and later."""
        runs = Pruning.objects.filter(kind=Kept.PAYLOADS, up_to__gt=self._event.received_at).order_by("up_to")
        return list(runs.values_list("up_to", "began_at")[:_MOST_RUNS])
