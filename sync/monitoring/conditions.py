"""What is wrong, by the figures of one moment and the limits that are set. The judgement has no side effects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from sync.models import AlarmKind
from sync.monitoring.health_figures import Figures

LATE_TOLD = timedelta(days=1)  # a late segment stays one for ever: told for a day
UNANCHORED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong at one moment. With its kind, `subject` says whether it is the one known already."""

    kind: AlarmKind
    began_at: datetime
    subject: str = ""
    name: str = ""
    count: int = 0
    limit: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on a figure is an alarm. `dead`: so many failed events; 0 never alarms, nor does `unsealed`."""

    late: timedelta
    dead: int
    paused: timedelta
    unsealed: timedelta = timedelta(0)

    @classmethod
    def configured(cls) -> "Limits":
        """As the settings ALARM_* say."""
        return cls(
            timedelta(seconds=settings.ALARM_LATE_SECONDS),
            settings.ALARM_DEAD,
            timedelta(seconds=settings.ALARM_PAUSED_SECONDS),
            timedelta(seconds=settings.ALARM_UNSEALED_SECONDS),
        )


def conditions(figures: Figures, limits: Limits) -> list[Condition]:
    """What is wrong by these figures. A function of its arguments."""
    found = [*_of_deliveries(figures, limits)]
    found += (
        Condition(AlarmKind.SOURCE_SILENT, each.heard_at, f"source:{each.id}", each.name, limit=each.silence)
        for each in figures.sources
        if each.is_silent(figures.at)
    )
    found += (
        Condition(AlarmKind.CONNECTION_PAUSED, each.paused_at, f"connection:{each.id}", each.name)
        for each in figures.paused
        if figures.at - each.paused_at > limits.paused
    )
    return [*found, *_of_audit(figures, limits)]


def _of_audit(figures: Figures, limits: Limits) -> Iterator[Condition]:
    audit = figures.audit
    since = audit.unsealed_since
    if limits.unsealed and since is not None and figures.at - since > limits.unsealed:
        yield Condition(AlarmKind.AUDIT_UNSEALED, since, limit=limits.unsealed)
    if audit.late_at is not None and figures.at - audit.late_at < LATE_TOLD:
        yield Condition(AlarmKind.AUDIT_LATE, audit.late_at, count=audit.late)
    for outlet in audit.outlets:
        if outlet.failing_since is not None and figures.at - outlet.failing_since > UNANCHORED:
            subject = f"outlet:{outlet.name}"
            yield Condition(AlarmKind.AUDIT_UNANCHORED, outlet.failing_since, subject, outlet.name)
    if audit.verified is not None and audit.verified.faults:
        yield Condition(AlarmKind.AUDIT_BROKEN, audit.verified.at, count=audit.verified.faults)


def _of_deliveries(figures: Figures, limits: Limits) -> Iterator[Condition]:
    late_since = figures.oldest_due_at
    if late_since is not None and figures.at - late_since > limits.late:
        yield Condition(AlarmKind.DELIVERIES_LATE, late_since, count=figures.due, limit=limits.late)
    if limits.dead and figures.dead >= limits.dead:
        yield Condition(AlarmKind.DELIVERIES_DEAD, figures.at, count=figures.dead)
    if figures.held:
        yield Condition(AlarmKind.DELIVERIES_HELD, figures.at, count=figures.held)
