"""The two ways out for alarms: mail for people, a signed webhook for machines. Each sends or says why not."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from sync.connectors.signed_post import PostFailed, post_signed
from sync.models import Alarm, NotificationChannel, Telling
from sync.monitoring.alarm_texts import AlarmWords, clock, describe


class NotTold(Exception):
    """The message may not have arrived. The text is for support and holds no secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """One telling, ready for any channel. `key` is the same each time that it is tried."""

    key: str
    news: str
    alarm: Alarm
    words: AlarmWords
    url: str

    @classmethod
    def of(cls, telling: Telling) -> "Message":
        """From its row and the alarm as it stands."""
        alarm = telling.alarm
        page = reverse("admin:sync_alarm_change", args=[alarm.pk])
        words = describe(alarm, telling.news)
        return cls(str(telling.key), telling.news, alarm, words, settings.ALARM_LINK_BASE + page)


Send = Callable[[Message], None]


def channels() -> Mapping[str, Send]:
    """The channels that are set up, by name. Each sends a message, or raises `NotTold`, within about ten seconds
    for each answer that it waits for."""
    ways: dict[str, Send] = {}
    if settings.ALARM_EMAILS:
        ways[NotificationChannel.EMAIL] = send_mail
    if settings.ALARM_WEBHOOK_URL:
        ways[NotificationChannel.WEBHOOK] = send_webhook
    return ways


def send_mail(message: Message) -> None:
    """One mail to all of ALARM_EMAILS. The mails of one alarm are one thread, and no machine answers them."""
    alarm = message.alarm
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip("> ") or "localhost"
    headers = {
        "Message-ID": f"<{message.key}@{host}>",
        "References": f"<{alarm.key}@{host}>",
        "Auto-Submitted": "auto-generated",
    }
    subject = f"{settings.EMAIL_SUBJECT_PREFIX}{message.words.title}"
    mail = EmailMessage(subject, _text(message), to=settings.ALARM_EMAILS, headers=headers)
    try:
        mail.send()
    except OSError as error:  # smtplib's own errors are of this kind, too
        raise NotTold(f"the mail server did not take it: {type(error).__name__}") from error


def _text(message: Message) -> str:
    alarm, words = message.alarm, message.words
    lines = [f"{words.title}.", "", words.detail, "", f"What to do: {words.next_step}", ""]
    lines += [f"Raised {clock(alarm.raised_at)}.", message.url]
    return "\n".join(lines) + "\n"


def send_webhook(message: Message) -> None:
    """One POST to ALARM_WEBHOOK_URL, signed by Standard Webhooks; any 2xx means that it was told."""
    body = json.dumps(_document(message), ensure_ascii=False, separators=(",", ":")).encode()
    url, secret = settings.ALARM_WEBHOOK_URL, settings.ALARM_WEBHOOK_SECRET
    try:
        post_signed("the alarm webhook", url, secret, message.key, body)
    except PostFailed as failure:
        raise NotTold(str(failure)) from failure


def _document(message: Message) -> dict[str, Any]:
    alarm, words = message.alarm, message.words
    at = alarm.ended_at or alarm.raised_at
    return {
        "type": f"alarm.{message.news}",
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
