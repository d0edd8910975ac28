"""Connections: credentials are stored and never shown."""

import json
from typing import Any

import pytest

from audit.models import Entry
from connectors.presets import load_preset
from sync.models import Connection
from tests.support.builders.settings_rows import STORED, connection, connection_form
from tests.support.pages import text_of, visible_text
from tests.support.people import browser, entries, save

pytestmark = pytest.mark.django_db


TYPED_ANEW = {"username": "u2", "password": "p2"}
TOKEN_ELSEWHERE = '{"scheme": "oauth2-client-credentials", "token_url": "https://evil.example.net/token"}'


@pytest.mark.submission_rows(2)
@pytest.mark.promise("T8", "I15")
@pytest.mark.one_database
@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, STORED),
        ({"name": "Other"}, STORED),
        ({"base_url": "https://id.example.com/v2"}, STORED),
        ({"password": "new-password"}, STORED | {"password": "new-password"}),
        ({"clear_credentials": "on"}, None),
        ({"base_url": "https://evil.example.net/"}, None),
        ({"base_url": "http://id.example.com/"}, None),
        ({"base_url": "https://id.example.com:8443/"}, None),
        (
            {"base_url": "https://evil.example.net/", "username": "u2", "password": "p2"},
            {"username": "u2", "password": "p2"},
        ),
        ({"authentication": '{"scheme": "bearer"}'}, None),
    ],
)
def test_credentials_stay_until_they_are_replaced_or_the_origin_changes(
    changed: dict[str, str], kept: dict[str, str] | None
) -> None:
    of = connection()
    client = browser("administrator")
    save(client, f"/admin/sync/connection/{of.pk}/change/", connection_form(of, **changed))
    of.refresh_from_db()
    assert of.credentials == kept
    assert not Entry.objects.filter(details__contains='password":').exists()
    if kept != STORED:
        assert entries("connection.changed")[0]["details"]["changed"] == ["credentials"]


@pytest.mark.promise("T8", "I15")
def test_another_token_url_removes_the_credentials_too() -> None:
    of = connection(
        authentication={"scheme": "oauth2-client-credentials"},
        credentials={"client_id": "hub", "client_secret": "s3cret-s3cret"},
    )
    form = connection_form(of, authentication=TOKEN_ELSEWHERE)
    save(browser("administrator"), f"/admin/sync/connection/{of.pk}/change/", form)
    of.refresh_from_db()
    assert of.credentials is None


@pytest.mark.submission
def test_credentials_that_cannot_be_decrypted_stay_until_they_are_entered_again_or_removed() -> None:
    """After a change of the address in the database, every page of the connection opens and says what to do."""
    of, client = connection(), browser("administrator")
    Connection.objects.update(base_url="https://evil.example.net/")
    page, address = Connection.objects.get(), f"/admin/sync/connection/{of.pk}/change/"
    for reader in (client, browser("support")):
        text = visible_text(reader.get(address))
        assert "The stored credentials cannot be decrypted: no request is sent." in text
        assert "hub-password" not in text
    assert client.get("/admin/sync/connection/").status_code == 200
    text = text_of(save(client, address, connection_form(page, name="Renamed")))
    assert "No request is sent until you enter them again." in text
    assert Connection.objects.get().read_credentials() is None
    save(client, address, connection_form(page, base_url=of.base_url))
    assert Connection.objects.get().credentials == STORED, "they work where they were entered for"
    Connection.objects.update(base_url="https://id.example.net/")
    save(client, address, connection_form(Connection.objects.get(), **TYPED_ANEW))
    assert Connection.objects.get().credentials == TYPED_ANEW
    Connection.objects.update(base_url="https://evil.example.net/")
    save(client, address, connection_form(Connection.objects.get(), clear_credentials="on"))
    assert Connection.objects.get().credentials is None


@pytest.mark.submission
@pytest.mark.one_database
def test_a_limit_out_of_range_is_refused_at_its_field() -> None:
    of, client = connection(), browser("administrator")
    for typed in (
        {"deadline_seconds": "0"},
        {"deadline_seconds": "31"},
        {"deadline_seconds": "15.5"},  # a lease lasts 20 seconds
        {"byte_cap": "0"},
        {"byte_cap": "16777217"},
    ):
        page = client.post(f"/admin/sync/connection/{of.pk}/change/", connection_form(of, **typed))
        assert page.context["adminform"].form.errors.keys() == typed.keys()


