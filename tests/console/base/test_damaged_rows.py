"""A page that needs a row with a value that cannot be read answers 409 and names it; the others work."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, models, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.base.damaged_rows import load_rows
from console.events import admin as events_admin
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.exports import a_recorded_history
from tests.support.people import browser
from webhooks.models import Event, Receipt

pytestmark = pytest.mark.usefixtures("database")

is_sqlite = connection.vendor == "sqlite"
EVENTS, REQUESTS, ADVICE = "/admin/webhooks/event/", "/admin/webhooks/receipt/", "manage.py verify_audit"
NOT_UTF8 = "CAST(x'ff' AS TEXT)"
YEAR_1 = "'0001-01-01 00:00:00+23:00'"
VALUES: tuple[tuple[Any, list[str]], ...] = (
    (
        (models.DateTimeField, [NOT_UTF8, YEAR_1, "'moonday'", "5"]),
        (models.UUIDField, ["'x'", NOT_UTF8]),
        (models.BinaryField, ["'x'", NOT_UTF8]),
        (models.IntegerField, ["'x'"]),
        (models.CharField, [NOT_UTF8, "x'00'"]),
    )
    if is_sqlite
    else ((models.DateTimeField, ["'infinity'", "'20260-01-01 00:00:00+00'", "'-infinity'"]),)
)
# Where these are damaged, no row can be found by them, or no page reads them.
KEYS = ("id", "entity_id", "entity_type")


def damages(model: type[models.Model]) -> Iterator[tuple[str, str]]:
    """Yield columns of a table, each with values that cannot be read."""
    for field in model._meta.concrete_fields:
        for kind, values in VALUES:
            if isinstance(field, kind) and field.name not in KEYS:
                # Django reads a text that is no time as None, which these columns may be.
                unseen = ("'moonday'", "5") if field.null else ()
                yield from ((field.name, value) for value in values if value not in unseen)


def execute(sql: str) -> None:
    with connection.constraint_checks_disabled(), transaction.atomic():
        disable_triggers()
        with connection.cursor() as cursor:
            if is_sqlite:
                cursor.execute("PRAGMA ignore_check_constraints = 1")
            cursor.execute(sql)


def damage(row: models.Model, name: str, value: str) -> None:
    column = row._meta.get_field(name).column  # type: ignore[union-attr]
    execute(f"UPDATE {row._meta.db_table} SET {column} = {value} WHERE id = {row.pk}")


@pytest.fixture
def history() -> tuple[Event, Event, Event]:
    """Return three events of one entity or several, with their rows."""
    first, second, third = a_recorded_history(3)
    return first, second, third


@pytest.fixture
def support() -> Client:
    return browser("administrator+support")


def get(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, (address, answer.status_code)
    return answer.content.decode()


def entity_page(event: Event) -> str:
    return f"/admin/webhooks/entity/?type={event.entity_type}&id={event.entity_id}"


def assert_named(client: Client, address: str, row: models.Model, name: str) -> None:
    """Assert that the page is the one about this damaged row and column."""
    page = get(client, address, 409)
    assert f"{type(row).__name__} {row.pk}" in page, address
    assert f"cannot be read: {name}." in page, address
    assert ADVICE in page


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "value"), list(damages(Event)))
def test_each_page_that_needs_a_damaged_event_names_it(
    history: tuple[Event, Event, Event], support: Client, name: str, value: str
) -> None:
    first, damaged, last = history
    damage(damaged, name, value)
    for address in (EVENTS, f"{EVENTS}?order=oldest", f"{EVENTS}{damaged.pk}/change/", entity_page(damaged)):
        assert_named(support, address, damaged, name)
    for event in (first, last):
        get(support, f"{EVENTS}{event.pk}/change/")
    # Each request is shown with the code of its event.
    assert ADVICE in get(support, REQUESTS, 409)
    for address in (f"{EVENTS}?state=attention", "/admin/"):
        get(support, address)


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "value"), list(damages(Receipt)))
def test_each_page_that_needs_a_damaged_request_names_it(
    history: tuple[Event, Event, Event], support: Client, name: str, value: str
) -> None:
    damaged = Receipt.objects.get(event=history[1])
    damage(damaged, name, value)
    pages = f"{REQUESTS}{damaged.pk}/change/", f"{EVENTS}{history[1].pk}/change/", entity_page(history[1])
    for address in pages:
        assert_named(support, address, damaged, name)
    for query in ("", "?order=oldest", "?result=accepted"):
        assert_named(support, REQUESTS + query, damaged, name)
    for address in (EVENTS, "/admin/", f"{EVENTS}{history[0].pk}/change/"):
        get(support, address)


WORST = NOT_UTF8 if is_sqlite else "'infinity'"


def test_a_list_names_its_damaged_rows_and_works_without_them(
    history: tuple[Event, Event, Event], support: Client
) -> None:
    damage(history[1], "received_at", WORST)
    assert_named(support, EVENTS, history[1], "received_at")
    Event.objects.filter(pk=history[1].pk).update(entity_id="OTHER")
    page = get(support, f"{EVENTS}?entity_id={history[0].entity_id}")
    assert f"{EVENTS}{history[0].pk}/change/" in page


def test_the_page_of_a_damaged_event_and_that_of_its_replay_name_it(
    history: tuple[Event, Event, Event], support: Client
) -> None:
    damage(history[1], "received_at", WORST)
    for page in ("change", "replay"):
        assert_named(support, f"{EVENTS}{history[1].pk}/{page}/", history[1], "received_at")


@pytest.mark.submission
def test_a_damaged_value_is_logged(
    history: tuple[Event, Event, Event], support: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "hub.console")
    damage(history[1], "received_at", WORST)
    get(support, f"{EVENTS}{history[1].pk}/change/", 409)
    (record,) = [record for record in caplog.records if record.name == "hub.console"]
    assert (
        record.getMessage() == f"A stored value cannot be read: webhooks_event {history[1].pk}: received_at"
    )


@pytest.mark.submission
def test_the_list_of_sources_passes_over_an_event_without_a_time(
    history: tuple[Event, Event, Event], support: Client
) -> None:
    before = get(support, "/admin/webhooks/source/")
    damage(history[2], "received_at", WORST)
    page = get(support, "/admin/webhooks/source/")
    assert history[1].source.name in page
    time = f'datetime="{history[1].received_at:%Y-%m-%dT%H:%M:%S}'
    assert time in page
    assert time not in before


@pytest.mark.parametrize(
    "value", [NOT_UTF8, "'2026-13-01 00:00:00'"] if is_sqlite else ["'infinity'", "'-infinity'"]
)
def test_a_page_without_a_row_in_its_address_says_so_too(
    history: tuple[Event, Event, Event], support: Client, value: str
) -> None:
    execute(f"UPDATE webhooks_source SET created_at = {value}")
    page = get(support, "/admin/", 409)
    assert "The row is not known." in page
    assert ADVICE in page


@pytest.mark.parametrize("error", [ValueError("of a programmer"), OperationalError("locked")])
def test_any_other_error_stays_an_error(
    history: tuple[Event, Event, Event], support: Client, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(events_admin, "build_event_page", fail)
    get(support, f"{EVENTS}{history[0].pk}/change/", 500)


def test_healthy_rows_cost_one_statement(history: tuple[Event, Event, Event]) -> None:
    with CaptureQueriesContext(connection) as statements:
        rows = load_rows(Event.objects.order_by("pk"))
    assert [row.pk for row in rows] == [event.pk for event in history]
    assert len(statements) == 1
