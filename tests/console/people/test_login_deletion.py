"""Logins are switched off, never deleted: the audit log has a name for each number."""

import pytest
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import ProtectedError

from console.models import SavedView
from logins.models import HeldPermission
from tests.support.pages import text_of
from tests.support.people import browser, entries, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE = "/admin/auth/user/"


@pytest.mark.parametrize("role", ["administrator", ""])
def test_no_page_or_action_can_delete_a_login(role: str) -> None:
    anna, client = person("support", "anna"), browser(role, "eva")
    User.objects.get(username="eva").user_permissions.add(Permission.objects.get(codename="delete_user"))
    assert "/delete/" not in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    assert client.get(f"{PEOPLE}{anna.pk}/delete/").status_code == 403
    assert client.post(f"{PEOPLE}{anna.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(PEOPLE, {"action": "delete_selected", "_selected_action": [anna.pk], "post": "yes"})
    assert User.objects.filter(pk=anna.pk).exists()
    assert not entries("person.deleted")


def test_the_orm_also_refuses_and_keeps_the_login() -> None:
    anna = person("support", "anna")
    SavedView.objects.create(person=anna, name="mine", is_shared=True)
    for delete in (anna.delete, User.objects.filter(pk=anna.pk).delete):
        with pytest.raises(ProtectedError), transaction.atomic():
            delete()
    assert User.objects.filter(pk=anna.pk).exists()
    assert SavedView.objects.count() == 1
    assert anna.groups.count() == 1
    assert HeldPermission.objects.filter(person=anna).exists()


def test_the_audit_log_names_a_person_who_was_switched_off_until_the_name_is_erased() -> None:
    anna, client = person("support", "anna"), browser()
    form = {"username": "anna", "is_staff": "on", "groups": [anna.groups.get().pk]}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form).status_code == 302
    assert not User.objects.get(pk=anna.pk).is_active
    log = "/admin/audit/entry/"
    assert "anna" in text_of(client.get(log))
    client.post(f"{PEOPLE}{anna.pk}/change/", form | {"username": f"former-{anna.pk}"})
    page = text_of(client.get(log))
    assert f"former-{anna.pk}" in page
    assert "anna" not in page
    assert "anna" not in "".join(str(entry) for entry in entries("person.changed"))
