"""The page of a connection: its health, its waiting deliveries, and its test."""

import json
import re
from base64 import urlsafe_b64encode
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Entry
from connectors.check import CheckStep
from connectors.presets import load_preset
from console.settings.connections import connection_status
from sync.models import Connection, ConnectionTest, CountedHour, Route
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.builders.history import (
    a_call,
    a_delivery,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
)
from tests.support.connections import change_connection
from tests.support.http.client_certificates import Authority
from tests.support.http.servers import Reply, serving
from tests.support.pages import visible_text
from tests.support.people import browser, entries

pytestmark = [pytest.mark.django_db, pytest.mark.concurrent]

SECRET = "s3cret-shop-token"


def a_connection(url: str = "http://127.0.0.1:9", **values: Any) -> Connection:
    chosen = load_preset("sandbox-shop")
    return Connection.objects.create(
        **{
            "slug": "shop",
            "name": "The shop",
            "side": "target",
            "connector": chosen["connector"],
            "base_url": url,
            "authentication": {"scheme": "bearer"},
            "settings": chosen["settings"],
            "credentials": {"token": SECRET},
            "deadline_seconds": 5.0,
        }
        | values
    )


def page_of(of: Connection) -> str:
    return f"/admin/sync/connection/{of.pk}/change/"


def after_testing(client: Client, of: Connection) -> str:
    return visible_text(client.post(f"/admin/sync/connection/{of.pk}/test/", follow=True))


def test_people_who_cannot_change_a_connection_read_which_credentials_are_stored() -> None:
    of = a_connection(authentication={"scheme": "basic"}, credentials={"password": SECRET})
    page = browser("support").get(page_of(of)).content.decode()
    assert "<div>Username: missing</div><div>Password: stored</div>" in page
    assert "None" not in page
    assert SECRET not in page
    # A document has a line for each of its settings.
    assert '<pre class="code">{\n  &quot;' in page


def test_a_working_connection_is_tested_step_by_step_and_recorded() -> None:
    with serving(lambda _: Reply(200, {"items": []})) as service:
        of = a_connection(service.url)
        text = after_testing(browser("support"), of)
    assert re.search(r"Name \(DNS\) ✓ OK 127\.0\.0\.1 [\d.]+ m?s", text)
    assert re.search(r"Connection \(TCP and TLS\) ! ", text)
    assert "Credentials ✓ OK" in text
    assert re.search(r"Sample call ✓ [^✓✕]+ \(GET /api/customers, 200\)\. [\d.]+ m?s", text)
    (entry,) = entries("connection.tested")
    assert entry["stream"] == f"setting:connection:{of.pk}"
    steps = {
        "name": "name-known",
        "transport": "transport-plain",
        "credentials": "shown-by-read",
        "read": "read",
    }
    steps |= {"permissions": "permissions-given"}
    assert entry["details"] == {"is_good": True, "steps": steps, "address": "127.0.0.1"}


def test_refused_credentials_are_reported_without_a_secret() -> None:
    with serving(lambda _: Reply(401, {"message": f"{SECRET} is wrong"})) as service:
        of = a_connection(service.url)
        text = after_testing(browser("administrator"), of)
    assert re.search(r"Credentials ✕ .* 401", text)
    assert "Sample call – Skipped" in text
    assert SECRET not in text
    assert SECRET not in json.dumps(ConnectionTest.objects.get().steps)
    assert not Entry.objects.filter(details__contains=SECRET).exists()


