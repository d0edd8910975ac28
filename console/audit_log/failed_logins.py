"""The failed logins of the last 24 hours, by account, address and hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import CharField, OuterRef, Subquery
from django.utils import timezone

from logins.models import FailedLogins

_RECENT = timedelta(hours=24)
_MAX_ROWS = 20


@dataclass(frozen=True, slots=True)
class FailedLoginSummary:
    """The number of all attempts, and the rows with most of them."""

    times: int
    rows: Sequence[FailedLogins]


def summarize_failed_logins() -> FailedLoginSummary:
    """Return the summary of the last 24 hours, in one statement. The name of an account is `account` of its rows."""
    since = timezone.now() - _RECENT
    name = User.objects.filter(pk=OuterRef("person_number")).values("username")[:1]
    recent = FailedLogins.objects.filter(hour__gt=since - timedelta(hours=1), last_at__gt=since)
    rows = list(recent.annotate(account=Subquery(name, output_field=CharField())))
    rows.sort(key=lambda row: (row.times, row.last_at), reverse=True)
    return FailedLoginSummary(sum(row.times for row in rows), rows[:_MAX_ROWS])
