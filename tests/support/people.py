"""People who use the console, each in one of the groups that the migration makes; something to look at."""

import json
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from webhooks.models import Event, Source, State


def person(role: str = "", name: str = "") -> User:
    """A staff member of one group; without one, a superuser."""
    made = User.objects.create_user(
        name or role or "root", f"{name or role}@example.com", is_staff=True, is_superuser=not role
    )
    if role:
        made.groups.add(Group.objects.get(name=role))
    return made


def browser(role: str = "", name: str = "") -> Client:
    """The logged-in browser of a new staff member."""
    client = Client(raise_request_exception=False)
    client.force_login(person(role, name))
    return client


def entries(action: str) -> list[dict[str, Any]]:
    """The bodies of the audit entries of one action, oldest first, without the circumstances of their requests."""
    found = [json.loads(entry.body) for entry in Entry.objects.filter(action=action).order_by("id")]
    for each in found:
        each["details"].pop("by", None)
    return found


def circumstances(action: str) -> list[dict[str, Any]]:
    """Of the same entries: of what request each is."""
    found = Entry.objects.filter(action=action).order_by("id").values_list("body", flat=True)
    return [json.loads(body)["details"].get("by", {}) for body in found]


def source(slug: str = "crm", **settings: Any) -> Source:
    """A source; unsigned unless its scheme is given."""
    return Source.objects.create(slug=slug, **({"name": slug.title(), "scheme": "none"} | settings))


def event(of: Source, **facts: Any) -> Event:
    """An event that succeeded just now."""
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
    """Send a form of settings, and confirm the change with a reason where it is shown before it is made."""
    answer = client.post(address, form)
    if answer.status_code != 302 or "/confirm/" not in answer["Location"]:
        return answer
    page = client.get(answer["Location"])
    return client.post(answer["Location"], {"reason": reason, "seen": page.context["seen"]}, follow=True)
