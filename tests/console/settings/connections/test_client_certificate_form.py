"""The form of a connection checks a client certificate with its key, and shows neither."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from audit.models import Entry
from sync.models import Connection
from tests.support.builders.settings_rows import connection, connection_form
from tests.support.http.client_certificates import Authority, Issued
from tests.support.pages import visible_text
from tests.support.people import browser, entries, save

pytestmark = pytest.mark.django_db

AUTHORITY = Authority()
HUB, OTHER = AUTHORITY.issue("hub"), AUTHORITY.issue("other")
EXPIRED = AUTHORITY.issue("hub", begins=-timedelta(days=9), ends=-timedelta(days=2))
MUTUAL = {"scheme": "none", "client_certificate": True}


def send(of: Connection, **changed: Any) -> tuple[str, dict[str, str] | None]:
    """Save the form, and return the page that follows with the credentials that are stored then."""
    form = connection_form(of, authentication=json.dumps(MUTUAL), **changed)
    page = save(browser("administrator"), f"/admin/sync/connection/{of.pk}/change/", form)
    of.refresh_from_db()
    html = page.content.decode()
    for issued in (HUB, OTHER):
        assert issued.key.splitlines()[1] not in html
    return visible_text(page), of.credentials


def stored(issued: Issued = HUB, **changed: Any) -> Connection:
    return connection(authentication=MUTUAL, credentials=issued.credentials, **changed)


def test_a_certificate_and_its_key_are_stored_together() -> None:
    _, credentials = send(connection(), **HUB.credentials)
    assert credentials == HUB.credentials
    assert entries("connection.changed")[0]["details"]["changed"] == ["credentials"]
    assert not Entry.objects.filter(details__contains="BEGIN").exists()


@pytest.mark.parametrize("typed", [{}, OTHER.credentials])
def test_credentials_left_empty_are_kept(typed: dict[str, str]) -> None:
    assert send(stored(), name="Renamed", **typed)[1] == {**HUB.credentials, **typed}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"client_certificate": OTHER.certificate}, "The private key does not fit the client certificate."),
        ({"client_key": OTHER.key}, "The private key does not fit the client certificate."),
        ({"client_certificate": "nothing"}, "This must be the client certificate in PEM"),
        ({"client_certificate": HUB.certificate + HUB.key}, "Enter the key in its own field."),
        ({"client_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, "The private key is encrypted."),
    ],
)
def test_what_does_not_fit_is_refused(typed: dict[str, str], sentence: str) -> None:
    text, credentials = send(stored(), **typed)
    assert sentence in text
    assert credentials == HUB.credentials


def test_a_renewed_certificate_of_the_same_key_needs_no_key() -> None:
    renewed = AUTHORITY.issue("hub", load_pem_private_key(HUB.key.encode(), None))
    _, credentials = send(stored(), client_certificate=renewed.certificate)
    assert credentials == renewed.credentials


def test_an_expired_certificate_is_refused() -> None:
    text, credentials = send(stored(), **EXPIRED.credentials)
    assert "The client certificate expired on" in text
    assert credentials == HUB.credentials


def test_a_stored_certificate_that_has_expired_does_not_block_other_changes() -> None:
    of = stored(EXPIRED)
    assert send(of, name="Renamed")[1] == EXPIRED.credentials
    assert of.name == "Renamed"


def test_another_origin_removes_certificate_and_key() -> None:
    assert send(stored(), base_url="https://elsewhere.example.com/")[1] is None


def test_a_certificate_alone_is_stored_with_a_warning() -> None:
    text, credentials = send(connection(), client_certificate=HUB.certificate)
    assert credentials == {"client_certificate": HUB.certificate}
    assert "Missing credentials: Private key of the client certificate" in text


def test_a_certificate_that_the_authentication_does_not_use_is_refused() -> None:
    of = connection()
    form = connection_form(of, **HUB.credentials)
    page = save(browser("administrator"), f"/admin/sync/connection/{of.pk}/change/", form)
    assert "The authentication selected above does not use this." in visible_text(page)


def test_http_is_refused() -> None:
    text, _ = send(connection(), base_url="http://id.example.com/", **HUB.credentials)
    assert "A client certificate needs addresses that begin with https://." in text
