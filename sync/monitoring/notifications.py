"""Send due notifications of alarms, channel by channel. A channel that fails delays no other and is retried.

Delivery is at least once: if a process dies between sending and committing, the notification is sent again
with the same key.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from database.connection import release_connection
from sync.models import Notification, NotificationState
from sync.monitoring.channels import AlarmMessage, NotificationFailed, Send, configured_channels

logger = logging.getLogger("hub.alarms")

# With the pauses below, a day of attempts.
MAX_ATTEMPTS = 300
MAX_PER_CHANNEL = 50
# Longer than a channel takes to send. A notification whose process died is sent again after it.
CLAIM_DURATION = timedelta(minutes=2)
FIRST_RETRY_DELAY = timedelta(seconds=15)
MAX_RETRY_DELAY = timedelta(minutes=5)


def send_due_notifications(now: datetime) -> int:
    """Send the notifications that are due at `now`, at most `MAX_PER_CHANNEL` a channel. Returns the number
    sent.

    After a failure the rest of that channel waits for the next run. A failing channel raises nothing.
    """
    channels = configured_channels()
    without_channel = Notification.objects.filter(state=NotificationState.WAITING).exclude(
        channel__in=channels
    )
    without_channel.update(state=NotificationState.GIVEN_UP, failure="this channel is no longer configured")
    return sum(_send_channel(name, send, now) for name, send in channels.items())


def _send_channel(channel: str, send: Send, now: datetime) -> int:
    sent = 0
    for notification in _due_notifications(channel, now):
        if not _claim_notification(notification, now):
            continue
        if not _send_claimed(notification, send, now):
            # The next notifications would fail too, each after a timeout.
            break
        sent += 1
    return sent


def _due_notifications(channel: str, now: datetime) -> Iterator[Notification]:
    """Iterate over due notifications, oldest first, and only the oldest of each alarm: its end must not
    overtake it.
    """
    seen_alarms: set[int] = set()
    # More rows than are sent: several notifications of one alarm may wait.
    for notification in list(_waiting_notifications(now).filter(channel=channel)[: 10 * MAX_PER_CHANNEL]):
        is_first = notification.alarm_id not in seen_alarms
        seen_alarms.add(notification.alarm_id)
        if is_first and notification.due_at <= now and len(seen_alarms) <= MAX_PER_CHANNEL:
            yield notification


def _waiting_notifications(now: datetime) -> QuerySet[Notification]:
    not_snoozed = Q(alarm__snoozed_until=None) | Q(alarm__snoozed_until__lte=now)
    return (
        Notification.objects.filter(not_snoozed, state=NotificationState.WAITING)
        .select_related("alarm")
        .order_by("id")
    )


def _claim_notification(notification: Notification, now: datetime) -> bool:
    """Claim one attempt by compare-and-set. Returns False if another process was first."""
    same_attempt = Notification.objects.filter(
        pk=notification.pk, state=NotificationState.WAITING, attempts=notification.attempts
    )
    return bool(same_attempt.update(attempts=F("attempts") + 1, due_at=now + CLAIM_DURATION))


def _send_claimed(notification: Notification, send: Send, now: datetime) -> bool:
    """Send a claimed notification, outside any transaction. Returns True on success."""
    message = AlarmMessage.from_notification(notification)
    release_connection()
    try:
        send(message)
    except NotificationFailed as failure:
        _schedule_retry(notification, str(failure), now)
        return False
    except Exception:
        logger.exception("alarm message %s could not be sent", notification.key)
        _schedule_retry(notification, "internal error; see the log", now)
        return False
    Notification.objects.filter(pk=notification.pk).update(
        state=NotificationState.SENT, sent_at=now, failure=""
    )
    return True


def _schedule_retry(notification: Notification, failure: str, now: datetime) -> None:
    attempts = notification.attempts + 1
    # The exponent is limited, since a timedelta would overflow.
    pause = min(FIRST_RETRY_DELAY * 2 ** min(attempts, 10), MAX_RETRY_DELAY)
    state = NotificationState.WAITING if attempts < MAX_ATTEMPTS else NotificationState.GIVEN_UP
    logger.warning(
        "alarm message %s was not delivered by %s: %s", notification.key, notification.channel, failure
    )
    # Compare-and-set: the claim may have expired, and another process may be sending.
    Notification.objects.filter(pk=notification.pk, attempts=attempts).update(
        state=state, due_at=now + pause, failure=failure[:200]
    )
