"""What is wrong, by the figures of one moment and the limits that are set. The judgement has no side effects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from sync.models import AlarmKind
from sync.watching import Figures


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
    """From when on a figure is an alarm. `dead`: so many failed events; 0 never alarms."""

    late: timedelta
    dead: int
    paused: timedelta

    @classmethod
    def configured(cls) -> "Limits":
        """As the settings ALARM_* say."""
        return cls(
            timedelta(seconds=settings.ALARM_LATE_SECONDS),
            settings.ALARM_DEAD,
            timedelta(seconds=settings.ALARM_PAUSED_SECONDS),
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
    return found


def _of_deliveries(figures: Figures, limits: Limits) -> Iterator[Condition]:
    late_since = figures.oldest_due_at
    if late_since is not None and figures.at - late_since > limits.late:
        yield Condition(AlarmKind.DELIVERIES_LATE, late_since, count=figures.due, limit=limits.late)
    if limits.dead and figures.dead >= limits.dead:
        yield Condition(AlarmKind.DELIVERIES_DEAD, figures.at, count=figures.dead)
    if figures.held:
        yield Condition(AlarmKind.DELIVERIES_HELD, figures.at, count=figures.held)
