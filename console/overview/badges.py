"""Count what needs this person, for the badges of the menu and the titles of pages: open failures, what is held for
approval, active alarms, and requests that await this person as the second one.
"""

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import IntegerField, Q, Subquery, Sum, Value
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest

from console.overview.awaited import awaited_counts
from sync.models import Alarm
from sync.models.failure import open_failure_groups

FAILURES = "admin:sync_failuregroup_changelist"
HELD = "admin:sync_delivery_changelist"
ALARMS = "admin:sync_alarm_changelist"
# Written out, because only a literal matches the partial index of held deliveries. The condition on ids uses it.
_COUNT_HELD = """(SELECT COUNT(*) FROM
    (SELECT id FROM sync_delivery WHERE state = 'held' AND id > 0 ORDER BY id LIMIT 10000) held)"""
_ATTRIBUTE = "console_badges"


def badges_of(request: HttpRequest) -> Mapping[str, int]:
    """Return the counts of the person of this request by the URL names of their pages. One statement a request, and
    none for a person who sees none of them.
    """
    badges: Mapping[str, int] | None = getattr(request, _ATTRIBUTE, None)
    if badges is None:
        badges = _count_badges(request.user)
        setattr(request, _ATTRIBUTE, badges)
    return badges


def _count_badges(user: Any) -> Mapping[str, int]:
    counts: dict[str, Combinable] = dict(awaited_counts(user))
    if user.has_perm("sync.view_failuregroup"):
        counts[FAILURES] = _sum_open_failures()
    if user.has_perm("sync.view_delivery"):
        counts[HELD] = RawSQL(_COUNT_HELD, (), output_field=IntegerField())  # noqa: S611 - constant
    if user.has_perm("sync.view_alarm"):
        counts[ALARMS] = _count_alarms()
    if not counts:
        return {}
    row = User.objects.filter(pk=user.pk).values_list(*counts.values()).get()
    return dict(zip(counts, row, strict=True))


def _sum_open_failures() -> Combinable:
    summed = open_failure_groups().order_by().values(one=Value(1)).annotate(sum=Sum("number")).values("sum")
    return Coalesce(Subquery(summed), 0)


def _count_alarms() -> Combinable:
    active = Alarm.objects.filter(Q(snoozed_until=None) | Q(snoozed_until__lte=Now()), ended_at=None)
    return Coalesce(
        Subquery(active.order_by().values(one=Value(1)).annotate(sum=Sum(Value(1))).values("sum")), 0
    )