@pytest.mark.submission_rows(2)
@pytest.mark.one_database
@pytest.mark.parametrize(
    ("scheme", "typed", "told"),
    [
        ("basic", {}, "Missing credentials: Username, Password."),
        ("basic", {"username": "hub"}, "Missing credentials: Password."),
        ("basic", TYPED_ANEW, None),
        ("none", {}, None),
    ],
)
def test_missing_credentials_are_reported_when_saving(
    scheme: str, typed: dict[str, str], told: str | None
) -> None:
    of = connection(credentials=None)
    form = connection_form(of, name="Other", authentication=json.dumps({"scheme": scheme}), **typed)
    page = save(browser("administrator"), f"/admin/sync/connection/{of.pk}/change/", form).content.decode()
    assert told in page if told else "Missing credentials:" not in page


def test_a_credential_that_the_authentication_does_not_use_is_refused() -> None:
    of = connection()
    form = connection_form(of, token="a-token")
    page = browser("administrator").post(f"/admin/sync/connection/{of.pk}/change/", form).content.decode()
    assert "does not use this" in page
    assert "a-token" not in page


@pytest.mark.submission
def test_a_preset_fills_the_form_and_can_be_saved() -> None:
    client = browser("administrator")
    page = client.get("/admin/sync/connection/add/?preset=sandbox-shop")
    text = text_of(page)
    assert '<a class="button primary" href="?preset=sandbox-shop" aria-current="true">' in text
    initial = page.context["adminform"].form.initial
    assert initial["settings"] == load_preset("sandbox-shop")["settings"]
    connection = Connection(
        **{name: initial[name] for name in ("side", "connector", "authentication", "settings")}
    )
    connection.slug, connection.name, connection.base_url = "shop", "The shop", "http://127.0.0.1:8102"
    form = connection_form(connection, token="shop-token")
    answer = client.post("/admin/sync/connection/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    assert Connection.objects.get().credentials == {"token": "shop-token"}
    assert entries("connection.created")[0]["details"]["reason"] == "it joins"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {"X-Api-Key": "plain-secret-1"}},
        {"entities": {"USER": {"path": "/u/{id}", "query": {"api_key": "plain-secret-1"}}}},
    ],
)
def test_a_secret_among_the_settings_is_refused_and_logged_nowhere(changed: dict[str, Any]) -> None:
    of = connection()
    form = connection_form(of, settings=json.dumps(of.settings | changed))
    page = browser("administrator").post(f"/admin/sync/connection/{of.pk}/change/", form)
    assert page.context["adminform"].form.errors.keys() == {"settings"}
    of.refresh_from_db()
    assert "plain-secret-1" not in json.dumps(of.settings)
    assert not Entry.objects.filter(details__contains="plain-secret-1").exists()


@pytest.mark.one_database
def test_the_audit_log_has_no_secret_of_settings_that_were_stored_unchecked() -> None:
    of = connection()
    Connection.objects.filter(pk=of.pk).update(
        settings=of.settings | {"headers": {"X-Api-Key": "plain-secret-1"}}
    )
    save(browser("administrator"), f"/admin/sync/connection/{of.pk}/change/", connection_form(of))
    of.refresh_from_db()
    assert of.settings["headers"] == {}
    assert '"X-Api-Key":"***"' in Entry.objects.get(action="connection.changed").body
    assert not Entry.objects.filter(details__contains="plain-secret-1").exists()


@pytest.mark.submission
@pytest.mark.parametrize("button", [{"_check": "1"}, {"reason": ""}])
def test_a_form_that_is_shown_again_does_not_show_what_was_typed(button: dict[str, str]) -> None:
    form = connection_form(connection(), slug="other", password="typed-secret", username="") | button
    page = browser("administrator").post("/admin/sync/connection/add/", form)
    assert page.status_code == 200
    assert "typed-secret" not in page.content.decode()
