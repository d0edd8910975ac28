"""Names for the actors and streams of audit entries: a constant number of statements for a page of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.urls import reverse

from audit.models import Entry
from sync.models import Delivery
from webhooks.models import Event
from webhooks.references import from_reference

_SETTINGS = {
    "source": "webhooks_source",
    "connection": "sync_connection",
    "route": "sync_route",
    "mapping": "sync_mapping",
    "group": "auth_group",
}


@dataclass(frozen=True, slots=True)
class Named:
    """An entry in the words of the page. `url` is empty where there is nothing to open."""

    actor: str
    about: str
    url: str
    code: str


def name_entries(entries: Iterable[Entry]) -> dict[int, Named]:
    """By the entry's key; three statements at most."""
    found = list(entries)
    people = _people(found)
    pages = _event_pages(found)
    return {entry.pk: _named(entry, people, pages) for entry in found}


def _named(entry: Entry, people: Mapping[str, str], pages: Mapping[str, str]) -> Named:
    code = json.loads(entry.body).get("details", {}).get("code", "")
    url = pages.get(entry.stream) or _page_by_stream(entry.stream)
    about = people.get(entry.stream, entry.stream)
    return Named(_actor(entry.actor, people), about, url, str(code))


def _actor(actor: str, people: Mapping[str, str]) -> str:
    kind, _colon, name = actor.partition(":")
    if kind == "person":
        return people.get(actor, f"person {name}, deleted")
    return f"source {name}" if kind == "source" else {"system": "the hub"}.get(actor, actor)


def _people(entries: list[Entry]) -> dict[str, str]:
    keys = {
        int(key) for entry in entries for name in (entry.actor, entry.stream) if (key := _key(name, "person"))
    }
    users = get_user_model()._default_manager.filter(pk__in=keys) if keys else ()
    return {f"person:{user.pk}": user.get_username() for user in users}


def _event_pages(entries: list[Entry]) -> dict[str, str]:
    """The event's page for streams of events and of deliveries."""
    uuids = {uuid: each.stream for each in entries if (uuid := _event_uuid(each.stream))}
    deliveries = {int(key) for each in entries if (key := _key(each.stream, "delivery"))}
    pages: dict[str, Any] = {}
    if uuids:
        events = Event.objects.filter(uuid__in=uuids).values_list("uuid", "pk")
        pages |= {uuids[uuid]: pk for uuid, pk in events}
    if deliveries:
        found = Delivery.objects.filter(pk__in=deliveries).values_list("pk", "event_id")
        pages |= {f"delivery:{pk}": event for pk, event in found}
    return {stream: reverse("admin:webhooks_event_change", args=[pk]) for stream, pk in pages.items()}


def _event_uuid(stream: str) -> UUID | None:
    kind, _colon, reference = stream.partition(":")
    try:
        return from_reference(reference) if kind == "event" else None
    except ValueError:
        return None


def _setting_page(stream: str) -> str:
    kind, _colon, rest = stream.partition(":")
    setting, _colon, key = rest.partition(":")
    if kind == "setting" and setting in _SETTINGS and key.isdecimal():
        return reverse(f"admin:{_SETTINGS[setting]}_change", args=[key])
    return ""


def _page_by_stream(stream: str) -> str:
    return _setting_page(stream) or _alarm_page(stream) or _export_page(stream)


def _alarm_page(stream: str) -> str:
    key = _key(stream, "alarm")
    return reverse("admin:sync_alarm_change", args=[key]) if key else ""


def _export_page(stream: str) -> str:
    kind, _colon, key = stream.partition(":")
    return reverse("admin:console_export_change", args=[key]) if kind == "export" else ""


def _key(name: str, kind: str) -> str:
    """The key of `kind:<key>`, "" for anything else."""
    found, _colon, key = name.partition(":")
    return key if found == kind and key.isascii() and key.isdecimal() and len(key) < 19 else ""
