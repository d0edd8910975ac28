"""Keys of subjects: one for each, which encrypts all stored data of the subject."""

from collections import Counter

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test.utils import override_settings
from django.utils import timezone

from database.encryption.at_rest import CannotDecrypt
from tests.support.hub import ANNA, EXAMPLE, Hub, new_sealing_key
from webhooks.models import Event, Payload, SubjectKey, pseudonym, subject_key


@pytest.mark.promise("I19", "T30")
def test_all_stored_data_of_a_webhook_are_lost_with_the_key_of_its_subject(hub: Hub) -> None:
    hub.change_email("anna.sealed@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    source = Event.objects.get().source_id
    (key,) = SubjectKey.objects.all()
    assert key.pseudonym == pseudonym(source, "USER", ANNA)
    kinds = Counter(Payload.objects.filter(subject=key).values_list("kind", flat=True))
    assert kinds == {"webhook": 1, "answer": 1, "findings": 1, "request": 1, "response": 1}
    assert not Payload.objects.filter(subject=None).exists()
    assert any(b"anna.sealed@example.com" in payload.decrypt() for payload in Payload.objects.all())
    SubjectKey.objects.update(wrapped=None, destroyed_at=timezone.now())
    for payload in Payload.objects.all():
        with pytest.raises(CannotDecrypt):
            payload.decrypt()


@pytest.mark.submission
def test_the_same_entity_has_one_key_at_a_source_and_another_at_another(hub: Hub) -> None:
    for _ in range(2):
        hub.post_signed(EXAMPLE)
        hub.post(EXAMPLE)
    hub.wait_until_quiet()
    assert SubjectKey.objects.count() == 2
    for event in Event.objects.select_related("payload__subject"):
        assert event.payload is not None
        assert event.payload.subject is not None
        assert event.payload.subject.pseudonym == pseudonym(event.source_id, "USER", ANNA)


@pytest.mark.django_db
def test_pseudonyms_and_encrypted_data_survive_a_key_rotation() -> None:
    key = subject_key(1, "USER", ANNA)
    sealed, name = key.encryptor.encrypt(b"personal"), key.pseudonym
    fresh = new_sealing_key()
    with override_settings(SEALING_KEYS=[fresh, *settings.SEALING_KEYS]):
        call_command("reseal")
    with override_settings(SEALING_KEYS=[fresh]):
        again = subject_key(1, "USER", ANNA)
        assert (again.pk, again.pseudonym) == (key.pk, name)
        assert again.decrypt(sealed) == b"personal"


@pytest.mark.django_db
def test_pseudonyms_differ_for_sources_types_and_ids() -> None:
    named = [(1, "USER", "23"), (1, "USER2", "3"), (12, "USER", "3"), (2, "USER", "23"), (1, "GROUP", "23")]
    assert len({pseudonym(*subject) for subject in named}) == len(named)


@pytest.mark.django_db
def test_an_entity_that_returns_after_its_key_was_destroyed_gets_a_new_one() -> None:
    first = subject_key(1, "USER", ANNA)
    SubjectKey.objects.update(wrapped=None, destroyed_at=timezone.now())
    second = subject_key(1, "USER", ANNA)
    assert second.pk != first.pk
    with pytest.raises(CannotDecrypt):
        second.decrypt(first.encryptor.encrypt(b"personal"))
