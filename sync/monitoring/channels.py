"""Channels of alarm notifications: mail for people, a signed webhook for machines."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from connectors.signed_post import PostFailed, post_signed
from sync.models import Alarm, Notification, NotificationChannel
from sync.monitoring.alarm_texts import AlarmText, format_time, notification_text


class NotificationFailed(Exception):
    """The notification may not have arrived. The text is for support and contains no secret."""


@dataclass(frozen=True, slots=True)
class AlarmMessage:
    """A notification, ready for any channel. `key` is equal for each attempt."""

    key: str
    kind: str
    alarm: Alarm
    text: AlarmText
    url: str

    @classmethod
    def from_notification(cls, notification: Notification) -> "AlarmMessage":
        """Build the message from its row and the present state of the alarm."""
        alarm = notification.alarm
        page = reverse("admin:sync_alarm_change", args=[alarm.pk])
        words = notification_text(alarm, notification.kind)
        return cls(str(notification.key), notification.kind, alarm, words, settings.ALARM_LINK_BASE + page)


Send = Callable[[AlarmMessage], None]


def configured_channels() -> Mapping[str, Send]:
    """Return the send function of each configured channel, by name.

    A send function waits about ten seconds at most for each response and raises NotificationFailed.
    """
    channels: dict[str, Send] = {}
    if settings.ALARM_EMAILS:
        channels[NotificationChannel.EMAIL] = send_mail
    if settings.ALARM_WEBHOOK_URL:
        channels[NotificationChannel.WEBHOOK] = send_webhook
    return channels


def send_mail(message: AlarmMessage) -> None:
    """Send one mail to all of ALARM_EMAILS. The mails of one alarm form a thread, and ask for no automatic
    reply.
    """
    alarm = message.alarm
    # Message ids need a domain: the domain of the sender.
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip("> ") or "localhost"
    headers = {
        "Message-ID": f"<{message.key}@{host}>",
        "References": f"<{alarm.key}@{host}>",
        "Auto-Submitted": "auto-generated",
    }
    subject = f"{settings.EMAIL_SUBJECT_PREFIX}{message.text.title}"
    mail = EmailMessage(subject, _mail_body(message), to=settings.ALARM_EMAILS, headers=headers)
    try:
        mail.send()
    except OSError as error:
        # The errors of smtplib are OSErrors too.
        raise NotificationFailed(f"the mail server did not accept it: {type(error).__name__}") from error


def _mail_body(message: AlarmMessage) -> str:
    alarm, words = message.alarm, message.text
    lines = [f"{words.title}.", "", words.detail, "", f"What to do: {words.next_step}", ""]
    lines += [f"Raised {format_time(alarm.raised_at)}.", message.url]
    return "\n".join(lines) + "\n"


def send_webhook(message: AlarmMessage) -> None:
    """POST to ALARM_WEBHOOK_URL, signed by Standard Webhooks; any 2xx status is success."""
    body = json.dumps(_webhook_document(message), ensure_ascii=False, separators=(",", ":")).encode()
    url, secret = settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET
    try:
        post_signed("the alarm webhook", url, secret, message.key, body)
    except PostFailed as failure:
        raise NotificationFailed(str(failure)) from failure


def _webhook_document(message: AlarmMessage) -> dict[str, Any]:
    alarm, words = message.alarm, message.text
    at = alarm.ended_at or alarm.raised_at
    return {
        "type": f"alarm.{message.kind}",
        "timestamp": at.isoformat(),
        "data": {
            "alarm": str(alarm.key),
            "kind": alarm.kind,
            "subject": alarm.subject,
            "name": alarm.name,
            "count": alarm.count,
            "began_at": alarm.began_at.isoformat(),
            "raised_at": alarm.raised_at.isoformat(),
            "ended_at": alarm.ended_at.isoformat() if alarm.ended_at else None,
            "title": words.title,
            "detail": words.detail,
            "next_step": words.next_step,
            "url": message.url,
        },
    }
