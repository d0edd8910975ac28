"""The hub warns before the client certificate of a connection expires, and when it has expired."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from database.clock import read_clock
from sync.models import Alarm, Connection
from sync.monitoring import expiring_certificates
from sync.monitoring.alarm_texts import alarm_text
from sync.monitoring.alarms import evaluate_alarms
from sync.monitoring.expiring_certificates import MAX_CERTIFICATES, read_certificates
from tests.support.builders.alarms import open_kinds
from tests.support.http.client_certificates import Authority
from tests.support.hub import new_sealing_key

pytestmark = pytest.mark.django_db
TOKEN = "monitor-0123456789"
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    expiring_certificates._expiry_of.cache_clear()


def a_connection(authority: Authority, ends: timedelta, slug: str = "shop", **values: Any) -> Connection:
    """Create a connection whose client certificate expires after `ends`."""
    issued = authority.issue("hub", begins=-60 * DAY, ends=ends)
    authentication = {"scheme": "bearer", "client_certificate": True}
    credentials = {"token": "s3cret-token", **issued.credentials}
    facts = {"name": slug, "side": "target", "connector": "rest-target", "base_url": "https://shop.test"}
    return Connection.objects.create(
        **facts | {"slug": slug, "authentication": authentication, "credentials": credentials} | values
    )


@pytest.mark.parametrize(
    ("ends", "kinds", "detail"),
    [
        (31 * DAY, [], ""),
        (29 * DAY, ["certificate-ending"], "in less than 29 days"),
        (HOUR, ["certificate-ending"], "in less than 1 day."),
        (-HOUR, ["certificate-expired"], "It expired on "),
    ],
)
def test_an_alarm_begins_a_month_before_and_another_at_the_end(
    authority: Authority, ends: timedelta, kinds: list[str], detail: str
) -> None:
    a_connection(authority, ends)
    evaluate_alarms()
    assert open_kinds() == kinds
    assert all(detail in alarm_text(alarm).detail for alarm in Alarm.objects.all())


def test_the_alarm_counts_the_days_and_ends_with_a_new_certificate(authority: Authority) -> None:
    shop = a_connection(authority, 10 * DAY)
    now = read_clock()
    evaluate_alarms(now)
    evaluate_alarms(now + 3 * DAY)
    assert [(alarm.count, alarm.subject) for alarm in Alarm.objects.all()] == [(7, f"connection:{shop.pk}")]
    evaluate_alarms(now + 11 * DAY)
    assert open_kinds() == ["certificate-expired"]
    shop.credentials |= authority.issue("hub", ends=365 * DAY).credentials
    shop.save()
    evaluate_alarms(now + 12 * DAY)
    assert open_kinds() == []


def test_connections_that_present_no_certificate_have_no_alarm(authority: Authority) -> None:
    a_connection(authority, -DAY, "disabled", is_enabled=False)
    a_connection(authority, -DAY, "unused", authentication={"scheme": "bearer"})
    a_connection(authority, -DAY, "empty", credentials=None)
    a_connection(authority, -DAY, "damaged", credentials={"client_certificate": "no certificate"})
    a_connection(authority, -DAY, "list", credentials=["client_certificate"])
    evaluate_alarms()
    assert open_kinds() == []


def test_one_that_cannot_be_decrypted_hides_no_other(authority: Authority, settings: Any) -> None:
    present = settings.SEALING_KEYS
    settings.SEALING_KEYS = [new_sealing_key()]
    a_connection(authority, DAY, "locked")
    settings.SEALING_KEYS = present
    a_connection(authority, DAY, "open")
    assert [certificate.name for certificate in read_certificates()] == ["open"]


def test_a_certificate_is_parsed_once_and_the_list_is_limited(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = authority.issue("hub", ends=DAY).credentials
    for number in range(MAX_CERTIFICATES + 5):
        a_connection(authority, DAY, f"shop-{number}", credentials=issued)
    a_connection(authority, HOUR, "first")
    with CaptureQueriesContext(connection) as captured:
        listed = read_certificates()
    assert (len(captured), len(listed), listed[0].name) == (1, MAX_CERTIFICATES, "first")
    Connection.objects.exclude(slug="first").delete()
    read_certificates()
    monkeypatch.setattr(expiring_certificates, "find_certificate_facts", None)
    assert [certificate.name for certificate in read_certificates()] == ["first"]


def test_a_monitor_reads_the_seconds_until_the_end(authority: Authority, settings: Any) -> None:
    settings.HEALTH_TOKEN = TOKEN
    a_connection(authority, 2 * HOUR)
    answer = Client().get("/health", headers={"Authorization": f"Bearer {TOKEN}"})
    [shown] = answer.json()["client_certificates"]
    assert shown["connection"] == "shop"
    assert 0 < shown["expires_in_seconds"] <= 7200
    assert "s3cret-token" not in answer.content.decode()
    assert "client_certificates" not in Client().get("/health").json()
