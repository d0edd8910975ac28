"""`GET /health` shows the public nothing but the status, and everything to a monitor or permitted staff."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from database.clock import read_clock
from database.encryption.at_rest import encrypt
from integration_hub import __version__
from sync.monitoring.alarms import evaluate_alarms
from tests.support.builders.alarms import a_late_delivery, a_paused_connection, a_watched_source, minutes
from tests.support.builders.history import an_event
from tests.support.builders.overviews import a_failure_group
from tests.support.hub import new_sealing_key
from webhooks.models import Pepper

pytestmark = pytest.mark.django_db
TOKEN = "monitor-0123456789"


@pytest.fixture(autouse=True)
def _token(settings: Any) -> None:
    settings.HEALTH_TOKEN = TOKEN


def health(client: Client | None = None, authorization: str = "") -> dict[str, Any]:
    headers = {"Authorization": authorization} if authorization else {}
    answer = (client or Client()).get("/health", headers=headers)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    return dict(answer.json())


def staff(*permissions: str, **facts: Any) -> Client:
    user = User.objects.create_user("someone", **{"is_staff": True} | facts)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_the_public_answer_contains_the_status_alone_and_costs_one_statement() -> None:
    a_late_delivery(read_clock() - minutes(1))
    with CaptureQueriesContext(connection) as captured:
        assert health() == {"status": "ok"}
    assert len(captured) == 1


def test_a_token_shows_every_figure() -> None:
    now = read_clock()
    a_late_delivery(now - minutes(10))
    an_event(1, state="dead")
    an_event(2, state="held")
    a_watched_source("Borealis", last_event_at=now - minutes(31))
    a_paused_connection(now - minutes(6), now + minutes(1), slug="other")
    a_paused_connection(now, None, slug="closed")
    a_failure_group("target-rejected", 1)
    evaluate_alarms()
    figures = health(authorization=f"Bearer {TOKEN}")
    assert figures["version"] == __version__
    assert 600 <= figures["oldest_due_seconds"] < 660
    assert (figures["due"], figures["expired"], figures["dead"], figures["held"]) == (1, 0, 1, 1)
    assert [
        (source["name"], source["silence_minutes"], source["is_silent"]) for source in figures["sources"]
    ] == [
        ("Aurora", None, False),
        ("Borealis", 30, True),
    ]
    assert [(connection["name"], connection["code"]) for connection in figures["paused"]] == [
        ("The shop", "target-unavailable")
    ]
    assert sorted(alarm["kind"] for alarm in figures["alarms"]) == [
        "connection-paused",
        "deliveries-dead",
        "deliveries-held",
        "deliveries-late",
        "source-silent",
    ]


def test_a_monitor_sees_that_a_process_lacks_the_current_encryption_key(settings: Any) -> None:
    Pepper.objects.all().delete()
    Pepper.objects.create(encrypted=encrypt(b"pepper"))
    assert health(authorization=f"Bearer {TOKEN}")["opens_sealed"] is True
    settings.SEALING_KEYS = [new_sealing_key()]
    assert health(authorization=f"Bearer {TOKEN}")["opens_sealed"] is False


def test_a_wrong_token_shows_nothing_and_without_a_configured_one_none_is_valid(settings: Any) -> None:
    for wrong in (f"Bearer {TOKEN}x", "Bearer ", "Bearer", f"Basic {TOKEN}", TOKEN, "Bearer \xe4"):
        assert health(authorization=wrong) == {"status": "ok"}, wrong
    settings.HEALTH_TOKEN = ""
    for authorization in ("Bearer ", "Bearer", ""):
        assert health(authorization=authorization) == {"status": "ok"}


@pytest.mark.parametrize(
    ("permissions", "facts", "sees"),
    [
        (("view_alarm",), {}, True),
        ((), {}, False),
        (("view_alarm",), {"is_staff": False}, False),
        (("view_alarm",), {"is_active": False}, False),
    ],
)
def test_staff_who_may_see_alarms_see_everything(
    permissions: tuple[str, ...], facts: dict[str, Any], sees: bool
) -> None:
    assert ("alarms" in health(staff(*permissions, **facts))) is sees
