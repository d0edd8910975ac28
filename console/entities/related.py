"""The requests that reported an entity, and the replays of its events, for its page."""

from collections.abc import Collection
from dataclasses import dataclass

from django.utils.safestring import SafeString

from console.base.damaged_rows import load_rows
from console.replays.words import replay_mark
from console.requests.results import render_result, request_result
from sync.models import Attempt, Delivery, PersonRequest
from webhooks.models import Receipt

MAX_RELATED = 5


@dataclass(frozen=True, slots=True)
class RelatedRequest:
    row: Receipt

    @property
    def pill(self) -> SafeString:
        return render_result(request_result(self.row))


@dataclass(frozen=True, slots=True)
class RelatedReplay:
    row: PersonRequest

    @property
    def pill(self) -> SafeString:
        return replay_mark(self.row.state)


def newest_requests(events: Collection[int]) -> tuple[RelatedRequest, ...]:
    """Return the newest requests of these events, by one statement."""
    rows = Receipt.objects.filter(event__in=events).select_related("event").order_by("-received_at", "-id")
    return tuple(RelatedRequest(row) for row in load_rows(rows[:MAX_RELATED]))


def newest_replays(events: Collection[int]) -> tuple[RelatedReplay, ...]:
    """Return the newest requests of people that had these events delivered again, or are to, or decided about them, by
    two statements.
    """
    tried = Attempt.objects.filter(delivery__event__in=events, person_request__isnull=False)
    waiting = Delivery.objects.filter(event__in=events, person_request__isnull=False)
    keys = tried.values_list("person_request").union(waiting.values_list("person_request"))
    rows = PersonRequest.objects.filter(pk__in=[key for (key,) in keys]).select_related("requested_by")
    return tuple(RelatedReplay(row) for row in load_rows(rows.order_by("-pk")[:MAX_RELATED]))
