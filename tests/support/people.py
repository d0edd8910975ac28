"""Users of the console, each in one of the groups that the migration creates, and rows that their pages show."""

import json
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from logins.held_permissions import record_held_permissions
from logins.models import AccessChange, AccessRequest, AccessRequestState, HeldPermission
from webhooks.models import Event, Source, State


def person(role: str = "", name: str = "") -> User:
    """Create a staff member of one role, or of several (`administrator+support`); a superuser if none is given."""
    user = User(
        username=name or role or "root",
        email=f"{name or role}@example.com",
        is_staff=True,
        is_superuser=not role,
    )
    return add_person(user, *filter(None, role.split("+")))


def add_person(user: User, *roles: str) -> User:
    """Store a person who has held the permissions of these roles for two days. They are recorded once, not with each row."""
    user.set_unusable_password()
    User.objects.bulk_create([user])
    if roles:
        user.groups.add(*(Group.objects.get(name=role) for role in roles))
    else:
        record_held_permissions([user.pk])
    hold_permissions_for_days(user)
    return user


def hold_permissions_for_days(holder: User, *permissions: str) -> None:
    """Let a person be the second one, as if they had held their permissions, or these, for two days."""
    since = timezone.now() - timedelta(days=2)
    for permission in permissions:
        HeldPermission.objects.get_or_create(person=holder, permission=permission, defaults={"since": since})
    HeldPermission.objects.filter(person=holder).update(since=since)


def let_set_password(setter: User, reader: User) -> None:
    """Store the approval by which one person sets the password of another, who can read the audit log."""
    AccessRequest.objects.create(
        change=AccessChange.PASSWORD,
        person=reader,
        requested_by=setter,
        requested_at=timezone.now(),
        state=AccessRequestState.APPROVED,
        decided_at=timezone.now(),
    )


def browser(role: str = "", name: str = "") -> Client:
    """Return the logged-in client of a new staff member."""
    client = Client(raise_request_exception=False)
    client.force_login(person(role, name))
    return client


def reveal(client: Client, event_key: int, back: str = "") -> Any:
    """Reveal the contents of an event for a minute. Returns the page that follows."""
    path = f"/admin/webhooks/event/{event_key}/reveal/"
    return client.post(path, {"reason": "she asked why", "next": back}, follow=True)


def entries(action: str) -> list[dict[str, Any]]:
    """Return the bodies of the audit log entries of one action, oldest first, without the details of their requests."""
    bodies = [json.loads(entry.body) for entry in Entry.objects.filter(action=action).order_by("id")]
    for body in bodies:
        body["details"].pop("by", None)
    return bodies


def circumstances(action: str) -> list[dict[str, Any]]:
    """Return the request details of the audit log entries of one action, oldest first."""
    stored_entries = Entry.objects.filter(action=action).order_by("id").values_list("details", flat=True)
    return [json.loads(details).get("by", {}) for details in stored_entries]


def source(slug: str = "crm", **settings: Any) -> Source:
    """Create a source, without signatures unless its scheme is given."""
    return Source.objects.create(slug=slug, **({"name": slug.title(), "scheme": "none"} | settings))


def event(of: Source, **facts: Any) -> Event:
    """Create an event that succeeded just now."""
    return Event.objects.create(
        **{
            "source": of,
            "entity_type": "USER",
            "entity_id": "U1",
            "event_type": "UPDATE",
            "is_signed": False,
            "digest": b"\x07" * 32,
            "received_at": timezone.now(),
            "state": State.SUCCEEDED,
        }
        | facts
    )


def save(client: Client, address: str, form: dict[str, Any], reason: str = "asked for by its owner") -> Any:
    """Submit a settings form and, if a confirmation page follows, confirm the change with a reason."""
    answer = client.post(address, form)
    if answer.status_code != 302 or "/confirm/" not in answer["Location"]:
        return answer
    page = client.get(answer["Location"])
    return client.post(answer["Location"], {"reason": reason, "seen": page.context["seen"]}, follow=True)
