"""Access that its requester could not give alone: requested by the forms, decided by a second administrator."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from logins import access_requests
from logins.models import AccessRequest, HeldPermission
from tests.support.pages import text_of
from tests.support.people import browser, entries
from tests.support.rows import in_submission

pytestmark = pytest.mark.django_db

PEOPLE = "/admin/auth/user/"
ROLES = "/admin/auth/group/"
REQUESTS = "/admin/logins/accessrequest/"
PASSWORD = {"password1": "a staple that is new", "password2": "a staple that is new"}


def role(name: str) -> Group:
    return Group.objects.get(name=name)


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


def give_role(client: Client, changed: User, *names: str) -> Any:
    form = {"username": changed.username, "is_active": "on", "is_staff": "on"}
    form["groups"] = [role(name).pk for name in names]
    return client.post(f"{PEOPLE}{changed.pk}/change/", form, follow=True)


def page_of(row: AccessRequest) -> str:
    return f"{REQUESTS}{row.pk}/change/"


def roles_of(person: User) -> set[str]:
    return set(person.groups.values_list("name", flat=True))


@pytest.fixture
def clerk() -> Group:
    """A role whose permissions every administrator has, and which nobody holds."""
    clerk = Group.objects.create(name="clerk")
    clerk.permissions.add(permission("view_event"))
    return clerk


@pytest.mark.submission
def test_a_role_that_gives_nothing_new_is_given_at_once(clerk: Group) -> None:
    client, eva = browser("administrator", "anna"), User.objects.create_user("eva")
    give_role(client, eva, "clerk", "administrator")
    assert roles_of(eva) == {"clerk", "administrator"}
    give_role(browser(), eva, "support", "auditor")
    assert roles_of(eva) == {"support", "auditor"}, "a superuser gives every role alone"
    assert not AccessRequest.objects.exists()


def test_a_role_with_more_permissions_waits_for_a_second_administrator(clerk: Group) -> None:
    first, second = browser("administrator", "first"), browser("administrator", "second")
    eva = User.objects.create_user("eva")
    give_role(first, eva, "clerk", "support")
    assert roles_of(eva) == {"clerk"}
    row = AccessRequest.objects.get()
    assert "Role “support” for eva" in text_of(second.get(REQUESTS))
    second.post(page_of(row), {"approve": "yes"})
    assert roles_of(eva) == {"clerk", "support"}
    [asked], [approved] = entries("access.requested"), entries("access.approved")
    names = [f"person:{User.objects.get(username=name).pk}" for name in ("first", "second")]
    assert [asked["actor"], approved["actor"]] == names
    assert approved["details"]["requested_by"] == names[0]
    changed = entries("person.changed")[-1]
    assert changed["details"]["after"] == {"groups": sorted([clerk.pk, role("support").pk])}


def test_a_role_that_needs_approval_is_added_to_a_new_person_later() -> None:
    client = browser("administrator", "anna")
    form = {"username": "eva", "groups": [role("auditor").pk, role("administrator").pk], **PASSWORD}
    assert client.post(f"{PEOPLE}add/", form).status_code == 302
    assert roles_of(User.objects.get(username="eva")) == {"administrator"}
    row = AccessRequest.objects.get()
    assert (row.role, row.person) == (role("auditor"), User.objects.get(username="eva"))


@pytest.mark.parametrize("is_new", in_submission([True, False], but=[False]))
def test_a_role_gets_more_permissions_than_its_editor_has_by_a_second_administrator(
    clerk: Group, is_new: bool
) -> None:
    first, second = browser("administrator", "first"), browser("administrator", "second")
    chosen = [permission(name).pk for name in ("view_event", "replay_event", "view_contents")]
    address = f"{ROLES}add/" if is_new else f"{ROLES}{clerk.pk}/change/"
    name = "reader" if is_new else "clerk"
    assert first.post(address, {"name": name, "permissions": chosen}).status_code == 302
    held = role(name).permissions
    assert set(held.values_list("codename", flat=True)) == {"view_event", "replay_event"}
    row = AccessRequest.objects.get()
    assert row.permissions == ["webhooks.view_contents"]
    second.post(page_of(row), {"approve": "yes"})
    assert held.filter(codename="view_contents").exists()
    assert len(entries("group.changed")) == (1 if is_new else 2)


def test_a_permission_that_a_role_has_already_is_kept_without_a_request(clerk: Group) -> None:
    clerk.permissions.add(permission("view_contents"))
    chosen = [permission(name).pk for name in ("view_contents", "replay_event")]
    form = {"name": "clerk", "permissions": chosen}
    assert browser("administrator").post(f"{ROLES}{clerk.pk}/change/", form).status_code == 302
    assert set(clerk.permissions.values_list("pk", flat=True)) == set(chosen)
    assert not AccessRequest.objects.exists()


def request_support(*held: str) -> tuple[Client, AccessRequest]:
    """Request the role for Eva, who keeps the roles that she holds."""
    first = browser("administrator", "first")
    give_role(first, User.objects.get_or_create(username="eva")[0], "support", *held)
    return first, AccessRequest.objects.get()


def approve(client: Client, row: AccessRequest) -> str:
    """Approve on the page, whether or not it offers that. Returns the page before, and what followed."""
    shown = text_of(client.get(page_of(row)))
    return shown + text_of(client.post(page_of(row), {"approve": "yes"}, follow=True))


def test_the_requester_withdraws_and_does_not_approve() -> None:
    first, row = request_support()
    text = approve(first, row)
    assert "Approve</button>" not in text
    assert not roles_of(User.objects.get(username="eva"))
    first.post(page_of(row), {"refuse": "yes"})
    row.refresh_from_db()
    assert row.state == "refused"
    approve(browser("administrator", "second"), row)
    row.refresh_from_db()
    assert row.state == "refused"
    assert len(entries("access.refused")) == 1


def test_no_one_can_approve_their_own_role() -> None:
    client = browser("administrator", "eva")
    _, row = request_support("administrator")
    approve(client, row)
    assert "support" not in roles_of(User.objects.get(username="eva"))


def test_no_one_can_approve_permissions_of_a_role_that_they_hold(clerk: Group) -> None:
    form = {"name": "clerk", "permissions": [permission("view_contents").pk]}
    browser("administrator", "first").post(f"{ROLES}{clerk.pk}/change/", form)
    row, second = AccessRequest.objects.get(), browser("administrator", "second")
    User.objects.get(username="second").groups.add(clerk)
    approve(second, row)
    assert not clerk.permissions.filter(codename="view_contents").exists()


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("since", "why"),
    [
        (timedelta(seconds=-1), "permission for 24 hours"),
        (timedelta(seconds=1), "You got this permission after the request."),
        (None, "Another person must approve this."),
    ],
)
def test_the_second_administrator_is_not_made_for_it(since: timedelta | None, why: str) -> None:
    _, row = request_support()
    second = browser("administrator", "second")
    if since is not None:
        held = HeldPermission.objects.filter(person__username="second")
        held.update(since=row.requested_at + since)
    else:
        browser_of("first").post(f"{PEOPLE}{User.objects.get(username='second').pk}/unlock/", {"address": ""})
    assert why in approve(second, row)
    assert AccessRequest.objects.get().state == "open"


def browser_of(username: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=username))
    return client


def test_permissions_that_an_approved_request_gave_count_as_a_change_by_the_requester() -> None:
    _, row = request_support()
    approve(browser("administrator", "second"), row)
    first, eva = (User.objects.get(username=name) for name in ("first", "eva"))
    HeldPermission.objects.create(
        person=eva, permission="sync.erase_subject", since=timezone.now() - timedelta(days=9)
    )
    sentence = access_requests.why_not_second(eva.pk, first.pk, "sync.erase_subject", timezone.now())
    assert "Another person must approve this." in sentence


def test_a_request_expires_after_a_week() -> None:
    first, row = request_support()
    AccessRequest.objects.update(requested_at=timezone.now() - timedelta(days=7, seconds=1))
    approve(browser("administrator", "second"), row)
    assert not roles_of(User.objects.get(username="eva"))
    give_role(first, User.objects.get(username="eva"), "support")
    assert AccessRequest.objects.count() == 2


def test_the_same_request_is_made_once_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first, row = request_support()
    give_role(first, User.objects.get(username="eva"), "support")
    assert AccessRequest.objects.get() == row
    monkeypatch.setattr("console.people.forms.MAX_OPEN", 1)
    answer = give_role(first, User.objects.get(username="eva"), "auditor")
    assert answer.context["adminform"].form.errors
    assert AccessRequest.objects.get() == row


def test_a_request_for_a_role_that_was_deleted_gives_nothing(clerk: Group) -> None:
    clerk.permissions.add(permission("view_contents"))
    give_role(browser("administrator", "first"), User.objects.create_user("eva"), "clerk")
    row = AccessRequest.objects.get()
    clerk.delete()
    approve(browser("administrator", "second"), row)
    assert not roles_of(User.objects.get(username="eva"))


def test_the_database_itself_refuses_an_approval_by_the_requester() -> None:
    _, row = request_support()
    with pytest.raises(IntegrityError), transaction.atomic():
        AccessRequest.objects.filter(pk=row.pk).update(state="approved", decided_by=row.requested_by)
