"""The button "Check" of the forms of settings validates what was typed and saves nothing."""

from typing import Any

import pytest

from audit.models import Entry
from sync.models import Connection
from tests.console.settings.source_pages import source_form
from tests.support.builders.settings_rows import connection, connection_form
from tests.support.hub import Hub
from tests.support.pages import visible_text
from tests.support.people import browser, source
from webhooks.models import Source

database = pytest.mark.django_db

CHECK = {"_check": ""}
NO_FAULTS = "No errors found. Nothing was saved."


def stored(of: Any) -> dict[str, Any]:
    """Return the row as the database has it."""
    return type(of).objects.filter(pk=of.pk).values().get()


@database
def test_a_valid_change_is_checked_and_not_saved() -> None:
    of, client = source("aurora"), browser("administrator")
    before, written = stored(of), Entry.objects.count()
    form = source_form(webhook_format='{"id":   "body.id"}', wait_seconds="3") | CHECK
    answer = client.post(f"/admin/webhooks/source/{of.pk}/change/", form)
    assert NO_FAULTS in visible_text(answer)
    assert "{&quot;id&quot;:   &quot;body.id&quot;}" in answer.content.decode(), "as it was typed"
    assert stored(of) == before
    assert Entry.objects.count() == written
    assert "held_changes" not in client.session, "no second step waits"


@database
def test_a_fault_is_shown_at_its_field_and_nothing_is_saved() -> None:
    of = source("aurora")
    form = source_form(name="Changed", webhook_format='{\n"id": "body["\n}') | CHECK
    answer = browser("administrator").post(f"/admin/webhooks/source/{of.pk}/change/", form)
    text = visible_text(answer)
    assert "Line 2, id: This must be a JMESPath expression." in text
    assert NO_FAULTS not in text
    assert Source.objects.get().name != "Changed"


@database
def test_a_new_row_is_checked_without_a_reason_and_not_added() -> None:
    client = browser("administrator")
    form = source_form(reason="") | CHECK
    assert NO_FAULTS in visible_text(client.post("/admin/webhooks/source/add/", form))
    form["scheme_settings"] = '{"x": 1}'
    assert "Line 1, x: Unknown field." in visible_text(client.post("/admin/webhooks/source/add/", form))
    assert not Source.objects.exists()


@pytest.mark.submission
def test_settings_that_routes_lack_are_shown_at_the_connection(hub: Hub) -> None:
    shop = Connection.objects.get(slug="shop")
    del shop.settings["entities"]["USER"]
    address = f"/admin/sync/connection/{shop.pk}/change/"
    answer = browser("administrator").post(address, connection_form(shop) | CHECK)
    text = visible_text(answer)
    assert NO_FAULTS not in text
    assert "A setting is missing: see the message next to its field." in text
    below = answer.content.decode().split('name="settings"', 1)[1].split("</div>", 1)[0]
    assert "have no entity type USER" in below
    assert "USER" in Connection.objects.get(slug="shop").settings["entities"]


@database
def test_typed_credentials_are_not_shown_after_a_check() -> None:
    of = connection()
    address = f"/admin/sync/connection/{of.pk}/change/"
    answer = browser("administrator").post(address, connection_form(of, password="typed-pass-1") | CHECK)
    assert "typed-pass-1" not in answer.content.decode()
    assert "Enter the credentials again before you save." in visible_text(answer)
    assert Connection.objects.get().credentials == of.credentials
