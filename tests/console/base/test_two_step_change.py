"""Settings change in two steps: the changes are shown first, and made only with a reason."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from connectors.presets import load_preset
from console.base import pending_store
from console.base.audited_admin import diff_values
from console.ui.field_diff import FieldChange, diff_fields
from sync.models import Connection, Link
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.builders.settings_rows import STORED, connection, connection_form
from tests.support.people import browser, entries, save

pytestmark = pytest.mark.django_db

NEW = "a-new-p4ssword"
WHY = "the owner moved it"


def address(of: Connection) -> str:
    return f"/admin/sync/connection/{of.pk}/change/"


def ask(client: Client, of: Connection, **changed: Any) -> str:
    """Send the form; the address of the page that confirms."""
    answer = client.post(address(of), connection_form(of, **changed))
    assert answer.status_code == 302, answer.context["errors"]
    assert "/confirm/" in answer["Location"]
    return str(answer["Location"])


def confirm(client: Client, page: str, **changed: str) -> Any:
    seen = client.get(page).context["seen"]
    return client.post(page, {"reason": WHY, "seen": seen} | changed, follow=True)


def cells(client: Client, page: str) -> list[str]:
    document = client.get(page).content.decode()
    return re.findall(r"<(?:del|ins) class=\"(?:was|now)\">([^<]*)<", document)


def test_nothing_is_changed_before_it_is_confirmed() -> None:
    of, client = connection(), browser("administrator")
    page = ask(client, of, name="Other", deadline_seconds="7")
    assert cells(client, page) == ["Aurora ID", "Other", "10.0", "7.0"]
    of.refresh_from_db()
    assert of.name == "Aurora ID"
    assert not entries("connection.changed")


def test_a_confirmed_change_is_recorded_with_its_reason() -> None:
    of, client = connection(), browser("administrator")
    page = confirm(client, ask(client, of, name="Other"))
    assert f'The change of <a href="{address(of)}">Other</a> was saved.' in page.content.decode()
    of.refresh_from_db()
    assert of.name == "Other"
    assert not entries("secret.changed")
    (entry,) = entries("connection.changed")
    assert entry["details"] == {
        "before": {"name": "Aurora ID"},
        "after": {"name": "Other"},
        "reason": WHY,
        "address": "127.0.0.1",
    }


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_without_a_reason_nothing_is_changed(reason: str) -> None:
    of, client = connection(), browser("administrator")
    page = confirm(client, ask(client, of, name="Other"), reason=reason)
    assert page.status_code == 200
    assert page.context["reason_form"].errors
    of.refresh_from_db()
    assert of.name == "Aurora ID"


def test_a_changed_field_of_settings_is_shown_and_not_the_whole_document() -> None:
    of, client = connection(), browser("administrator")
    changed = {**of.settings, "headers": {"X-Tenant": "b"}}
    page = ask(client, of, settings=json.dumps(changed))
    assert cells(client, page) == ["b"]
    assert "Settings / headers / X-Tenant" in client.get(page).content.decode()


def test_a_typed_secret_passes_both_steps_and_is_in_no_page_or_session() -> None:
    of, client = connection(), browser("administrator")
    page = ask(client, of, password=NEW)
    shown = client.get(page).content.decode()
    assert "Password: new value" in shown
    assert NEW not in shown
    sessions = [session.get_decoded() for session in Session.objects.all()]
    assert sessions
    assert NEW not in str(sessions)
    confirm(client, page)
    of.refresh_from_db()
    assert of.credentials == STORED | {"password": NEW}
    assert [entry["details"]["reason"] for entry in entries("secret.changed")] == [WHY]
    assert not Entry.objects.filter(details__contains=NEW).exists()


@pytest.mark.submission
def test_an_unchanged_form_needs_no_confirmation() -> None:
    of, client = connection(), browser("administrator")
    answer = client.post(address(of), connection_form(of), follow=True)
    assert "Nothing was changed." in answer.content.decode()
    assert not entries("connection.changed")


@pytest.mark.submission
def test_a_change_is_shown_again_if_the_row_changed_meanwhile() -> None:
    of, client = connection(), browser("administrator")
    page = ask(client, of, name="Other")
    seen = client.get(page).context["seen"]
    Connection.objects.filter(pk=of.pk).update(name="Renamed", deadline_seconds=3)
    answer = client.post(page, {"reason": WHY, "seen": seen})
    assert "changed in the meantime" in answer.content.decode()
    assert cells(client, page) == ["Renamed", "Other", "3.0", "10.0"]
    of.refresh_from_db()
    assert of.name == "Renamed"
    confirm(client, page)
    of.refresh_from_db()
    assert of.name == "Other"


def test_a_change_is_made_once_however_often_it_is_sent() -> None:
    of, client = connection(), browser("administrator")
    page = ask(client, of, name="Other")
    confirm(client, page)
    answer = client.post(page, {"reason": WHY}, follow=True)
    assert "Your change has expired" in answer.content.decode()
    assert len(entries("connection.changed")) == 1


@pytest.mark.submission
def test_a_pending_change_expires_after_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    of, client = connection(), browser("administrator")
    page = ask(client, of, name="Other")
    late = pending_store.time.time() + timedelta(minutes=16).total_seconds()
    monkeypatch.setattr(pending_store.time, "time", lambda: late)
    assert "Your change has expired" in client.get(page, follow=True).content.decode()


@pytest.mark.submission
def test_a_pending_change_belongs_to_its_person_and_row() -> None:
    of, other, client = connection(), connection(slug="other", name="Second"), browser("administrator")
    page = ask(client, of, name="Other")
    assert "Your change has expired" in browser("", "root").get(page, follow=True).content.decode()
    elsewhere = page.replace(f"/{of.pk}/confirm", f"/{other.pk}/confirm")
    client.post(elsewhere, {"reason": WHY})
    other.refresh_from_db()
    assert other.name == "Second"


@pytest.mark.submission
def test_disabling_a_connection_shows_how_many_deliveries_wait_for_it() -> None:
    route = a_route(a_source())
    for number in range(3):
        event = an_event(number, state="retrying", source=route.source)
        a_delivery(event, route, due_at=event.received_at)
    settled = an_event(9, source=route.source)
    a_delivery(settled, route)
    client, of = browser("administrator"), route.target
    whole = {"settings": load_preset("sandbox-shop")["settings"], "authentication": {"scheme": "none"}}
    Connection.objects.filter(pk=of.pk).update(**whole)
    of.refresh_from_db()
    form = connection_form(of)
    form.pop("is_enabled")
    answer = client.post(address(of), form)
    assert answer.status_code == 302, answer.context["errors"]
    page = client.get(answer["Location"]).content.decode()
    assert "Currently waiting for this connection: 3 deliveries." in page
    save(client, address(of), form)
    of.refresh_from_db()
    assert not of.is_enabled


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"active": 0}, {"active": False}, FieldChange("Fields / active", "0", "no")),
        ({"active": False}, {"active": False, "left": None}, FieldChange("Fields / left", None, "null")),
        ({"active": [1]}, {"active": [True]}, FieldChange("Fields / active", "[1]", "[true]")),
        ({"name": "a"}, {"name": ""}, FieldChange("Fields / name", "a", '""')),
    ],
)
def test_a_change_of_json_is_detected_although_python_values_are_equal(
    before: Any, after: Any, told: FieldChange
) -> None:
    assert diff_fields({"fields": before}, {"fields": after}, {"fields": "Fields"}) == [told]
    assert diff_values({"fields": before}, {"fields": after}, frozenset()) == {
        "before": {"fields": before},
        "after": {"fields": after},
    }


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("side", "has_link", "changed"),
    [("identity", True, True), ("target", True, True), ("target", True, False), ("target", False, True)],
)
def test_another_address_warns_about_the_links_by_ids_of_the_old_system(
    side: str, has_link: bool, changed: bool
) -> None:
    route = a_route(a_source())
    if has_link:
        Link.objects.create(
            identity=route.identity,
            target=route.target,
            entity_type="USER",
            entity_id="A1",
            record_id="1",
            applied_at=timezone.now(),
        )
    of = getattr(route, side)
    name = {"identity": "sandbox-identity", "target": "sandbox-shop"}[side]
    whole = {"settings": load_preset(name)["settings"], "authentication": {"scheme": "none"}}
    Connection.objects.filter(pk=of.pk).update(**whole)
    of.refresh_from_db()
    client = browser("administrator")
    page = ask(
        client, of, **({"base_url": "https://elsewhere.example.com/"} if changed else {"name": "Other"})
    )
    is_warned = "may belong to another person" in client.get(page).content.decode()
    assert is_warned == (has_link and changed)
