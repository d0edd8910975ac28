"""Raise, end and snooze alarms by compare-and-set, so that of several processes only one notifies.

`evaluate_alarms` does it all: measure, compare with the open alarms, then send what is due.
"""

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from audit.entries.append import SYSTEM, NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from database.clock import read_clock
from sync.models import Alarm, Notification, NotificationKind, NotificationState, Snooze
from sync.monitoring.channels import configured_channels
from sync.monitoring.conditions import AlarmCondition, AlarmLimits, find_conditions
from sync.monitoring.health_figures import measure_health
from sync.monitoring.notifications import send_due_notifications


def evaluate_alarms(now: datetime | None = None) -> None:
    """Raise and end alarms by the figures at `now` (the database's clock unless given), and send due
    notifications.

    Safe at any time and from any number of processes; meant to run every 30 seconds.
    """
    at = now or read_clock()
    update_alarms(find_conditions(measure_health(at), AlarmLimits.from_settings()), at)
    send_due_notifications(at)


def update_alarms(current: Iterable[AlarmCondition], at: datetime) -> None:
    """Raise alarms for new conditions, end alarms without a condition, and end expired snoozes."""
    conditions = {(condition.kind.value, condition.subject): condition for condition in current}
    open_alarms = {(alarm.kind, alarm.subject): alarm for alarm in Alarm.objects.filter(ended_at=None)}
    for key, condition in conditions.items():
        if key not in open_alarms:
            raise_alarm(condition, at)
    for key, alarm in open_alarms.items():
        if key not in conditions:
            end_alarm(alarm, at)
            continue
        count = conditions[key].count
        if alarm.count != count:
            peak = max(alarm.highest_count, count)
            Alarm.objects.filter(pk=alarm.pk, ended_at=None).update(count=count, peak=peak)
        if alarm.snoozed_until is not None and alarm.snoozed_until <= at:
            end_snooze(alarm, at)


def raise_alarm(condition: AlarmCondition, at: datetime) -> Alarm | None:
    """Raise an alarm with its notifications and its audit entry, in one commit.

    An unexpired snooze of the same subject applies to it. Returns None if another process was first, or ended
    such an alarm after `at`: then this evaluation is out of date.
    """
    earlier = Alarm.objects.filter(kind=condition.kind, subject=condition.subject)
    try:
        with transaction.atomic():
            if earlier.filter(ended_at__gte=at).exists():
                return None
            snoozed_until = earlier.filter(snoozed_until__gt=at).aggregate(at=Max("snoozed_until"))["at"]
            alarm = Alarm.objects.create(
                kind=condition.kind,
                subject=condition.subject,
                name=condition.name,
                began_at=condition.began_at,
                count=condition.count,
                peak=condition.count,
                limit_seconds=int(condition.limit.total_seconds()) if condition.limit else None,
                raised_at=at,
                snoozed_until=snoozed_until,
            )
            _queue_notifications(alarm, NotificationKind.RAISED, configured_channels(), at)
            _append_entry(alarm, "raised", at, {"count": alarm.count, "began": _iso_time(alarm.began_at)})
    except IntegrityError:
        # Another process raised it first.
        return None
    return alarm


def end_alarm(alarm: Alarm, at: datetime) -> bool:
    """End an alarm that was raised before `at`, and notify the channels that were notified of it. Returns
    False if it was not open.

    A notification that was never tried, because the alarm was snoozed, is deleted.
    """
    with transaction.atomic():
        # An alarm that was raised after `at` is newer than the figures of this evaluation.
        ended = Alarm.objects.filter(pk=alarm.pk, ended_at=None, raised_at__lt=at).update(ended_at=at)
        if not ended:
            return False
        _waiting_notifications(alarm).filter(attempts=0).delete()
        notified_channels = set(alarm.notifications.values_list("channel", flat=True))
        _queue_notifications(
            alarm, NotificationKind.ENDED, notified_channels & set(configured_channels()), at
        )
        _append_entry(alarm, "ended", at, {})
    return True


def end_snooze(alarm: Alarm, at: datetime) -> bool:
    """End the expired snooze of an open alarm, and notify again. Returns False if another process was first."""
    with transaction.atomic():
        ended = Alarm.objects.filter(pk=alarm.pk, ended_at=None, snoozed_until=alarm.snoozed_until).update(
            snoozed_until=None
        )
        if not ended:
            return False
        # Channels that still have a notification to send need no reminder.
        waiting_channels = set(_waiting_notifications(alarm).values_list("channel", flat=True))
        _queue_notifications(
            alarm, NotificationKind.REMINDED, set(configured_channels()) - waiting_channels, at
        )
        _append_entry(alarm, "woken", at, {})
    return True


def snooze_alarm(
    alarm: Alarm, until: datetime, *, by: AbstractBaseUser, reason: str, at: datetime, address: str = ""
) -> bool:
    """Send nothing about an open alarm before `until`. Returns False if it has ended.

    Person and reason are stored in a row that the audit entry names.
    """
    with transaction.atomic():
        if not Alarm.objects.filter(pk=alarm.pk, ended_at=None).update(snoozed_until=until):
            return False
        snooze = Snooze.objects.create(
            alarm=alarm, requested_by_id=by.pk, reason=reason, created_at=at, until=until
        )
        details = {"snooze": snooze.pk, "until": _iso_time(until), "address": address}
        _append_entry(alarm, "snoozed", at, details, actor=f"person:{by.pk}")
    return True


def _waiting_notifications(alarm: Alarm) -> QuerySet[Notification]:
    return Notification.objects.filter(alarm=alarm, state=NotificationState.WAITING)


def _queue_notifications(alarm: Alarm, kind: NotificationKind, names: Iterable[str], at: datetime) -> None:
    Notification.objects.bulk_create(
        [Notification(alarm=alarm, channel=name, kind=kind, due_at=at) for name in sorted(names)]
    )


def _append_entry(
    alarm: Alarm, action: str, at: datetime, details: dict[str, JSONValue], actor: str = SYSTEM
) -> None:
    alarm_details: dict[str, JSONValue] = {
        "alarm": str(alarm.key),
        "kind": alarm.kind,
        "subject": alarm.subject,
    }
    append_entries(NewEntry(alarm.stream, f"alarm.{action}", actor, alarm_details | details), at=at)


def _iso_time(at: datetime) -> str:
    return at.isoformat()
