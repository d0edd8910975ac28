"""The overseen cannot remove the overseer: no form takes the right to read the audit log from a person without a reason
and a second person, by whatever way the person has it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone

from logins.models import AccessRequest
from logins.overseers import log_readers
from tests.support.pages import text_of
from tests.support.people import browser, entries, let_set_password, person
from tests.support.rows import in_submission

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE, ROLES, REQUESTS = "/admin/auth/user/", "/admin/auth/group/", "/admin/logins/accessrequest/"
WHY = {"reason": "left the company"}
NEW_PASSWORD = "a staple that is new"


def permission() -> Permission:
    return Permission.objects.get(codename="view_entry")


def form_of(changed: User, **values: Any) -> dict[str, Any]:
    """Return the form of a person as it is, with these values. None clears a field."""
    stored = {"username": changed.username, "is_active": "on", "is_staff": "on"}
    stored["groups"] = list(changed.groups.values_list("pk", flat=True))
    return {name: value for name, value in (stored | values).items() if value is not None}


def submit(client: Client, changed: User, **values: Any) -> Any:
    return client.post(f"{PEOPLE}{changed.pk}/change/", form_of(changed, **values))


def approve(name: str) -> str:
    """Approve the only request as this person. Returns the page before and after."""
    client, page = Client(), f"{REQUESTS}{AccessRequest.objects.get().pk}/change/"
    client.force_login(User.objects.get(username=name))
    shown = text_of(client.get(page))
    return shown + text_of(client.post(page, {"approve": "yes"}, follow=True))


def reads(person: User) -> bool:
    return log_readers().filter(pk=person.pk).exists()


def with_a_role_of_ones_own() -> User:
    anna, role = person("support", "anna"), Group.objects.create(name="watch")
    role.permissions.add(permission())
    anna.groups.add(role)
    return anna


def with_a_permission_of_ones_own() -> User:
    anna = person("support", "anna")
    anna.user_permissions.add(permission())
    return anna


READERS: dict[str, Callable[[], User]] = {
    "auditor": lambda: person("auditor", "anna"),
    "administrator": lambda: person("administrator", "anna"),
    "own role": with_a_role_of_ones_own,
    "own permission": with_a_permission_of_ones_own,
    "superuser": lambda: person(name="anna"),
}
WAYS: dict[str, dict[str, Any]] = {
    "disabled": {"is_active": None},
    "no console": {"is_staff": None},
    "no role": {"groups": []},
}
# Whoever has the right without a role cannot lose it by one.
CASES = [
    (editor, reader, way)
    for editor in ("administrator", "")
    for reader in READERS
    for way in WAYS
    if (reader, editor) != ("superuser", "administrator")
    and (way != "no role" or reader not in ("own permission", "superuser"))
]


@pytest.mark.parametrize("case", in_submission(CASES, but=[("administrator", "auditor", "disabled")]))
def test_the_right_to_read_the_log_is_taken_by_two_people_with_a_reason(case: tuple[str, str, str]) -> None:
    editor, reader, way = case
    anna, first = READERS[reader](), browser(editor, "first")
    person("administrator", "second")
    answer = submit(first, anna, **WAYS[way])
    assert "reason" in answer.context["adminform"].form.errors
    assert not AccessRequest.objects.exists()
    assert submit(first, anna, last_name="Aalto", **WAYS[way], **WHY).status_code == 302
    anna.refresh_from_db()
    assert (reads(anna), anna.last_name) == (True, "Aalto"), "the rest of the form is saved"
    approve("first")
    approve("anna")
    assert reads(anna), "neither the requester nor the person approves"
    assert WHY["reason"] in approve("second")
    assert not reads(anna)
    [asked], [approved] = entries("access.requested"), entries("access.approved")
    assert (asked["details"]["reason"], approved["details"]["reason"]) == (WHY["reason"], WHY["reason"])
    assert entries("person.changed")[-1]["actor"] == approved["actor"] != asked["actor"]


@pytest.mark.parametrize("editor", in_submission(["", "administrator"], but=[""]))
def test_the_password_of_a_reader_is_set_once_after_two_people_agreed_on_it(editor: str) -> None:
    """Whoever sets it can log in with it, and so act as the one who watches."""
    first, anna = browser(editor, "first"), person("administrator", "anna")
    person("administrator", "second")
    page, new = f"{PEOPLE}{anna.pk}/password/", {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}

    def is_set() -> bool:
        return bool(User.objects.get(pk=anna.pk).check_password(NEW_PASSWORD))

    for form in (new, new | {"reason": ""}):
        assert "a second person must approve" in text_of(first.post(page, form))
    assert not AccessRequest.objects.exists()
    assert first.post(page, new | WHY).status_code == 302
    approve("first")
    approve("anna")
    first.post(page, new)
    assert not is_set(), "neither the requester nor the person approves"
    assert WHY["reason"] in approve("second")
    browser(editor, "third").post(page, new)
    assert not is_set(), "only the requester sets it"
    assert first.post(page, new).status_code == 302
    assert is_set()
    assert AccessRequest.objects.get().state == "used"
    again = dict.fromkeys(new, f"{NEW_PASSWORD} again")
    assert "a second person must approve" in text_of(first.post(page, again))
    assert is_set()
    assert len(entries("person.password-changed")) == 1


@pytest.mark.submission
def test_an_approved_password_is_set_within_a_day() -> None:
    first, anna = browser("", "first"), person("auditor", "anna")
    let_set_password(User.objects.get(username="first"), anna)
    AccessRequest.objects.update(decided_at=timezone.now() - timedelta(hours=25))
    page = first.get(f"{PEOPLE}{anna.pk}/password/")
    assert "a second person must approve" in text_of(page)


def test_what_leaves_the_right_is_changed_alone() -> None:
    """A role besides another, and the login of a person who cannot read the log."""
    client, olli = browser("administrator"), person("auditor+support", "olli")
    auditor, support = Group.objects.get(name="auditor"), Group.objects.get(name="support")
    assert submit(client, olli, groups=[auditor.pk]).status_code == 302
    assert set(olli.groups.all()) == {auditor}
    sara = person("support", "sara")
    assert submit(client, sara, is_active=None, groups=[support.pk]).status_code == 302
    assert not User.objects.get(pk=sara.pk).is_active
    assert not AccessRequest.objects.exists()
    assert "id_reason" not in client.get(f"{PEOPLE}{sara.pk}/change/").content.decode()


def test_a_role_that_was_only_requested_does_not_replace_the_one_that_is_taken() -> None:
    """An administrator cannot give `auditor` alone, so exchanging another role for it would take the right."""
    anna, client = with_a_role_of_ones_own(), browser("administrator")
    assert submit(client, anna, groups=[Group.objects.get(name="auditor").pk], **WHY).status_code == 302
    assert reads(anna)
    changes = AccessRequest.objects.order_by("pk").values_list("change", "role_name")
    assert list(changes) == [("give", "auditor"), ("take-role", "watch")]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("editor", ["administrator", ""])
@pytest.mark.parametrize("is_active", [True, False])
def test_a_role_by_which_people_read_the_log_keeps_that_permission(editor: str, is_active: bool) -> None:
    anna, client = with_a_role_of_ones_own(), browser(editor, "eva")
    User.objects.filter(pk=anna.pk).update(is_active=is_active)
    role = Group.objects.get(name="watch")
    answer = client.post(f"{ROLES}{role.pk}/change/", {"name": "watch", "permissions": []})
    assert "from anna" in str(answer.context["adminform"].form.errors)
    assert "because of this role alone" in text_of(client.post(f"{ROLES}{role.pk}/delete/", {"post": "yes"}))
    assert role.permissions.filter(codename="view_entry").exists()
    anna.groups.add(Group.objects.get(name="auditor"))
    assert client.post(f"{ROLES}{role.pk}/change/", {"name": "watch", "permissions": []}).status_code == 302
    assert client.post(f"{ROLES}{role.pk}/delete/", {"post": "yes"}).status_code == 302


@pytest.mark.submission_rows(1)
@pytest.mark.parametrize("name", ["support", "auditor", "administrator"])
def test_a_built_in_role_keeps_its_name_and_its_core_and_is_never_deleted(name: str) -> None:
    role, client = Group.objects.get(name=name), browser()
    page = f"{ROLES}{role.pk}/"
    extra = Permission.objects.get(codename="view_contents")
    assert client.post(f"{page}change/", {"name": "x", "permissions": [extra.pk]}).status_code == 302
    role.refresh_from_db()
    kept = set(role.permissions.values_list("codename", flat=True))
    assert role.name == name
    assert {"view_contents", "view_event" if name == "support" else "view_entry"} <= kept
    assert ("snooze_alarm" in kept) is False, "what is not core can be taken"
    assert "This role is built in" in text_of(client.post(f"{page}delete/", {"post": "yes"}))
    assert "Delete…" not in text_of(client.get(f"{page}change/"))
    client.post(ROLES, {"action": "delete_selected", "_selected_action": [role.pk], "post": "yes"})
    for delete in (role.delete, Group.objects.filter(pk=role.pk).delete):
        with pytest.raises(ProtectedError), transaction.atomic():
            delete()
    assert Group.objects.filter(name=name).exists()


def test_no_form_leaves_a_person_without_a_password() -> None:
    """Django's page would: nothing else lets a person log in here."""
    anna, client = person("auditor", "anna"), browser()
    anna.set_password("correct horse battery")
    anna.save()
    let_set_password(User.objects.get(is_superuser=True), anna)
    client.post(f"{PEOPLE}{anna.pk}/password/", {"usable_password": "false", "unset-password": "1"})
    assert User.objects.get(pk=anna.pk).check_password("correct horse battery")
