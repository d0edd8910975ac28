"""Logins and roles in the console: the list, new people, passwords, and links back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from console.people.admin import PersonAdmin
from tests.support.people import browser, entries, person

pytestmark = pytest.mark.django_db

PEOPLE = "/admin/auth/user/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}


def rows(page: str) -> list[str]:
    return page.partition("<tbody>")[2].split("<tr>")[1:]


def test_the_list_shows_roles_and_disabled_logins() -> None:
    person("support", "anna")
    eva = person("auditor", "eva")
    User.objects.filter(pk=eva.pk).update(
        is_active=False, last_login=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    )
    anna, former, root = rows(browser().get(PEOPLE).content.decode())
    assert "support" in anna
    assert "Active" in anna
    assert "never" in anna
    assert "Disabled" in former
    assert "2026-01-02 03:04:05 UTC" in former
    assert "everything" in root


def test_the_list_costs_the_same_statements_for_two_people_and_for_twenty() -> None:
    client, costs = browser(), []
    for number in range(20):
        person("support", f"p{number}")
        if number in (1, 19):
            with CaptureQueriesContext(connection) as queries:
                client.get(PEOPLE)
            costs.append(len(queries))
    assert costs[0] == costs[1]


def test_a_new_person_may_open_the_console_and_has_the_chosen_roles() -> None:
    client, role = browser(), person("support", "anna").groups.get()
    form = {"username": "eva", "first_name": "Eva", "groups": [role.pk], **PASSWORD}
    assert client.post(f"{PEOPLE}add/", form).status_code == 302
    eva = User.objects.get(username="eva")
    assert (eva.is_staff, eva.is_superuser, eva.first_name) == (True, False, "Eva")
    assert eva.check_password(PASSWORD["password1"])
    assert list(eva.groups.all()) == [role]
    assert len(entries("person.created")) == 1


def test_a_change_leaves_the_password_which_has_its_own_page() -> None:
    anna, client = person("support", "anna"), browser()
    anna.set_password("correct horse battery")
    anna.save()
    page = client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    assert 'href="../password/"' in page
    assert anna.password not in page
    assert "pbkdf2" not in page
    form = {"username": "anna", "is_active": "on", "is_staff": "on", "last_name": "Aalto"}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form).status_code == 302
    anna.refresh_from_db()
    assert (anna.last_name, anna.check_password("correct horse battery")) == ("Aalto", True)
    assert client.post(f"{PEOPLE}{anna.pk}/password/", PASSWORD).status_code == 302
    anna.refresh_from_db()
    assert anna.check_password(PASSWORD["password1"])


@pytest.mark.parametrize("path", [PEOPLE, "/admin/auth/group/"])
def test_permissions_of_tables_without_a_page_are_not_offered(path: str) -> None:
    anna = person("support", "anna")
    pk = anna.pk if path == PEOPLE else anna.groups.get().pk
    form = browser().get(f"{path}{pk}/change/").context["adminform"].form
    offered = form.fields["user_permissions" if path == PEOPLE else "permissions"].queryset
    assert set(offered.values_list("content_type__app_label", flat=True)).isdisjoint(
        {"admin", "contenttypes", "sessions"}
    )
    assert offered.filter(codename="replay_event").exists()
    assert Permission.objects.filter(content_type__app_label="sessions").exists()


@pytest.mark.parametrize("path", [PEOPLE, "/admin/auth/group/"])
def test_a_form_leaves_permissions_that_it_does_not_offer(path: str) -> None:
    anna = person("support", "anna")
    hidden = Permission.objects.get(codename="view_session")
    row, form = (anna, {"username": "anna", "is_active": "on", "is_staff": "on"})
    if path != PEOPLE:
        row, form = anna.groups.get(), {"name": "support"}
    held = row.user_permissions if path == PEOPLE else row.permissions
    held.add(hidden, Permission.objects.get(codename="replay_event"))
    assert browser().post(f"{path}{row.pk}/change/", form).status_code == 302
    assert list(held.all()) == [hidden]


@pytest.mark.parametrize(
    ("page", "back"),
    [
        ("auth/user/add/", "/admin/auth/user/"),
        ("auth/user/{pk}/change/", "/admin/auth/user/"),
        ("auth/user/{pk}/password/", "/admin/auth/user/{pk}/change/"),
        ("auth/user/{pk}/delete/", "/admin/auth/user/{pk}/change/"),
        ("auth/group/add/", "/admin/auth/group/"),
        ("password_change/", "/admin/"),
    ],
)
def test_each_page_of_django_has_the_menu_and_a_way_back(page: str, back: str) -> None:
    anna, client = person("support", "anna"), browser()
    shown = client.get(f"/admin/{page.format(pk=anna.pk)}").content.decode()
    assert 'id="console-nav"' in shown
    assert f'<a href="{back.format(pk=anna.pk)}">← ' in shown
    assert "Authentication and Authorization" not in shown


def test_a_login_is_deleted_after_a_confirmation() -> None:
    anna, client = person("support", "anna"), browser()
    page = client.get(f"{PEOPLE}{anna.pk}/delete/").content.decode()
    assert "Delete anna</button>" in page
    assert User.objects.filter(pk=anna.pk).exists()
    assert client.post(f"{PEOPLE}{anna.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=anna.pk).exists()
    assert len(entries("person.deleted")) == 1


def administrator(name: str) -> tuple[User, Client, dict[str, Any]]:
    """Return a person with this role alone, their client, and the form of their own login."""
    client = browser("administrator", name)
    own = User.objects.get(username=name)
    form = {"username": name, "is_active": "on", "is_staff": "on", "groups": [own.groups.get().pk]}
    return own, client, form


@pytest.mark.parametrize("field", ["is_active", "is_staff", "groups"])
def test_no_person_removes_their_own_access_even_together_with_others(field: str) -> None:
    administrator("eva")
    anna, client, form = administrator("anna")
    del form[field]
    answer = client.post(f"{PEOPLE}{anna.pk}/change/", form)
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == [field]
    assert "You cannot remove this from yourself" in answer.content.decode()
    anna.refresh_from_db()
    assert (anna.is_active, anna.is_staff, anna.groups.count()) == (True, True, 1)


@pytest.mark.parametrize("kept", ["is_superuser", "user_permissions", "groups"])
def test_any_one_permission_to_change_people_is_enough(kept: str) -> None:
    anna, client, form = administrator("anna")
    permission = Permission.objects.get(codename="change_user")
    anna.is_superuser = True
    anna.save()
    anna.user_permissions.add(permission)
    ways = {"is_superuser": "on", "user_permissions": [permission.pk], "groups": form.pop("groups")}
    assert client.post(f"{PEOPLE}{anna.pk}/change/", form | {kept: ways[kept]}).status_code == 302
    anna.refresh_from_db()
    assert anna.is_superuser is (kept == "is_superuser")


@pytest.mark.parametrize("field", ["is_active", "is_staff", "is_superuser"])
def test_the_last_person_who_may_change_people_keeps_the_access(field: str) -> None:
    root = person()
    eva = person("administrator", "eva")
    values = {"username": "root", "is_active": True, "is_staff": True, "is_superuser": True}

    def errors() -> dict[str, Any]:
        form = PersonAdmin(User, admin.site).get_form(request, root, change=True)(
            {**values, field: False}, instance=User.objects.get(pk=root.pk)
        )
        return dict(form.errors)

    request = RequestFactory().post("/")
    request.user = User.objects.create_user("whoever", is_superuser=True)
    assert errors() == {}, "Eva may change people too"
    User.objects.filter(pk=eva.pk).update(is_active=False)
    (message,) = errors().values()
    assert "This would leave no one who can manage users" in str(message)


def test_access_of_other_people_is_removed_and_given() -> None:
    anna, _, form = administrator("anna")
    client = browser()
    for values, active in (({"username": "anna"}, False), (form, True)):
        assert client.post(f"{PEOPLE}{anna.pk}/change/", values).status_code == 302
        anna.refresh_from_db()
        assert anna.is_active is active


def test_ones_own_login_cannot_be_deleted() -> None:
    anna, client, _ = administrator("anna")
    assert f"{PEOPLE}{anna.pk}/delete/" not in client.get(f"{PEOPLE}{anna.pk}/change/").content.decode()
    assert client.post(f"{PEOPLE}{anna.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=anna.pk).exists()


def test_ones_own_role_with_the_permission_to_change_people_cannot_be_removed() -> None:
    anna, client, _ = administrator("anna")
    role = anna.groups.get()
    address = f"/admin/auth/group/{role.pk}/"
    answer = client.post(f"{address}change/", {"name": role.name, "permissions": []})
    assert answer.status_code == 200
    assert "You cannot remove this from yourself" in answer.content.decode()
    assert client.post(f"{address}delete/", {"post": "yes"}).status_code == 403
    assert role.permissions.filter(codename="change_user").exists()
    anna.user_permissions.add(Permission.objects.get(codename="change_user"))
    permissions = [Permission.objects.get(codename="change_group").pk]
    assert (
        client.post(f"{address}change/", {"name": role.name, "permissions": permissions}).status_code == 302
    )
    assert browser().post(f"{address}delete/", {"post": "yes"}).status_code == 302


def test_a_person_who_may_change_roles_cannot_remove_it_from_the_last_one() -> None:
    anna, _, _ = administrator("anna")
    role = anna.groups.get()
    client = browser("support", "eva")
    User.objects.get(username="eva").user_permissions.add(Permission.objects.get(codename="change_group"))
    form = {"name": role.name, "permissions": []}
    assert client.post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 403
    assert role.permissions.filter(codename="change_user").exists()
    person(name="root")
    assert client.post(f"/admin/auth/group/{role.pk}/change/", form).status_code == 302
