"""Secrets of sources: shown once, ended in time, never more than three, encrypted anew."""

import base64
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.test.utils import override_settings
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from database.encryption.at_rest import EncryptedJSONField, decrypt
from exports.jobs.lifecycle import request_export
from exports.models import Export
from exports.subject_register import decrypt_register_key
from integration_hub.key_rotation import ENCRYPTED_COLUMNS
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import Connection
from sync.search.event_filter import resolve_filter
from tests.support.builders.settings_rows import STORED, TYPED, a_signed_source, connection
from tests.support.hub import new_sealing_key
from tests.support.people import browser, entries
from webhooks.models import Payload, Pepper, Source, SourceSecret, subject_key

pytestmark = pytest.mark.django_db


def rotated(client: Client, of: Source, **form: Any) -> str:
    """Rotate a secret. Returns the page that follows."""
    address = reverse("admin:webhooks_source_rotate", args=[of.pk])
    newest = client.get(address).context["form"].initial["newest"]
    typed = {"typed": "", "hours": "24", "newest": newest, "reason": "once a year"}
    return client.post(address, typed | form).content.decode()


def test_a_generated_secret_is_shown_once() -> None:
    of, client = a_signed_source(), browser("administrator")
    shown = re.search(r'id="new-secret">(whsec_[^<]+)<', rotated(client, of))
    assert shown
    secret = SourceSecret.objects.get()
    assert secret.value == shown[1]
    for address in (f"/admin/webhooks/source/{of.pk}/change/", f"/admin/webhooks/source/{of.pk}/rotate/"):
        page = client.get(address).content.decode()
        assert shown[1] not in page
    assert f"…{shown[1][-4:]}" in client.get(f"/admin/webhooks/source/{of.pk}/change/").content.decode()
    assert not Entry.objects.filter(details__contains=shown[1][-12:]).exists()
    assert entries("secret.added")[0]["details"]["secret"] == secret.pk


def test_a_typed_secret_is_stored_and_not_shown() -> None:
    of = a_signed_source()
    assert TYPED not in rotated(browser("administrator"), of, typed=TYPED)
    assert SourceSecret.objects.get().value == TYPED


def test_a_secret_that_can_be_guessed_is_not_stored() -> None:
    of = a_signed_source()
    typed = "whsec_" + base64.b64encode(b"my-webhook-secret-of-2026").decode()
    page = rotated(browser("administrator"), of, typed=typed)
    assert "The secret can be guessed." in page
    assert typed not in page
    assert not of.secrets.exists()


def test_a_weak_secret_is_refused_without_repeating_it() -> None:
    page = rotated(browser("administrator"), a_signed_source(), typed="c2hvcnQtc2VjcmV0")
    assert "c2hvcnQtc2VjcmV0" not in page
    assert not SourceSecret.objects.exists()


@pytest.mark.parametrize("hours", [0, 72])
def test_the_old_secret_ends_at_the_chosen_time(hours: int) -> None:
    of = a_signed_source()
    old = SourceSecret.objects.create(source=of, value=TYPED, hint="GKYq")
    begun = timezone.now()
    rotated(browser("administrator"), of, hours=hours)
    old.refresh_from_db()
    assert old.ends_at is not None
    assert begun <= old.ends_at - timedelta(hours=hours) <= timezone.now()
    assert SourceSecret.objects.get(ends_at=None).value != TYPED


def test_a_fourth_live_secret_is_refused_and_nothing_is_changed() -> None:
    of, client = a_signed_source(), browser("administrator")
    for _ in range(3):
        rotated(client, of, hours=72)
    rotated(client, of, newest=0)  # a form that was sent twice, or is old
    before = list(SourceSecret.objects.values_list("pk", "ends_at"))
    rotated(client, of, hours=72)
    assert list(SourceSecret.objects.values_list("pk", "ends_at")) == before
    assert len(entries("secret.added")) == 3


def test_a_secret_can_be_ended_at_once_after_a_confirmation() -> None:
    of, client = a_signed_source(), browser("administrator")
    secret = SourceSecret.objects.create(source=of, value=TYPED, hint="GKYq")
    address = reverse("admin:webhooks_source_end_secret", args=[of.pk, secret.pk])
    assert client.get(address).status_code == 200
    assert SourceSecret.objects.get().is_live(timezone.now())
    assert client.post(address).status_code == 200, "it needs a reason"
    assert SourceSecret.objects.get().is_live(timezone.now())
    client.post(address, {"reason": "it leaked"})
    client.post(address, {"reason": "it leaked"})
    assert not SourceSecret.objects.get().is_live(timezone.now())
    (ended,) = entries("secret.ended")
    assert ended["details"]["reason"] == "it leaked"


@pytest.mark.promise("T30")
def test_reencryption_uses_the_first_key_and_reports_the_number_of_values() -> None:
    secret = SourceSecret.objects.create(source=a_signed_source(), value=TYPED, hint="GKYq")
    of = connection()
    payload = Payload.new(Payload.Kind.WEBHOOK, b"personal", None)
    payload.save()
    export = request_export(
        resolve_filter({}, timezone.now()), by=None, reason="a key of an export is sealed too"
    )
    of_export = decrypt_register_key(export)
    key = subject_key(of.pk, "USER", "U1")
    theirs = Payload.new(Payload.Kind.WEBHOOK, b"theirs", key)
    theirs.save()
    seal_audit()
    fresh = new_sealing_key()
    with override_settings(SEALING_KEYS=[fresh, *settings.SEALING_KEYS]):
        call_command("reseal", stdout=StringIO())
    with override_settings(SEALING_KEYS=[fresh]):
        assert SourceSecret.objects.get(pk=secret.pk).value == TYPED
        assert Connection.objects.get(pk=of.pk).credentials == STORED
        assert decrypt(bytes(Payload.objects.get(pk=payload.pk).encrypted)) == b"personal"
        assert decrypt_register_key(Export.objects.get()) == of_export
        assert seal_audit() == 1, "the signing key is under it too"
        assert Payload.objects.get(pk=theirs.pk).decrypt() == b"theirs"
        assert decrypt(bytes(Pepper.objects.get().encrypted))
    (entry,) = entries("sealing.renewed")
    done = {"payloads": 1, "subject keys": 1, "pepper": 1, "secrets": 1, "credentials": 1, "signing keys": 1}
    unused = {"credentials of pair drafts": 0, "refresh tokens": 0}
    assert entry["details"] == done | unused | {"keys of exports": 1}
    assert bytes(Payload.objects.get(pk=theirs.pk).encrypted) == theirs.encrypted, (
        "no payload of a subject is touched"
    )


def test_each_encrypted_column_is_encrypted_again() -> None:
    """Holds for columns to come: one that is not listed is lost with its old key."""
    listed = {(column.model, column.field) for column in ENCRYPTED_COLUMNS}
    fields = ((model, field) for model in apps.get_models() for field in model._meta.concrete_fields)
    encrypted = {(model, field.name) for model, field in fields if isinstance(field, EncryptedJSONField)}
    assert encrypted <= listed


def test_reencryption_names_the_row_that_cannot_be_decrypted() -> None:
    of = connection()
    Connection.objects.update(base_url="https://evil.example.net/")
    with pytest.raises(CommandError, match=rf"credentials: row {of.pk} \({of.name}\): .*enter it again"):
        call_command("reseal", stdout=StringIO())
    Connection.objects.update(base_url=of.base_url)
    call_command("reseal", stdout=StringIO())
    assert Connection.objects.get().credentials == STORED
