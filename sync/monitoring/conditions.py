"""Decide which conditions are worth an alarm, from figures and thresholds. No side effects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from connectors.http.client_certificates import EXPIRY_WARNING
from sync.models import AlarmKind, ComparisonState
from sync.monitoring.comparison_figures import PairFigures
from sync.monitoring.health_figures import COUNT_LIMIT, HealthFigures

# A late segment stays one for ever, so its alarm ends after a day.
LATE_SEGMENT_ALARM_PERIOD = timedelta(days=1)
# The check runs each night: one day without a check may be a restart, two are not.
MAX_UNVERIFIED_TIME = timedelta(days=2)
MAX_CHECKPOINT_DELAY = timedelta(minutes=10)
# A comparison that is due is requested within a minute, unless something is in its way.
MAX_COMPARISON_DELAY = timedelta(hours=1)
# A catch-up runs within a minute of its time, and reads its list to the end, unless something is in its way.
MAX_CATCH_UP_DELAY = timedelta(minutes=15)
# Without a schedule nothing compares again by itself, so the alarm about a failed comparison ends after a day.
FAILED_COMPARISON_ALARM_PERIOD = timedelta(days=1)


# Of the name of an alarm's subject.
MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class AlarmCondition:
    """A condition that is worth an alarm. `kind` and `subject` together identify it across evaluations."""

    kind: AlarmKind
    began_at: datetime
    subject: str = ""
    name: str = ""
    count: int = 0
    limit: timedelta | None = None


@dataclass(frozen=True, slots=True)
class AlarmLimits:
    """Thresholds above which a figure raises an alarm. A `min_failed`, `max_unsealed_age`, `min_failed_logins` or
    `max_difference_age` of 0 turns its alarm off.
    """

    max_lateness: timedelta
    min_failed: int
    max_pause: timedelta
    max_unsealed_age: timedelta = timedelta(0)
    min_failed_logins: int = 0
    max_difference_age: timedelta = timedelta(0)

    @classmethod
    def from_settings(cls) -> "AlarmLimits":
        """Read the thresholds from the settings ALARM_*."""
        return cls(
            timedelta(seconds=settings.ALARM_LATE_SECONDS),
            settings.ALARM_DEAD,
            timedelta(seconds=settings.ALARM_PAUSED_SECONDS),
            timedelta(seconds=settings.ALARM_UNSEALED_SECONDS),
            settings.ALARM_FAILED_LOGINS,
            timedelta(seconds=settings.ALARM_OUT_OF_STEP_SECONDS),
        )


def find_conditions(figures: HealthFigures, limits: AlarmLimits) -> list[AlarmCondition]:
    """Return the conditions that these figures meet. A function of its arguments."""
    conditions = [*_delivery_conditions(figures, limits)]
    conditions += (
        AlarmCondition(
            AlarmKind.SOURCE_SILENT,
            source.silent_since,
            f"source:{source.id}",
            source.name,
            limit=source.silence,
        )
        for source in figures.sources
        if source.is_silent(figures.at)
    )
    conditions += (
        AlarmCondition(AlarmKind.CONNECTION_PAUSED, paused.paused_at, f"connection:{paused.id}", paused.name)
        for paused in figures.paused
        if figures.at - paused.paused_at > limits.max_pause
    )
    conditions += (
        AlarmCondition(AlarmKind.IDS_CHANGED, changed.paused_at, f"connection:{changed.id}", changed.name)
        for changed in figures.changed
    )
    conditions += _certificate_conditions(figures)
    for pair in figures.pairs:
        conditions += _comparison_conditions(pair, figures.at, limits)
    conditions += _catch_up_conditions(figures)
    since = figures.logins_failing_since
    if since is not None and 0 < limits.min_failed_logins <= figures.failed_logins:
        conditions.append(AlarmCondition(AlarmKind.LOGINS_FAILING, since, count=figures.failed_logins))
    if figures.addresses_unreadable_since is not None:
        conditions.append(AlarmCondition(AlarmKind.ADDRESSES_UNREADABLE, figures.addresses_unreadable_since))
    if figures.break_glass_at is not None:
        uses = figures.break_glass_uses
        conditions.append(AlarmCondition(AlarmKind.BREAK_GLASS, figures.break_glass_at, count=uses))
    return [*conditions, *_audit_conditions(figures, limits)]


def _certificate_conditions(figures: HealthFigures) -> Iterator[AlarmCondition]:
    for certificate in figures.certificates:
        subject = f"connection:{certificate.id}"
        if certificate.is_ending(figures.at):
            yield AlarmCondition(
                AlarmKind.CERTIFICATE_ENDING,
                certificate.expires_at - EXPIRY_WARNING,
                subject,
                certificate.name,
                count=certificate.days_left(figures.at),
            )
        elif certificate.expires_at <= figures.at:
            yield AlarmCondition(
                AlarmKind.CERTIFICATE_EXPIRED, certificate.expires_at, subject, certificate.name
            )


def _comparison_conditions(pair: PairFigures, at: datetime, limits: AlarmLimits) -> Iterator[AlarmCondition]:
    subject, name = f"route:{pair.route.pk}", pair.name[:MAX_NAME]
    since, limit = pair.oldest_difference, limits.max_difference_age
    if limit and pair.done is not None and since is not None and at - since > limit:
        count = min(pair.done.out_of_step_count, COUNT_LIMIT + 1)
        yield AlarmCondition(AlarmKind.OUT_OF_STEP, since, subject, name, count, limit)
    ended = pair.ended
    if ended is not None and ended.state == ComparisonState.FAILED:
        failed_at = ended.ended_at or ended.requested_at
        if pair.carrier is not None or at - failed_at < FAILED_COMPARISON_ALARM_PERIOD:
            yield AlarmCondition(AlarmKind.COMPARISON_FAILED, failed_at, subject, name)
    if pair.next_at is not None and at - pair.next_at > MAX_COMPARISON_DELAY:
        yield AlarmCondition(
            AlarmKind.COMPARISON_LATE, pair.next_at, subject, name, limit=MAX_COMPARISON_DELAY
        )


def _catch_up_conditions(figures: HealthFigures) -> Iterator[AlarmCondition]:
    for catch_up in figures.catch_ups:
        if figures.at - catch_up.late_at > MAX_CATCH_UP_DELAY:
            subject, name = f"catch-up:{catch_up.pk}", str(catch_up)[:MAX_NAME]
            limit = MAX_CATCH_UP_DELAY
            yield AlarmCondition(AlarmKind.CATCH_UP_LATE, catch_up.late_at, subject, name, limit=limit)


def _audit_conditions(figures: HealthFigures, limits: AlarmLimits) -> Iterator[AlarmCondition]:
    audit = figures.audit
    since = audit.unsealed_since
    if limits.max_unsealed_age and since is not None and figures.at - since > limits.max_unsealed_age:
        yield AlarmCondition(AlarmKind.AUDIT_UNSEALED, since, limit=limits.max_unsealed_age)
    if audit.late_at is not None and figures.at - audit.late_at < LATE_SEGMENT_ALARM_PERIOD:
        yield AlarmCondition(AlarmKind.AUDIT_LATE, audit.late_at, count=audit.late)
    foreign_at = figures.at if audit.foreign else audit.foreign_at
    if foreign_at is not None and figures.at - foreign_at < LATE_SEGMENT_ALARM_PERIOD:
        yield AlarmCondition(AlarmKind.AUDIT_FOREIGN_ROWS, foreign_at, count=max(audit.foreign, 1))
    for channel in audit.channels:
        if channel.failing_since is not None and figures.at - channel.failing_since > MAX_CHECKPOINT_DELAY:
            subject = f"channel:{channel.name}"
            yield AlarmCondition(AlarmKind.AUDIT_UNANCHORED, channel.failing_since, subject, channel.name)
    if audit.verified is not None and audit.verified.faults:
        yield AlarmCondition(AlarmKind.AUDIT_BROKEN, audit.verified.at, count=audit.verified.faults)
    unverified = audit.unverified_since
    if unverified is not None and figures.at - unverified > MAX_UNVERIFIED_TIME:
        yield AlarmCondition(AlarmKind.AUDIT_UNCHECKED, unverified, limit=MAX_UNVERIFIED_TIME)
    if not figures.has_log_reader:
        yield AlarmCondition(AlarmKind.AUDIT_UNREAD, figures.at)


def _delivery_conditions(figures: HealthFigures, limits: AlarmLimits) -> Iterator[AlarmCondition]:
    late_since = figures.oldest_due_at
    if late_since is not None and figures.at - late_since > limits.max_lateness:
        yield AlarmCondition(
            AlarmKind.DELIVERIES_LATE, late_since, count=figures.due, limit=limits.max_lateness
        )
    if limits.min_failed and figures.open_failures >= limits.min_failed:
        yield AlarmCondition(AlarmKind.DELIVERIES_DEAD, figures.at, count=figures.open_failures)
    if figures.held:
        yield AlarmCondition(AlarmKind.DELIVERIES_HELD, figures.at, count=figures.held)
