"""What the page of a connection says of its catch-ups, and that of a polled source of itself."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from sync.models import CatchUp, ChangedEntity, Connection
from tests.support.builders.history import a_route, a_source
from tests.support.pages import visible_text
from tests.support.people import browser
from webhooks.models import Source

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def page_of(row: Connection | Source) -> str:
    model = "sync/connection" if isinstance(row, Connection) else "webhooks/source"
    reader = browser("administrator", f"admin-{User.objects.count()}")
    return visible_text(reader.get(f"/admin/{model}/{row.pk}/change/"))


@pytest.fixture
def identity() -> Connection:
    connection = a_route(a_source()).identity
    connection.catch_up_minutes = 5
    connection.save()
    return connection


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["Not read yet", "Last run never"]),
        ({"read_at": 1, "began_at": 1, "listed": 1_200, "made": 1_000, "skipped": 199}, ["Up to date"]),
        ({"read_at": 19, "began_at": 1}, ["Up to date"]),
        ({"read_at": 21, "began_at": 1}, ["Late"]),
        (
            {"read_at": 9, "began_at": 1, "failing_since": 4, "failure": "identity-unavailable"},
            ["Failing", "Aurora ID is unavailable", "continues where this one stopped"],
        ),
        ({"read_at": 9, "failing_since": 4, "failure": "list-short"}, ["fewer items than it says"]),
        ({"read_at": 9, "began_at": 1, "is_running": True}, ["Next run running"]),
    ],
)
def test_the_page_says_how_a_catch_up_is_doing(
    identity: Connection, values: dict[str, Any], expected: list[str]
) -> None:
    now = timezone.now()
    times = {
        name: now - timedelta(minutes=value)
        for name, value in values.items()
        if name.endswith(("_at", "_since"))
    }
    row = CatchUp.objects.create(
        identity=identity, entity_type="USER", **{"created_at": now, **values, **times}
    )
    ChangedEntity.objects.create(catch_up=row, entity_id="U1", changed_at=now)
    text = page_of(identity)
    for words in (*expected, "It finds no deletions", "1 change waits for a later run"):
        assert words in text
    if values.get("listed"):
        assert "1,200 listed, 199 already fetched, 1,000 events" in text


def test_a_connection_that_no_route_uses_says_so(identity: Connection) -> None:
    assert "No enabled route can use the changes yet" in page_of(identity)
    Connection.objects.update(catch_up_minutes=None)
    assert "It finds no deletions" not in page_of(identity)


def test_a_polled_source_shows_no_endpoint() -> None:
    source = a_source()
    assert "/webhooks/" in page_of(source)
    Source.objects.update(scheme="polled")
    text = page_of(source)
    assert "Polled: the source sends nothing and has no endpoint." in text
    assert "anyone who knows the endpoint" not in text
    assert f"/webhooks/{source.slug}" not in text
