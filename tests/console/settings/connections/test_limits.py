"""The protection of connections on their pages, and the manual end of a pause."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from database.clock import read_clock
from sync.limits.circuit_breaker import RequestEvidence, SystemFailure, allowed_deliveries, record_failure
from sync.models import Breaker, Connection, Route
from tests.support.builders.history import a_delivery, a_route, a_source, an_event, logged_in
from tests.support.pages import visible_text
from tests.support.people import entries

LIST = "/admin/sync/connection/"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def shop(db: None) -> Connection:
    return a_route(a_source()).target


def text_of(client: Client, address: str) -> str:
    return visible_text(client.get(address))


def paused(of: Connection, until: timedelta = MINUTE, **values: Any) -> Breaker:
    now = read_clock()
    defaults = {
        "failures": 5,
        "openings": 1,
        "code": "target-timeout",
        "opened_at": now,
        "open_until": now + until,
    }
    return Breaker.objects.create(connection=of, **defaults | values)


def run_some(of: Connection, number: int) -> None:
    route = of_route(of)
    for position in range(number):
        event = an_event(position, state="running", source=route.source)
        a_delivery(event, route, token=uuid4(), lease_until=read_clock() + MINUTE, target_slot=position + 1)


def of_route(of: Connection) -> Route:
    return Route.objects.get(target=of)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("breaker", "said", "on_page"),
    [
        (None, "– No traffic", "Sending Yes Waiting"),
        ({"open_until": None, "opened_at": None, "failures": 2}, "– No traffic", "2 recent failures, .* 10"),
        ({"open_until": None, "opened_at": None, "failures": 0}, "– No traffic", "Sending Yes Waiting"),
        (
            {},
            r"✕ Failing 5 errors \(timeout\) since \S+; next check in (5\d|60) s\.",
            r"Sending 5 errors \(timeout\) since \S+; next check in (5\d|60) s\.",
        ),
        ({"until": -MINUTE, "successes": 3}, "↻ Recovering 3 of 8", "Recovering: 3 of 8"),
    ],
)
def test_the_list_and_the_page_show_the_state_of_the_breaker(
    shop: Connection, breaker: dict[str, Any] | None, said: str, on_page: str
) -> None:
    if breaker is not None:
        paused(shop, **breaker)
    client = logged_in("support")
    assert re.search(said, text_of(client, LIST))
    assert re.search(on_page, text_of(client, f"{LIST}{shop.pk}/change/"))
    Connection.objects.filter(pk=shop.pk).update(is_enabled=False)
    assert "⊘ Disabled" in text_of(client, LIST)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("limits", "breaker", "said"),
    [
        ({}, None, "3 running; no limit Rate limit (per second) no limit"),
        ({"concurrency": 4, "requests_per_second": 2.5}, None, "limit 4 Rate limit (per second) 2.5"),
        ({"concurrency": 4}, {"until": -MINUTE, "successes": 2}, "3 running; limit 3"),
        ({}, {"until": -MINUTE, "successes": 5}, "3 running; limit 6"),
        ({"concurrency": 4}, {}, "3 running; none"),
    ],
)
def test_the_page_shows_the_use_of_the_current_limits(
    shop: Connection, limits: dict[str, Any], breaker: dict[str, Any] | None, said: str
) -> None:
    Connection.objects.filter(pk=shop.pk).update(**limits)
    if breaker is not None:
        paused(shop, **breaker)
    run_some(shop, 3)
    assert said in text_of(logged_in("support"), f"{LIST}{shop.pk}/change/")


def test_try_now_ends_the_pause_allows_one_delivery_and_is_recorded(shop: Connection) -> None:
    for _ in range(10):
        record_failure(shop, SystemFailure("target-unavailable"), RequestEvidence())
    assert allowed_deliveries(shop) == 0
    client = logged_in("administrator")
    page = f"{LIST}{shop.pk}/change/"
    assert f'action="{LIST}{shop.pk}/try-now/"' in client.get(page).content.decode()
    answer = client.post(f"{LIST}{shop.pk}/try-now/", follow=True, REMOTE_ADDR="192.0.2.9")
    assert "0 of 8" in answer.content.decode()
    assert allowed_deliveries(shop) == 1
    (entry,) = entries("connection.retried")
    person = User.objects.get()
    assert (entry["actor"], entry["details"]) == (f"person:{person.pk}", {"address": "192.0.2.9"})
    client.post(f"{LIST}{shop.pk}/try-now/")
    assert len(entries("connection.retried")) == 1
    was_open = record_failure(shop, SystemFailure("target-unavailable"), RequestEvidence())
    assert was_open, "a failed probe pauses it anew"
    assert allowed_deliveries(shop) == 0


@pytest.mark.promise("T24")
def test_ending_a_pause_needs_a_post_and_the_change_permission(shop: Connection) -> None:
    breaker, address = paused(shop), f"{LIST}{shop.pk}/try-now/"
    logged_in("administrator").get(address, follow=True)
    assert "Check now" not in text_of(logged_in("support"), f"{LIST}{shop.pk}/change/")
    for role in ("support", "auditor"):
        assert logged_in(role).post(address).status_code == 403
    assert Client().post(address).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.post(address).status_code == 403
    until = breaker.open_until
    breaker.refresh_from_db()
    assert breaker.open_until == until


def test_breakers_are_hidden_without_permission(shop: Connection) -> None:
    paused(shop)
    client = logged_in()
    user = User.objects.get()
    user.user_permissions.add(Permission.objects.get(codename="view_connection"))
    for address in (LIST, f"{LIST}{shop.pk}/change/"):
        assert "next check" not in text_of(client, address)
        assert "Failing" not in text_of(client, address)
