"""Audit entries in the words of their pages: who, as whom, did what, to what, why, from where."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.entries.actor_context import CONTEXT_FIELD
from audit.models import Entry
from console.audit_log.action_names import phrase
from console.audit_log.lookups import Key, look_up
from console.ui.actors import actor_name
from console.ui.outcome_texts import describe_code
from webhooks.catalogue.reference import from_reference

# What entries are about, by the word that their streams begin with.
OBJECTS = {
    "event": gettext_lazy("event"),
    "delivery": gettext_lazy("delivery"),
    "setting": gettext_lazy("setting"),
    "person": gettext_lazy("person"),
    "replay": gettext_lazy("replay"),
    "export": gettext_lazy("export"),
    "erasure": gettext_lazy("erasure"),
    "failures": gettext_lazy("failure group"),
    "alarm": gettext_lazy("alarm"),
}
_SETTINGS = {
    "source": gettext_lazy("source"),
    "connection": gettext_lazy("connection"),
    "route": gettext_lazy("route"),
    "mapping": gettext_lazy("mapping"),
    "group": gettext_lazy("role"),
}
# The page of each kind, and who may open it.
_PAGES = {
    "event": ("webhooks_event", "webhooks.view_event"),
    "delivery": ("webhooks_event", "webhooks.view_event"),
    "person": ("auth_user", "auth.view_user"),
    "replay": ("sync_replay", "sync.view_replay"),
    "export": ("exports_export", "exports.view_export"),
    "erasure": ("sync_erasure", "sync.view_erasure"),
    "failures": ("sync_failuregroup", "sync.view_failuregroup"),
    "alarm": ("sync_alarm", "sync.view_alarm"),
    "source": ("webhooks_source", "webhooks.view_source"),
    "connection": ("sync_connection", "sync.view_connection"),
    "route": ("sync_route", "sync.view_route"),
    "mapping": ("sync_mapping", "sync.view_mapping"),
    "group": ("auth_group", "auth.view_group"),
}
# A reason that is kept with what was asked for, and can be erased there: the member of the details that names it;
# empty: the stream does.
_KEPT_REASONS = {
    "event.replayed": ("replay", "replay"),
    "replay.started": ("replay", ""),
    "replay.awaits-approval": ("replay", ""),
    "delivery.approved": ("replay", "request"),
    "delivery.closed": ("replay", "request"),
    "delivery.done-by-hand": ("replay", "request"),
    "export.requested": ("export", ""),
    "erasure.asked": ("erasure", "erasure"),
    "alarm.snoozed": ("snooze", "snooze"),
    "failures.acknowledged": ("decision", "decision"),
    "failures.resolved": ("decision", "decision"),
    "failures.ignored": ("decision", "decision"),
    "failures.opened": ("decision", "decision"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """An entry in words. What is not known is empty; `url` too where there is nothing that this person may open."""

    entry: Entry
    details: Mapping[str, Any]
    actor: str
    deed: str
    about: str
    url: str
    why: str

    @property
    def code(self) -> str:
        return str(self.details.get("code", ""))

    @property
    def result(self) -> str:
        """What the code says, in words."""
        return describe_code(self.code).title if self.code else ""

    @property
    def sentence(self) -> str:
        """Who did what to what, for a title."""
        kind, _space, name = self.about.partition(" ")
        if self.about == self.actor:
            return f"{self.actor} {self.deed}"
        is_said = ":" in self.entry.stream and kind in self.deed.split()
        return f"{self.actor} {self.deed}: {name if is_said and name else self.about}"

    @property
    def address(self) -> str:
        return str(self.details.get("address", ""))

    @property
    def roles(self) -> str:
        """Of the person, at the time."""
        return ", ".join(self._made("roles", ()))

    @property
    def session(self) -> str:
        return str(self._made("session", ""))

    @property
    def request(self) -> str:
        return str(self._made("request", ""))

    def _made(self, name: str, absent: Any) -> Any:
        return self.details.get(CONTEXT_FIELD, {}).get(name, absent)


def tell_entries(entries: Iterable[Entry], user: Any) -> list[Told]:
    """In the same order, for this person: one statement."""
    rows = [(entry, json.loads(entry.body).get("details", {})) for entry in entries]
    names = look_up(key for row in rows for key in _keys(*row))
    return [_told(entry, details, names, user) for entry, details in rows]


def _keys(entry: Entry, details: Mapping[str, Any]) -> Iterator[Key]:
    yield _key_of_actor(entry.actor)
    yield _key_of(entry.stream)
    yield _kept_reason(entry, details)


def _told(entry: Entry, details: Mapping[str, Any], names: Mapping[Key, str], user: Any) -> Told:
    kind, key = _key_of(entry.stream)
    return Told(
        entry=entry,
        details=details,
        actor=actor_name(entry.actor, names),
        deed=phrase(entry.action, str(details.get("code", ""))),
        about=_about(entry.stream, names),
        url=_url(kind, key, names, user),
        why=str(details.get("reason") or names.get(_kept_reason(entry, details), "")),
    )


def _key_of(name: str) -> Key:
    """Return what a stream or an actor names. A setting has a kind of its own; an event and its deliveries are found by
    the event's UUID.
    """
    kind, _colon, key = name.partition(":")
    if kind == "setting":
        kind, _colon, key = key.partition(":")
        return (kind, key) if kind in _SETTINGS else ("", "")
    if kind in ("event", "delivery"):
        reference, _colon, _route = key.partition(":")
        try:
            return kind, str(from_reference(reference))
        except ValueError:
            return "", ""
    return (kind, key) if kind in OBJECTS else ("", "")


def _key_of_actor(actor: str) -> Key:
    """Of a source the log has the short name."""
    kind, _colon, name = actor.partition(":")
    return ("sender", name) if kind == "source" else _key_of(actor)


def _kept_reason(entry: Entry, details: Mapping[str, Any]) -> Key:
    kind, member = _KEPT_REASONS.get(entry.action, ("", ""))
    return kind, str(details.get(member, "")) if member else entry.stream.partition(":")[2]


def _about(stream: str, names: Mapping[Key, str]) -> str:
    """Return the name of a stream's object: `event …4F2K9A`, `source CRM`, `delivery …4F2K9A, route 17`.

    A stream of an unknown kind is returned unchanged.
    """
    kind, _colon, rest = stream.partition(":")
    if kind not in OBJECTS:
        return _("the hub") if stream == "system" else stream
    if kind == "setting":
        kind, _colon, rest = rest.partition(":")
        return f"{_SETTINGS.get(kind, kind)} {names.get((kind, rest), rest)}"
    if kind == "person":
        return names.get((kind, rest), stream)
    name, _colon, route = rest.partition(":")
    where = f", {_SETTINGS['route']} {route}" if route else ""
    return f"{OBJECTS[kind]} {name if len(name) < 12 else f'…{name[-6:]}'}{where}"


def _url(kind: str, key: str, names: Mapping[Key, str], user: Any) -> str:
    page, permission = _PAGES.get(kind, ("", ""))
    if not page or not user.has_perm(permission):
        return ""
    if kind in ("event", "delivery"):
        key = names.get((kind, key), "")
    elif kind in ("person", *_SETTINGS) and (kind, key) not in names:
        key = ""
    return reverse(f"admin:{page}_change", args=[key]) if key else ""
