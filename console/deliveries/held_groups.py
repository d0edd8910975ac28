"""Load the held deliveries, by route, with their intended changes."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Min, QuerySet, Window
from django.db.models.functions import RowNumber

from console.payloads.content import ChangeTable, change_table
from console.ui.outcome_texts import describe_code
from sync.attempts.absence import ABSENCE_CODES, OWNER_HELD_CODE
from sync.models import MATCH_HELD_CODE, Attempt, Delivery, Route

MAX_GROUPS = 50
SAMPLES_PER_GROUP = 3


@dataclass(frozen=True, slots=True)
class HeldDelivery:
    """One held delivery. `change` is the change that its attempt was about to send; None if the person may not see
    it.
    """

    row: Delivery
    change: ChangeTable | None

    @property
    def needs_record(self) -> bool:
        return self.row.code == MATCH_HELD_CODE

    @property
    def is_absence(self) -> bool:
        """Return True if it is held because an absence is not proven: there may be no planned change."""
        return self.row.code in ABSENCE_CODES

    @property
    def reason(self) -> str:
        """Return what is uncertain about the change; an empty text if the mass-change guard holds it."""
        if not self.is_absence and self.row.code != OWNER_HELD_CODE:
            return ""
        return describe_code(self.row.code, self.row.connection_of_code(self.row.code).name).detail


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """The held deliveries of one route. `since`: arrival of the oldest of their webhooks."""

    route: Route
    count: int
    since: datetime
    samples: tuple[HeldDelivery, ...]

    @property
    def more(self) -> int:
        return self.count - len(self.samples)


def held_deliveries() -> QuerySet[Delivery]:
    """Return deliveries that wait for approval, oldest first."""
    # Among the open ones, because they have an index.
    return Delivery.objects.held().order_by("pk")


def list_held_groups(*, with_contents: bool, revealed: Container[int]) -> list[HeldGroup]:
    """Return the routes with held deliveries, oldest first, with three samples each. Five statements at most.

    `revealed`: the events whose values are shown; values of other events are masked.
    """
    counted = (
        held_deliveries()
        .order_by()
        .values("route")
        .annotate(count=Count("pk"), since=Min("event__received_at"))
    )
    rows = list(counted.order_by("since", "route")[:MAX_GROUPS])
    routes = Route.objects.select_related("source", "identity", "target")
    known = routes.in_bulk([row["route"] for row in rows])
    samples = _sample_deliveries(with_contents=with_contents, revealed=revealed) if rows else []
    return [
        HeldGroup(
            known[row["route"]],
            row["count"],
            row["since"],
            tuple(sample for sample in samples if sample.row.route_id == row["route"]),
        )
        for row in rows
    ]


def _sample_deliveries(*, with_contents: bool, revealed: Container[int]) -> list[HeldDelivery]:
    # Numbers the deliveries of each route, so that one statement finds the samples of all routes.
    place = Window(RowNumber(), partition_by="route_id", order_by="pk")
    keys = (
        held_deliveries()
        .annotate(place=place)
        .filter(place__lte=SAMPLES_PER_GROUP)
        .values_list("pk", flat=True)
    )
    return describe_held(
        held_deliveries().filter(pk__in=list(keys[: MAX_GROUPS * SAMPLES_PER_GROUP])),
        with_contents=with_contents,
        revealed=revealed,
    )


def describe_held(
    deliveries: QuerySet[Delivery], *, with_contents: bool, revealed: Container[int] = ()
) -> list[HeldDelivery]:
    """Return these deliveries with their intended changes, by two statements; by one without contents.

    `revealed`: the events whose values are shown; values of other events are masked.
    """
    rows = list(deliveries.select_related("event", "target", "identity", "covered_by__findings__subject"))
    planned = _newest_attempts([row.pk for row in rows]) if with_contents else {}
    return [
        HeldDelivery(
            row,
            _intended_change(row, planned.get(row.pk), is_masked=row.event_id not in revealed)
            if with_contents
            else None,
        )
        for row in rows
    ]


def _newest_attempts(deliveries: list[int]) -> dict[int, Attempt]:
    """Return the newest attempt of each delivery, with its change."""
    newest = Attempt.objects.filter(delivery__in=deliveries, number=F("delivery__last_number"))
    return {attempt.delivery_id: attempt for attempt in newest.select_related("findings__subject")}


def _intended_change(row: Delivery, own: Attempt | None, *, is_masked: bool) -> ChangeTable | None:
    """Return the change that was about to be sent: the change of the newest attempt, its own or one that covered it."""
    attempts = [attempt for attempt in (own, row.covered_by) if attempt is not None]
    newest = max(attempts, key=lambda attempt: attempt.pk, default=None)
    return change_table(newest, is_masked=is_masked) if newest else None
