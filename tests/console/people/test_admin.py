"""Logins and roles in the console: the list, new people, passwords, and links back."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import RequestFactory

from console.people.admin import PersonAdmin
from tests.support.people import browser, entries, person

pytestmark = pytest.mark.django_db

PEOPLE = "/admin/auth/user/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}


def test_a_new_person_may_open_the_console_and_has_the_chosen_roles() -> None:
    client, role = browser(), person("support", "anna").groups.get()
    form = {"username": "eva", "first_name": "Eva", "groups": [role.pk], **PASSWORD}
    assert client.post(f"{PEOPLE}add/", form).status_code == 302
    eva = User.objects.get(username="eva")
    assert (eva.is_staff, eva.is_superuser, eva.first_name) == (True, False, "Eva")
    assert eva.check_password(PASSWORD["password1"])
    assert list(eva.groups.all()) == [role]
    assert len(entries("person.created")) == 1


def test_saving_a_person_does_not_change_the_password() -> None:
    anna, client = person("support", "anna"), browser()
    page = client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    assert 'href="../password/">Set a password…</a>' in page
    anna.set_password("correct horse battery")
    anna.save()
    page = client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    assert 'href="../password/">Set a new password…</a>' in page
    assert anna.password not in page
    assert "pbkdf2" not in page
    form = {"username": "anna", "is_active": "on", "is_staff": "on", "last_name": "Aalto"}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form).status_code == 302
    anna.refresh_from_db()
    assert (anna.last_name, anna.check_password("correct horse battery")) == ("Aalto", True)
    assert client.post(f"{PEOPLE}{anna.pk}/password/", PASSWORD).status_code == 302
    anna.refresh_from_db()
    assert anna.check_password(PASSWORD["password1"])


def test_permissions_of_tables_without_a_page_are_not_offered() -> None:
    pk = Group.objects.get(name="support").pk
    form = browser().get(f"/admin/auth/group/{pk}/change/").context["adminform"].form
    offered = form.fields["permissions"].queryset
    assert set(offered.values_list("content_type__app_label", flat=True)).isdisjoint(
        {"admin", "contenttypes", "sessions"}
    )
    assert offered.filter(codename="replay_event").exists()
    assert Permission.objects.filter(content_type__app_label="sessions").exists()


@pytest.mark.parametrize("path", [PEOPLE, "/admin/auth/group/"])
def test_a_form_leaves_permissions_that_it_does_not_offer(path: str) -> None:
    anna = person("support", "anna")
    hidden, offered = (Permission.objects.get(codename=name) for name in ("view_session", "replay_event"))
    row, form = (anna, {"username": "anna", "is_active": "on", "is_staff": "on"})
    if path != PEOPLE:
        row, form = Group.objects.create(name="clerk"), {"name": "clerk"}
    held = row.user_permissions if path == PEOPLE else row.permissions
    held.add(hidden, offered)
    assert browser().post(f"{path}{row.pk}/change/", form).status_code == 302
    assert set(held.all()) == ({hidden, offered} if path == PEOPLE else {hidden})


def manager(name: str) -> tuple[User, dict[str, Any]]:
    """Return a person who manages people and may not read the audit log, and the form of their login."""
    own = person("support", name)
    role = Group.objects.create(name="people")
    role.permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    own.groups.set([role])
    form = {"username": name, "is_active": "on", "is_staff": "on", "groups": [role.pk]}
    return own, form


def errors_of(changed: User, values: dict[str, Any]) -> dict[str, Any]:
    """Return what the form of a person says to values that another person typed."""
    request = RequestFactory().post("/")
    request.user = User.objects.create_user("whoever", is_superuser=True)
    form_class = PersonAdmin(User, admin.site).get_form(request, changed, change=True)
    form = form_class(values, instance=User.objects.get(pk=changed.pk))
    return dict(form.errors)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("kept", ["is_superuser", "user_permissions", "groups", ""])
def test_any_one_permission_to_change_people_is_enough(kept: str) -> None:
    anna, form = manager("anna")
    if kept != "groups":
        del form["groups"]
    if kept == "user_permissions":
        anna.user_permissions.add(Permission.objects.get(codename="change_user"))
    User.objects.filter(pk=anna.pk).update(is_superuser=kept == "is_superuser")
    assert list(errors_of(anna, form)) == ([] if kept else ["groups"])


@pytest.mark.parametrize("field", ["is_active", "is_staff"])
@pytest.mark.parametrize("is_last", [True, False])
def test_the_last_person_who_may_change_people_keeps_the_access(field: str, is_last: bool) -> None:
    anna, form = manager("anna")
    if not is_last:
        person("administrator", "eva")
    errors = errors_of(anna, form | {field: False})
    assert list(errors) == ([field] if is_last else [])


@pytest.mark.submission
def test_a_person_who_may_change_roles_cannot_remove_it_from_the_last_one() -> None:
    role = manager("anna")[0].groups.get()
    client = browser("support", "eva")
    User.objects.get(username="eva").user_permissions.add(Permission.objects.get(codename="change_group"))
    form = {"name": role.name, "permissions": []}
    assert client.post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 403
    assert role.permissions.filter(codename="change_user").exists()
    person(name="root")
    assert client.post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 302
