"""A secret that verifies nothing any more is not decrypted, so a damaged one breaks no source."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from database.encryption import at_rest
from webhooks.models import Event, Source, SourceSecret
from webhooks.receiving.source_cache import find_source

CLIENT = Client(raise_request_exception=False)
PASSWORD = "a-password-of-the-sender"
BODY = {"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"}


@pytest.fixture
def source(database: None) -> Source:
    return Source.objects.create(slug="devices", name="Devices", scheme="none")


def add_damaged_secret(source: Source, **values: Any) -> SourceSecret:
    secret = SourceSecret.objects.create(source=source, value=PASSWORD, hint="nder", **values)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE webhooks_sourcesecret SET value = %s WHERE id = %s", [b"damaged", secret.pk])
    find_source.invalidate()
    return SourceSecret.objects.get(pk=secret.pk)


def send(**headers: str) -> int:
    return CLIENT.post(
        "/webhooks/devices", BODY, content_type="application/json", headers=headers
    ).status_code


def test_a_source_without_verification_needs_no_leftover_secret(source: Source) -> None:
    add_damaged_secret(source)
    assert send() in (200, 202)
    assert Event.objects.count() == 1


@pytest.mark.parametrize("is_expired", [True, False])
def test_an_expired_secret_is_not_decrypted(source: Source, is_expired: bool) -> None:
    source.scheme = "bearer"
    source.save()
    SourceSecret.objects.create(source=source, value=PASSWORD, hint="nder")
    end = timezone.now() + timedelta(hours=-1 if is_expired else 1)
    add_damaged_secret(source, ends_at=end)
    # One that is live may be of a key of SEALING_KEYS that this process does not have yet.
    assert send(Authorization=f"Bearer {PASSWORD}") in ((200, 202) if is_expired else (503,))


def test_a_lazy_value_is_decrypted_once_and_saved_again(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SourceSecret.objects.create(source=source, value=PASSWORD, hint="nder").pk
    count, decrypt = 0, at_rest.decrypt

    def decrypt_counted(*encrypted: bytes) -> bytes:
        nonlocal count
        count += 1
        return decrypt(*encrypted)

    monkeypatch.setattr(at_rest, "decrypt", decrypt_counted)
    secret = SourceSecret.objects.get(pk=key)
    assert count == 0
    assert [secret.value, secret.value, count] == [PASSWORD, PASSWORD, 1]
    secret.value = "another-password-of-it"
    secret.save()
    assert SourceSecret.objects.defer("value").get(pk=key).value == "another-password-of-it"