def test_a_test_sends_no_credentials_that_were_entered_for_another_address() -> None:
    with serving(lambda _: Reply(200, {"items": []})) as trap:
        of = a_connection()
        Connection.objects.update(base_url=trap.url)
        text = after_testing(browser("administrator"), of)
        assert trap.seen == []
    assert re.search(
        r"Credentials ✕ Failed The stored credentials cannot be decrypted, so none were sent\.", text
    )
    assert "Sample call – Skipped" in text


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("transport", "permissions", "is_warning"),
    [
        ("transport-encrypted", "permissions-given", False),
        ("transport-plain", "permissions-given", True),
        ("transport-encrypted", "permissions-limited", True),
    ],
)
def test_the_summary_of_a_test_agrees_with_its_steps(
    transport: str, permissions: str, is_warning: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (CheckStep("transport", True, transport), CheckStep("permissions", True, permissions))
    monkeypatch.setattr("sync.operations.connection_tests.check_connection", lambda _: steps)
    text = after_testing(browser("administrator"), a_connection())
    assert (" All steps passed. " in text) is not is_warning
    assert (" ! " in text) is is_warning
    (entry,) = entries("connection.tested")
    assert entry["details"]["is_good"] is True


@pytest.mark.submission
def test_the_last_test_stays_on_the_page_and_a_new_one_replaces_it() -> None:
    client, of = browser("administrator"), a_connection()
    after_testing(client, of)
    with serving(lambda _: Reply(200, {"items": []})) as service:
        change_connection(of, base_url=service.url)
        after_testing(client, of)
    assert "✕ Failed" not in visible_text(client.get(page_of(of)))
    assert ConnectionTest.objects.count() == 1


@pytest.mark.submission
def test_two_tests_of_one_connection_do_not_run_at_once() -> None:
    of = a_connection()
    ConnectionTest.objects.create(connection=of, begun_at=timezone.now() - timedelta(seconds=5))
    after_testing(browser("administrator"), of)
    assert not entries("connection.tested")
    ConnectionTest.objects.update(begun_at=timezone.now() - timedelta(minutes=1))
    after_testing(browser("", "root"), of)
    assert entries("connection.tested"), "a process died: the next one may"


def some_calls(number: int, **values: Any) -> Connection:
    """Create this many calls to the shop just now, of 0.01 s, 0.02 s and so on."""
    route = a_route(a_source())
    attempt = an_attempt(a_delivery(an_event(source=route.source), route), 1)
    for position in range(number):
        facts = {"status": 200, "seconds": (position + 1) / 100, "started_at": timezone.now()}
        a_call(attempt, **facts | values)
    return route.target


def test_the_page_shows_durations_and_failures_of_requests() -> None:
    of = some_calls(19)
    some_calls_of(of, 1, status=503, error="target-unavailable", seconds=2.0)
    text = page_after_recount(of)
    assert re.search(r"Requests since \d\d:00 20 ", text)
    p50, p95 = (int(re.search(rf"\({percentile}\) (\d+) ms", text)[1]) for percentile in ("p50", "p95"))  # type: ignore[index]
    assert p50 == pytest.approx(100, rel=0.33)
    assert p95 == pytest.approx(190, rel=0.33)
    assert "Failed 5 %" in text
    assert re.search(r"Last success (now|\d+ s ago)", text)
    assert "1 of the last 20" in text


@pytest.mark.submission
def test_every_page_shows_the_same_health_and_reads_no_requests() -> None:
    of, client = some_calls(6), logged_in("administrator")
    some_calls_of(of, 4, status=503, error="target-unavailable", seconds=2.0)
    figures = "(40 %)"
    with CaptureQueriesContext(database) as early:
        assert "No traffic" in visible_text(client.get(page_of(of))), "no recount has run yet"
    page = page_after_recount(of)
    with CaptureQueriesContext(database) as late:
        pages = page, visible_text(client.get("/admin/sync/connection/")), visible_text(client.get("/admin/"))
    assert all("✕ Failing" in page for page in pages)
    assert figures in pages[0]
    assert figures in pages[2]
    assert not [query for query in (*early, *late) if 'FROM "sync_call"' in query["sql"]]


def page_after_recount(of: Connection) -> str:
    """Return the page as support sees it after the worker's recount."""
    CountedHour.objects.update(counted_at=None)
    recount_stale_hours(seconds=60.0)
    return visible_text(logged_in("support").get(page_of(of)))


def some_calls_of(of: Connection, number: int, **values: Any) -> None:
    attempt = an_attempt(a_delivery(an_event(50), route_of(of)), 1)
    for _ in range(number):
        a_call(attempt, **{"started_at": timezone.now()} | values)


def route_of(of: Connection) -> Route:
    return Route.objects.get(target=of)


def test_rejections_do_not_count_as_failures() -> None:
    assert "✓ Healthy" in page_after_recount(some_calls(6, status=422, error="target-rejected"))


def test_older_requests_count_only_as_the_last_success() -> None:
    of = some_calls(5, started_at=timezone.now() - timedelta(hours=2))
    text = page_after_recount(of)
    assert re.search(r"Requests since \d\d:00 0 ", text)
    assert "Last success 2 h ago" in text
    assert "No traffic" in text


@pytest.mark.submission
def test_waiting_deliveries_are_counted_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    route = a_route(a_source())
    for number in range(4):
        event = an_event(number, state="retrying", source=route.source)
        a_delivery(event, route, due_at=event.received_at)
    a_delivery(an_event(8, source=route.source, state="held"), route)
    client = logged_in("support")
    page = client.get(page_of(route.target))
    assert "Waiting 4 deliveries" in visible_text(page)
    (waiting,) = re.findall(r'<a href="([^"]*)">4 deliveries</a>', page.content.decode())
    events = client.get(unescape(waiting))
    assert len(events.context["page"].rows) == 4
    assert f"Waiting for: {route.target.slug}" in visible_text(events)
    monkeypatch.setattr(connection_status, "MAX_WAITING", 2)
    assert "Waiting at least 3 deliveries" in visible_text(client.get(page_of(route.target)))


@pytest.mark.submission
def test_the_expiry_of_a_token_is_shown_and_a_token_without_one_is_accepted() -> None:
    of, client = a_connection(), logged_in("support")

    def text_with(token: str) -> str:
        of.credentials = {"token": token}
        of.save()
        return visible_text(client.get(page_of(of)))

    for days, said in ((12, "Token expires in 12 days"), (-1, "Token expired 2")):
        end = int((timezone.now() + timedelta(days=days, hours=1)).timestamp())
        body = urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
        text = text_with(f"x.{body}.y")
        assert said in text
        assert body not in text
    for token in (
        *("x.y", "x.%%%.z", "x.bnVsbA.z", "x.eyJleHAiOiAibm8ifQ.z", "x.eyJleHAiOiAxZTk5fQ.z"),
        "x.eyJleHAiOiAyNTM0MDIzMDA3OTl9.y",  # the last second that there is: never
    ):
        assert "Token e" not in text_with(token), token


@pytest.mark.submission
def test_subject_and_expiry_of_a_client_certificate_are_shown_without_its_key() -> None:
    issued = Authority().issue("hub <b>", ends=timedelta(days=12, hours=1))
    of = a_connection(
        "https://shop.test",
        authentication={"scheme": "none", "client_certificate": True},
        credentials=issued.credentials,
    )
    page = logged_in("administrator").get(page_of(of))
    assert "Client certificate hub <b>: expires in 12 days" in unescape(visible_text(page))
    shown = page.content.decode()
    for text in (issued.key, issued.certificate):
        assert text.splitlines()[1] not in shown
    assert "hub <b>" not in shown
    of.credentials = {"client_certificate": "nothing"}
    of.save()
    assert logged_in("administrator").get(page_of(of)).status_code == 200
