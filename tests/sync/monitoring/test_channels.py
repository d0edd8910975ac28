"""Alarms leave by mail and by a signed webhook: each until it is told, none holding up the other."""

import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sync.models import Alarm, AlarmKind, Telling
from sync.monitoring.alarms import evaluate_alarms
from sync.monitoring.notifications import CLAIM_DURATION, MAX_RETRY_DELAY, MAX_TRIES, send_due_notifications
from tests.support.builders.alarms import PEOPLE, SECRET, heard, minutes, silent_alarm, watched
from tests.support.builders.history import NOON
from tests.support.http.webhook_receiver import Receiver, receiving
from tests.support.processes.hub_processes import free_port
from webhooks.models import Source

pytestmark = pytest.mark.django_db
AT = NOON + minutes(31)
SECOND = timedelta(seconds=1)


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A machine that takes alarms, and the hub set up to tell it."""
    with receiving() as made:
        made.always(204, b"")
        settings.ALARM_WEBHOOK_URL = f"{made.url}/alarms/hub"
        settings.ALARM_WEBHOOK_SECRET = SECRET
        yield made


def test_a_webhook_is_signed_by_standard_webhooks_and_says_it_all(receiver: Receiver, settings: Any) -> None:
    settings.ALARM_LINK_BASE = "https://hub.example.com"
    alarm = silent_alarm()
    (got,) = receiver.received
    document = Webhook(SECRET).verify(got.body, got.headers)
    assert (got.path, got.headers["content-type"]) == ("/alarms/hub", "application/json")
    assert (document["type"], document["timestamp"]) == ("alarm.raised", AT.isoformat())
    told = document["data"]
    assert (told["alarm"], told["kind"], told["name"]) == (str(alarm.key), "source-silent", "Aurora")
    assert told["began_at"] == NOON.isoformat()
    assert told["url"] == f"https://hub.example.com/admin/sync/alarm/{alarm.pk}/change/"
    assert told["title"] == "Aurora is silent"
    assert told["detail"].startswith("No webhook from Aurora since 2026-03-04 12:00 UTC")
    assert told["next_step"].startswith("Ask its owner")


def test_a_changed_body_or_another_secret_does_not_verify(receiver: Receiver) -> None:
    silent_alarm()
    (got,) = receiver.received
    other = "whsec_" + "QUJD" * 10
    for secret, body in ((SECRET, got.body + b" "), (other, got.body)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, got.headers)


def test_a_recovery_is_a_webhook_of_its_own_about_the_same_alarm(receiver: Receiver) -> None:
    silent_alarm()
    heard(Source.objects.get(), AT)
    evaluate_alarms(AT + SECOND)
    raised, ended = (json.loads(got.body) for got in receiver.received)
    assert (ended["type"], ended["data"]["ended_at"]) == ("alarm.ended", (AT + SECOND).isoformat())
    assert raised["data"]["alarm"] == ended["data"]["alarm"]
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 2


@pytest.mark.parametrize("status", [500, 404, 302, 429])
def test_a_refused_webhook_is_tried_again_with_the_same_id_until_it_is_taken(
    receiver: Receiver, status: int
) -> None:
    receiver.always(status, b"")
    silent_alarm()
    evaluate_alarms(AT + SECOND)
    assert len(receiver.received) == 1
    evaluate_alarms(AT + minutes(0.5))
    receiver.always(200, b"")
    for number in (2, 3, 4):
        evaluate_alarms(AT + minutes(number))
    assert len(receiver.received) == 3
    assert len({got.headers["webhook-id"] for got in receiver.received}) == 1
    telling = Telling.objects.get()
    assert (telling.state, telling.tries, telling.told_at) == ("told", 3, AT + minutes(2))


def test_a_channel_that_fails_holds_up_no_other_and_tries_one_message_a_look(
    receiver: Receiver, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.ALARM_EMAILS = PEOPLE
    receiver.always(500, b"")
    for name in ("Aurora", "Borealis", "Corona"):
        watched(name)
    evaluate_alarms(AT)
    assert (len(mailoutbox), len(receiver.received)) == (3, 1)


def test_a_dead_mail_server_holds_up_no_webhook_and_is_tried_again(
    receiver: Receiver, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.ALARM_EMAILS = PEOPLE
    living, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    silent_alarm()
    assert len(receiver.received) == 1
    failed = Telling.objects.get(channel="email")
    assert (failed.state, failed.failure) == (
        "waiting",
        "the mail server did not accept it: ConnectionRefusedError",
    )
    settings.EMAIL_BACKEND = living
    evaluate_alarms(AT + minutes(1))
    (mail,) = mailoutbox
    assert mail.extra_headers["Message-ID"].startswith(f"<{failed.key}@")
    assert len(receiver.received) == 1


def test_a_mail_server_that_never_answers_is_left_in_time(settings: Any) -> None:
    settings.ALARM_EMAILS, settings.EMAIL_TIMEOUT = PEOPLE, 0.2
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings.EMAIL_HOST, settings.EMAIL_PORT = mute.getsockname()
        began = time.monotonic()
        silent_alarm()
    assert time.monotonic() - began < 2
    assert Telling.objects.get().failure == "the mail server did not accept it: SMTPServerDisconnected"


def test_an_end_is_never_told_before_its_beginning(receiver: Receiver) -> None:
    receiver.always(500, b"")
    silent_alarm()
    heard(Source.objects.get(), AT + SECOND)
    receiver.always(200, b"")
    evaluate_alarms(AT + 2 * SECOND)
    assert len(receiver.received) == 1
    for number in (1, 2):
        evaluate_alarms(AT + minutes(number))
    assert [json.loads(got.body)["type"] for got in receiver.received] == [
        "alarm.raised",
        "alarm.raised",
        "alarm.ended",
    ]


def test_it_is_given_up_after_a_day_of_tries_and_then_left_alone(receiver: Receiver) -> None:
    receiver.always(500, b"")
    silent_alarm()
    Telling.objects.update(tries=MAX_TRIES - 1)
    evaluate_alarms(AT + minutes(10))
    evaluate_alarms(AT + minutes(20))
    assert Telling.objects.get().state == "given-up"
    assert len(receiver.received) == 2
    assert timedelta(hours=24) <= MAX_TRIES * MAX_RETRY_DELAY


def test_what_a_process_took_and_never_noted_goes_out_again_when_its_claim_ends(receiver: Receiver) -> None:
    silent_alarm()
    (first,) = receiver.received
    Telling.objects.update(state="waiting", tries=1, due_at=AT + CLAIM_DURATION)
    evaluate_alarms(AT + CLAIM_DURATION - SECOND)
    assert len(receiver.received) == 1
    evaluate_alarms(AT + CLAIM_DURATION)
    assert receiver.received[1].headers["webhook-id"] == first.headers["webhook-id"]


def test_a_channel_that_is_taken_away_leaves_nothing_waiting(receiver: Receiver, settings: Any) -> None:
    receiver.always(500, b"")
    silent_alarm()
    settings.ALARM_WEBHOOK_URL = ""
    send_due_notifications(AT + minutes(5))
    telling = Telling.objects.get()
    assert (telling.state, telling.failure) == ("given-up", "this channel is no longer configured")


def test_without_channels_an_alarm_is_still_raised(mailoutbox: list[Any]) -> None:
    silent_alarm()
    assert (Alarm.objects.count(), Telling.objects.count(), mailoutbox) == (1, 0, [])


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
def test_a_bad_setting_is_named_without_its_secret_and_nothing_leaves(
    changed: dict[str, str], failure: str, receiver: Receiver, settings: Any
) -> None:
    for name, value in changed.items():
        setattr(settings, name, value)
    silent_alarm()
    telling = Telling.objects.get()
    assert failure in telling.failure
    assert not [word for word in ("canary", "pw@") if word in telling.failure]
    assert receiver.received == []


@pytest.mark.parametrize(("path", "arrives"), [("", "/"), ("/", "/"), ("/a/b", "/a/b"), ("/a/b/", "/a/b/")])
def test_the_address_is_called_as_it_is_written(
    path: str, arrives: str, receiver: Receiver, settings: Any
) -> None:
    settings.ALARM_WEBHOOK_URL = receiver.url + path
    silent_alarm()
    assert [got.path for got in receiver.received] == [arrives]


def test_a_line_break_in_a_name_makes_no_header(settings: Any, mailoutbox: list[Any]) -> None:
    settings.ALARM_EMAILS = PEOPLE
    watched("Aurora", slug="aurora").__class__.objects.update(name="Aurora\r\nBcc: all@example.com")
    evaluate_alarms(AT)
    assert mailoutbox[0].subject == "[Integration Hub] Aurora Bcc: all@example.com is silent"
    assert mailoutbox[0].recipients() == PEOPLE
    mailoutbox[0].message()


@pytest.mark.parametrize("kind", AlarmKind)
@pytest.mark.parametrize("count", [1, 7, 10_001])
def test_every_kind_has_words_for_beginning_and_end(
    kind: str, count: int, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.ALARM_EMAILS = PEOPLE
    alarm = Alarm.objects.create(
        kind=kind, name="Aurora", count=count, limit_seconds=60, began_at=NOON, raised_at=AT, ended_at=AT
    )
    for news in ("raised", "reminded", "ended"):
        Telling.objects.create(alarm=alarm, channel="email", news=news, due_at=AT)
        send_due_notifications(AT)
    assert len(mailoutbox) == 3
    for mail in mailoutbox:
        assert "{" not in mail.subject + mail.body
        assert "What to do: " in mail.body
    if count == 10_001 and "deliveries" in kind:
        assert "ore than 10,000" in mailoutbox[0].subject + mailoutbox[0].body
