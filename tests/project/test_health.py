"""`GET /health` tells everybody little, and a monitor or a member of staff everything."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from database.clock import read_clock
from sync.models import Breaker
from sync.monitoring.alarms import evaluate_alarms
from tests.support.builders.alarms import late_delivery, minutes, paused, watched
from tests.support.builders.history import an_event
from tests.support.hub import new_sealing_key
from webhooks.encryption.at_rest import seal
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


def test_everybody_learns_that_it_works_and_what_waits() -> None:
    late_delivery(read_clock() - minutes(1))
    assert health() == {"status": "ok", "due": 1, "expired": 0}


def test_the_public_answer_costs_three_statements() -> None:
    with CaptureQueriesContext(connection) as captured:
        health()
    assert len(captured) == 3


def test_a_token_opens_every_figure() -> None:
    now = read_clock()
    late_delivery(now - minutes(10))
    an_event(1, state="dead")
    an_event(2, state="held")
    watched("Borealis", heard=now - minutes(31))
    paused(now - minutes(6), now + minutes(1), slug="other")
    evaluate_alarms()
    told = health(authorization=f"Bearer {TOKEN}")
    assert 600 <= told["oldest_due_seconds"] < 660
    assert (told["due"], told["dead"], told["held"]) == (1, 1, 1)
    assert [(each["name"], each["silence_minutes"], each["is_silent"]) for each in told["sources"]] == [
        ("Aurora", None, False),
        ("Borealis", 30, True),
    ]
    assert [(each["name"], each["code"]) for each in told["paused"]] == [("The shop", "target-unavailable")]
    assert sorted(each["kind"] for each in told["alarms"]) == [
        "connection-paused",
        "deliveries-dead",
        "deliveries-held",
        "deliveries-late",
        "source-silent",
    ]


def test_a_monitor_learns_that_a_process_does_not_know_the_key_that_seals(settings: Any) -> None:
    Pepper.objects.all().delete()
    Pepper.objects.create(sealed=seal(b"pepper"))
    assert health(authorization=f"Bearer {TOKEN}")["opens_sealed"] is True
    settings.SEALING_KEYS = [new_sealing_key()]
    assert health(authorization=f"Bearer {TOKEN}")["opens_sealed"] is False


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}x", "Bearer ", "Bearer", f"Basic {TOKEN}", TOKEN, "Bearer \xe4"]
)
def test_another_token_opens_nothing(authorization: str) -> None:
    assert health(authorization=authorization).keys() == {"status", "due", "expired"}


def test_without_a_token_set_none_fits(settings: Any) -> None:
    settings.HEALTH_TOKEN = ""
    for authorization in ("Bearer ", "Bearer", ""):
        assert health(authorization=authorization).keys() == {"status", "due", "expired"}


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


def test_a_closed_breaker_is_not_shown() -> None:
    paused(read_clock(), None)
    assert Breaker.objects.exists()
    assert health(authorization=f"Bearer {TOKEN}")["paused"] == []
