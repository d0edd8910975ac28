"""Nobody changes their own access, and no form of the console makes a superuser."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User

from logins.models import AccessRequest
from tests.support.people import browser, entries, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

PEOPLE = "/admin/auth/user/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}
EVERYTHING: dict[str, Any] = {"is_active": "on", "is_staff": "on", "is_superuser": "on"}


def every_permission() -> list[int]:
    without_page = ("admin", "contenttypes", "sessions")
    offered = Permission.objects.exclude(content_type__app_label__in=without_page)
    return list(offered.values_list("pk", flat=True))


def every_role() -> list[int]:
    return list(Group.objects.values_list("pk", flat=True))


def access_of(person: User) -> tuple[bool, bool, bool, set[int], set[int]]:
    fresh = User.objects.get(pk=person.pk)
    groups, permissions = (
        set(rows.values_list("pk", flat=True)) for rows in (fresh.groups, fresh.user_permissions)
    )
    return fresh.is_active, fresh.is_staff, fresh.is_superuser, groups, permissions


@pytest.mark.parametrize("role", ["administrator", ""])
@pytest.mark.parametrize("flags", [EVERYTHING, {}], ids=["more", "less"])
def test_a_person_changes_their_own_names_and_nothing_of_their_access(
    role: str, flags: dict[str, Any]
) -> None:
    client = browser(role, "anna")
    anna = User.objects.get(username="anna")
    before = access_of(anna)
    form = flags | ({"groups": every_role(), "user_permissions": every_permission()} if flags else {})
    form |= {"username": "anna", "last_name": "Aalto"}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form).status_code == 302
    assert access_of(anna) == before
    anna.refresh_from_db()
    assert anna.last_name == "Aalto"
    assert not AccessRequest.objects.exists()


def test_ones_own_password_is_changed_on_the_page_that_asks_for_the_old_one() -> None:
    client = browser("administrator", "anna")
    anna = User.objects.get(username="anna")
    answer = client.post(f"{PEOPLE}{anna.pk}/password/", PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/password_change/")
    assert not User.objects.get(pk=anna.pk).check_password(PASSWORD["password1"])
    anna.set_password("correct horse battery")
    anna.save()
    client.force_login(anna)
    form = {"old_password": "correct horse battery"}
    form |= {"new_password1": "a staple that is new", "new_password2": "a staple that is new"}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert User.objects.get(pk=anna.pk).check_password("a staple that is new")


@pytest.mark.parametrize("role", ["administrator", ""])
def test_no_form_makes_a_superuser_or_gives_permissions_without_a_role(role: str) -> None:
    client, anna = browser(role, "eva"), person("support", "anna")
    form = EVERYTHING | {"user_permissions": every_permission()}
    client.post(f"{PEOPLE}{anna.pk}/change/", form | {"username": "anna"})
    assert client.post(f"{PEOPLE}add/", form | {"username": "new", **PASSWORD}).status_code == 302
    for name in ("anna", "new"):
        changed = User.objects.get(username=name)
        assert (changed.is_superuser, list(changed.user_permissions.all())) == (False, [])
    for page in (f"{PEOPLE}{anna.pk}/change/", f"{PEOPLE}add/"):
        text = client.get(page).content.decode()
        assert 'name="is_superuser"' not in text
        assert 'name="user_permissions"' not in text


def test_permissions_that_no_role_gives_are_shown() -> None:
    anna = person("support", "anna")
    client = browser()
    assert "Can view erasure" not in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    anna.user_permissions.add(Permission.objects.get(codename="view_erasure"))
    assert "Can view erasure" in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()


@pytest.mark.parametrize("deed", ["change", "delete"])
def test_no_one_can_change_or_delete_a_role_that_they_hold(deed: str) -> None:
    client = browser("administrator", "anna")
    role = Group.objects.get(name="administrator")
    before = set(role.permissions.values_list("pk", flat=True))
    address = f"/admin/auth/group/{role.pk}/{deed}/"
    for permissions in (every_permission(), []):
        form = {"name": role.name, "permissions": permissions, "post": "yes"}
        assert client.post(address, form).status_code == 403
    assert set(role.permissions.values_list("pk", flat=True)) == before
    assert not entries("group.changed") + entries("group.deleted")
    form = {"name": role.name, "permissions": list(before)[1:]}
    assert browser().post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 302
