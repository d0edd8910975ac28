"""Alarms are sent by mail and by a signed webhook, each until it is accepted, independently of each other."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from sync.models import Alarm, AlarmKind, Notification
from sync.monitoring.alarms import evaluate_alarms
from sync.monitoring.notifications import (
    CLAIM_DURATION,
    MAX_ATTEMPTS,
    MAX_RETRY_DELAY,
    send_due_notifications,
)
from tests.support.builders.alarms import (
    PEOPLE,
    SECRET,
    a_silence_alarm,
    a_watched_source,
    minutes,
    receive_event,
)
from tests.support.builders.history import NOON
from tests.support.http.webhook_receiver import Receiver, receiving
from tests.support.processes.hub_processes import free_port
from webhooks.models import Source

pytestmark = [pytest.mark.django_db, pytest.mark.concurrent]
AT = NOON + minutes(31)
SECOND = timedelta(seconds=1)


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """Run a receiver of alarms and configure the hub to send to it."""
    with receiving() as receiver:
        receiver.always(204, b"")
        settings.ALARM_WEBHOOK_URL = f"{receiver.url}/alarms/hub"
        settings.ALARM_WEBHOOK_SECRET = SECRET
        yield receiver


def test_a_webhook_is_signed_by_standard_webhooks_and_complete(receiver: Receiver, settings: Any) -> None:
    settings.ALARM_LINK_BASE = "https://hub.example.com"
    alarm = a_silence_alarm()
    (webhooks,) = receiver.received
    document = Webhook(SECRET).verify(webhooks.body, webhooks.headers)
    assert (webhooks.path, webhooks.headers["content-type"]) == ("/alarms/hub", "application/json")
    assert (document["type"], document["timestamp"]) == ("alarm.raised", AT.isoformat())
    data = document["data"]
    assert (data["alarm"], data["kind"], data["name"]) == (str(alarm.key), "source-silent", "Aurora")
    assert data["began_at"] == NOON.isoformat()
    assert data["url"] == f"https://hub.example.com/admin/sync/alarm/{alarm.pk}/change/"
    assert data["title"] == "Aurora is silent"
    assert data["detail"].startswith("No webhook from Aurora since 2026-03-04 12:00 UTC")
    assert data["next_step"].startswith("Ask its owner")


@pytest.mark.parametrize("status", [500, 302])
def test_a_refused_webhook_is_retried_with_the_same_id_until_it_is_accepted(
    receiver: Receiver, status: int
) -> None:
    receiver.always(status, b"")
    a_silence_alarm()
    evaluate_alarms(AT + SECOND)
    assert len(receiver.received) == 1
    evaluate_alarms(AT + minutes(0.5))
    receiver.always(200, b"")
    for number in (2, 3, 4):
        evaluate_alarms(AT + minutes(number))
    assert len(receiver.received) == 3
    assert len({webhook.headers["webhook-id"] for webhook in receiver.received}) == 1
    telling = Notification.objects.get()
    assert (telling.state, telling.attempts, telling.sent_at) == ("sent", 3, AT + minutes(2))


def test_a_failing_channel_delays_no_other_and_tries_one_message_each_time(
    receiver: Receiver, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.ALARM_EMAILS = PEOPLE
    receiver.always(500, b"")
    for name in ("Aurora", "Borealis", "Corona"):
        a_watched_source(name)
    evaluate_alarms(AT)
    assert (len(mailoutbox), len(receiver.received)) == (3, 1)


def test_an_unavailable_mail_server_delays_no_webhook_and_is_retried(
    receiver: Receiver, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.ALARM_EMAILS = PEOPLE
    living, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    a_silence_alarm()
    assert len(receiver.received) == 1
    failed = Notification.objects.get(channel="email")
    assert (failed.state, failed.failure) == (
        "waiting",
        "the mail server did not accept it: ConnectionRefusedError",
    )
    settings.EMAIL_BACKEND = living
    evaluate_alarms(AT + minutes(1))
    (mail,) = mailoutbox
    assert mail.extra_headers["Message-ID"].startswith(f"<{failed.key}@")
    assert len(receiver.received) == 1


def test_an_end_is_never_sent_before_its_beginning(receiver: Receiver) -> None:
    receiver.always(500, b"")
    a_silence_alarm()
    receive_event(Source.objects.get(), AT + SECOND)
    receiver.always(200, b"")
    evaluate_alarms(AT + 2 * SECOND)
    assert len(receiver.received) == 1
    for number in (1, 2):
        evaluate_alarms(AT + minutes(number))
    _, raised, ended = (json.loads(webhook.body) for webhook in receiver.received)
    assert (raised["type"], ended["type"]) == ("alarm.raised", "alarm.ended")
    assert (raised["data"]["alarm"], ended["data"]["ended_at"]) == (
        ended["data"]["alarm"],
        (AT + 2 * SECOND).isoformat(),
    )
    assert len({webhook.headers["webhook-id"] for webhook in receiver.received}) == 2


def test_a_message_is_given_up_after_a_day_of_retries(receiver: Receiver) -> None:
    receiver.always(500, b"")
    a_silence_alarm()
    Notification.objects.update(attempts=MAX_ATTEMPTS - 1)
    evaluate_alarms(AT + minutes(10))
    evaluate_alarms(AT + minutes(20))
    assert Notification.objects.get().state == "given-up"
    assert len(receiver.received) == 2
    assert timedelta(hours=24) <= MAX_ATTEMPTS * MAX_RETRY_DELAY


def test_a_claimed_message_without_a_result_is_sent_again_when_the_claim_ends(receiver: Receiver) -> None:
    a_silence_alarm()
    (first,) = receiver.received
    Notification.objects.update(state="waiting", attempts=1, due_at=AT + CLAIM_DURATION)
    evaluate_alarms(AT + CLAIM_DURATION - SECOND)
    assert len(receiver.received) == 1
    evaluate_alarms(AT + CLAIM_DURATION)
    assert receiver.received[1].headers["webhook-id"] == first.headers["webhook-id"]


def test_a_removed_channel_leaves_no_waiting_messages(receiver: Receiver, settings: Any) -> None:
    receiver.always(500, b"")
    a_silence_alarm()
    settings.ALARM_WEBHOOK_URL = ""
    send_due_notifications(AT + minutes(5))
    telling = Notification.objects.get()
    assert (telling.state, telling.failure) == ("given-up", "this channel is no longer configured")


def test_without_channels_an_alarm_is_still_raised(mailoutbox: list[Any]) -> None:
    a_silence_alarm()
    assert (Alarm.objects.count(), Notification.objects.count(), mailoutbox) == (1, 0, [])


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"ALARM_WEBHOOK_URL": "http://169.254.169.254/latest"}, "no connection"),
        ({"ALARM_WEBHOOK_URL": "http://user:pw@example.com/"}, "must not contain a username"),
        ({"ALARM_WEBHOOK_URL": "ftp://example.com/"}, "must start with http"),
        ({"ALARM_WEBHOOK_SECRET": "canary"}, "the secret must be whsec_"),
        ({"ALARM_WEBHOOK_SECRET": "whsec_canary=="}, "the secret must be whsec_"),
    ],
)
def test_an_invalid_setting_is_named_without_its_secret_and_nothing_is_sent(
    changed: dict[str, str], failure: str, receiver: Receiver, settings: Any
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    a_silence_alarm()
    telling = Notification.objects.get()
    assert failure in telling.failure
    assert not [word for word in ("canary", "pw@") if word in telling.failure]
    assert receiver.received == []


@pytest.mark.parametrize(("path", "arrives"), [("", "/"), ("/a/b/", "/a/b/")])
def test_the_url_is_requested_as_it_is_written(
    path: str, arrives: str, receiver: Receiver, settings: Any
) -> None:
    settings.ALARM_WEBHOOK_URL = receiver.url + path
    a_silence_alarm()
    assert [webhook.path for webhook in receiver.received] == [arrives]


def test_a_line_break_in_a_name_adds_no_header(settings: Any, mailoutbox: list[Any]) -> None:
    settings.ALARM_EMAILS = PEOPLE
    a_watched_source("Aurora", slug="aurora").__class__.objects.update(name="Aurora\r\nBcc: all@example.com")
    evaluate_alarms(AT)
    assert mailoutbox[0].subject == "[Integration Hub] Aurora Bcc: all@example.com is silent"
    assert mailoutbox[0].recipients() == PEOPLE
    mailoutbox[0].message()


@pytest.mark.parametrize("count", [1, 10_001])
def test_every_kind_has_texts_for_beginning_and_end(count: int, settings: Any, mailoutbox: list[Any]) -> None:
    settings.ALARM_EMAILS = PEOPLE
    times = {"began_at": NOON, "raised_at": AT, "ended_at": AT}
    alarms = [
        Alarm.objects.create(kind=kind, name="Aurora", count=count, limit_seconds=60, **times)
        for kind in AlarmKind
    ]
    for news in ("raised", "reminded", "ended"):
        for alarm in alarms:
            Notification.objects.create(alarm=alarm, channel="email", kind=news, due_at=AT)
        send_due_notifications(AT)
    assert len(mailoutbox) == 3 * len(AlarmKind)
    for mail in mailoutbox:
        assert "{" not in mail.subject + mail.body
        assert "What to do: " in mail.body
    assert any("ore than 10,000" in mail.subject + mail.body for mail in mailoutbox) == (count > 10_000)
