"""What the mass-change guard holds, by route, with what would change."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Min, QuerySet, Window
from django.db.models.functions import RowNumber

from console.payloads.content import ChangeTable, change_table
from sync.models import Attempt, Delivery, Route
from webhooks.models import State

MAX_GROUPS = 50
SAMPLES_PER_GROUP = 3


@dataclass(frozen=True, slots=True)
class HeldDelivery:
    """One held delivery. `change` is what its attempt was about to send, for people who may see it."""

    row: Delivery
    change: ChangeTable | None


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """What is held of one route. `since`: when the oldest of these webhooks came."""

    route: Route
    count: int
    since: datetime
    samples: tuple[HeldDelivery, ...]

    @property
    def more(self) -> int:
        """How many of them are no sample."""
        return self.count - len(self.samples)


def held_deliveries() -> QuerySet[Delivery]:
    """Deliveries that wait for approval, oldest first; found among the open ones, for which there is an index."""
    return Delivery.objects.open().filter(state=State.HELD).order_by("pk")


def list_held_groups(*, with_contents: bool) -> list[HeldGroup]:
    """The routes that hold something, the longest first, with three deliveries each. Five statements at most."""
    counted = (
        held_deliveries()
        .order_by()
        .values("route")
        .annotate(count=Count("pk"), since=Min("event__received_at"))
    )
    rows = list(counted.order_by("since", "route")[:MAX_GROUPS])
    routes = Route.objects.select_related("source", "identity", "commercial")
    known = routes.in_bulk([row["route"] for row in rows])
    samples = _sample_deliveries(with_contents=with_contents) if rows else []
    return [
        HeldGroup(
            known[row["route"]],
            row["count"],
            row["since"],
            tuple(each for each in samples if each.row.route_id == row["route"]),
        )
        for row in rows
    ]


def _sample_deliveries(*, with_contents: bool) -> list[HeldDelivery]:
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
    )


def describe_held(deliveries: QuerySet[Delivery], *, with_contents: bool) -> list[HeldDelivery]:
    """These deliveries with what they would change; two statements, one where contents may not be seen."""
    rows = list(deliveries.select_related("event", "commercial", "covered_by__change__subject"))
    planned = _newest_attempts([row.pk for row in rows]) if with_contents else {}
    return [
        HeldDelivery(row, _intended_change(row, planned.get(row.pk)) if with_contents else None)
        for row in rows
    ]


def _newest_attempts(deliveries: list[int]) -> dict[int, Attempt]:
    """The newest attempt of each of them, with the change that it found."""
    newest = Attempt.objects.filter(delivery__in=deliveries, number=F("delivery__last_number"))
    return {each.delivery_id: each for each in newest.select_related("change__subject")}


def _intended_change(row: Delivery, own: Attempt | None) -> ChangeTable | None:
    """What was about to be sent; where a sibling's attempt settled the delivery later than its own, that one's."""
    attempts = [each for each in (own, row.covered_by) if each is not None]
    newest = max(attempts, key=lambda each: each.pk, default=None)
    return change_table(newest.change) if newest else None
