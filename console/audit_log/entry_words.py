"""Describe audit entries in words: actor, role, action, object, reason, address."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.entries.actor_context import CONTEXT_FIELD, PERSON_PREFIX
from audit.entries.readable_rows import parse_details
from audit.models import Entry
from config_schema.codes.reference import from_reference
from console.audit_log.action_names import action_label
from console.audit_log.lookups import ObjectKey, resolve_names
from console.ui.actors import actor_name
from console.ui.outcome_texts import describe_code

# Labels of the objects of entries, by the prefix of their streams.
OBJECT_LABELS = {
    "event": gettext_lazy("event"),
    "delivery": gettext_lazy("delivery"),
    "setting": gettext_lazy("setting"),
    "person": gettext_lazy("person"),
    "person-request": gettext_lazy("replay"),
    "comparison": gettext_lazy("comparison"),
    "route": gettext_lazy("route"),
    "pair": gettext_lazy("pair"),
    "export": gettext_lazy("export"),
    "erasure": gettext_lazy("erasure"),
    "failures": gettext_lazy("failure group"),
    "alarm": gettext_lazy("alarm"),
}
_SETTING_LABELS = {
    "source": gettext_lazy("source"),
    "connection": gettext_lazy("connection"),
    "route": gettext_lazy("route"),
    "mapping": gettext_lazy("mapping"),
    "group": gettext_lazy("role"),
}
# The page of each kind, and who may open it.
_OBJECT_PAGES = {
    "event": ("webhooks_event", "webhooks.view_event"),
    "delivery": ("webhooks_event", "webhooks.view_event"),
    "person": ("auth_user", "auth.view_user"),
    "person-request": ("sync_personrequest", "sync.view_personrequest"),
    "comparison": ("sync_comparison", "sync.view_differences"),
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
# Reasons that are stored with the request, so that they can be erased there: kind of the request, and the field of the
# details that names it (empty: the stream names it).
_REASON_LOOKUPS = {
    "event.made": ("person-request", "person_request"),
    "comparison.equalised": ("person-request", "person_request"),
    "event.replayed": ("person-request", "person_request"),
    "replay.started": ("person-request", ""),
    "replay.awaits-approval": ("person-request", ""),
    "delivery.approved": ("person-request", "person_request"),
    "delivery.closed": ("person-request", "person_request"),
    "delivery.done-by-hand": ("person-request", "person_request"),
    "export.requested": ("export", ""),
    "erasure.requested": ("erasure", "erasure"),
    "alarm.snoozed": ("snooze", "snooze"),
    "failures.acknowledged": ("decision", "decision"),
    "failures.resolved": ("decision", "decision"),
    "failures.ignored": ("decision", "decision"),
    "failures.opened": ("decision", "decision"),
}


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry in words. Unknown values are empty; so is `url` if there is no page that this person may open."""

    entry: Entry
    details: Mapping[str, Any]
    actor: str
    action_text: str
    object_text: str
    url: str
    reason: str

    @property
    def code(self) -> str:
        return str(self.details.get("code", ""))

    @property
    def result(self) -> str:
        return describe_code(self.code).title if self.code else ""

    @property
    def sentence(self) -> str:
        """Return actor, action and object as one sentence, for a title."""
        kind, _space, name = self.object_text.partition(" ")
        if self.object_text == self.actor:
            return f"{self.actor} {self.action_text}"
        is_named = ":" in self.entry.stream and kind in self.action_text.split()
        return f"{self.actor} {self.action_text}: {name if is_named and name else self.object_text}"

    @property
    def title(self) -> str:
        """Return the sentence with a capital letter, unless it begins with the name of a person."""
        is_person = self.entry.actor.startswith(PERSON_PREFIX)
        return self.sentence if is_person else capfirst(self.sentence)

    @property
    def damaged_columns(self) -> list[tuple[str, str]]:
        """Return the name of each column that has no valid value, and what is stored there."""
        return list(self.entry.damaged.items())

    @property
    def address(self) -> str:
        return str(self.details.get("address", ""))

    @property
    def roles(self) -> str:
        """Return the roles that the actor had at that time."""
        roles = self._context_value("roles", ())
        return ", ".join(map(str, roles)) if isinstance(roles, list) else ""

    @property
    def session(self) -> str:
        return str(self._context_value("session", ""))

    @property
    def request(self) -> str:
        return str(self._context_value("request", ""))

    def _context_value(self, name: str, absent: Any) -> Any:
        context = self.details.get(CONTEXT_FIELD)
        return context.get(name, absent) if isinstance(context, dict) else absent


def describe_entries(entries: Iterable[Entry], user: Any) -> list[EntryRow]:
    """Describe the entries for this person, in the given order, by one statement."""
    rows = [(entry, parse_details(entry.details)) for entry in entries]
    names = resolve_names(key for row in rows for key in _lookup_keys(*row))
    return [_entry_row(entry, details, names, user) for entry, details in rows]


def _lookup_keys(entry: Entry, details: Mapping[str, Any]) -> Iterator[ObjectKey]:
    yield _actor_key(entry.actor)
    yield _object_key(entry.stream)
    yield _reason_key(entry, details)


def _entry_row(
    entry: Entry, details: Mapping[str, Any], names: Mapping[ObjectKey, str], user: Any
) -> EntryRow:
    kind, key = _object_key(entry.stream)
    return EntryRow(
        entry=entry,
        details=details,
        actor=actor_name(entry.actor, names),
        action_text=_action_text(entry, details),
        object_text=_object_text(entry.stream, names),
        url=_object_url(kind, key, names, user),
        reason=str(details.get("reason") or names.get(_reason_key(entry, details), "")),
    )


def _action_text(entry: Entry, details: Mapping[str, Any]) -> str:
    """Return the action as a verb phrase; an entry that sums several of them up says how many."""
    label = action_label(entry.action, str(details.get("code", "")))
    times = details.get("times")
    return f"{label} ({times})" if entry.action == "person.logins-failed" and times else label


def _object_key(name: str) -> ObjectKey:
    """Return kind and key of the object that a stream or an actor names; empty if it names none.

    A setting has a kind of its own. An event and its deliveries are found by the event's UUID.
    """
    kind, _colon, key = name.partition(":")
    if kind == "setting":
        kind, _colon, key = key.partition(":")
        return (kind, key) if kind in _SETTING_LABELS else ("", "")
    if kind in ("event", "delivery"):
        reference, _colon, _route = key.partition(":")
        try:
            return kind, str(from_reference(reference))
        except ValueError:
            return "", ""
    return (kind, key) if kind in OBJECT_LABELS else ("", "")


def _actor_key(actor: str) -> ObjectKey:
    """Return kind and key of an actor. The log names a source by its slug."""
    kind, _colon, name = actor.partition(":")
    return ("sender", name) if kind == "source" else _object_key(actor)


def _reason_key(entry: Entry, details: Mapping[str, Any]) -> ObjectKey:
    kind, field = _REASON_LOOKUPS.get(entry.action, ("", ""))
    return kind, str(details.get(field, "")) if field else entry.stream.partition(":")[2]


def _object_text(stream: str, names: Mapping[ObjectKey, str]) -> str:
    """Return the name of a stream's object: `event …4F2K9A`, `source CRM`, `delivery …4F2K9A, route 17`.

    A stream of an unknown kind is returned unchanged.
    """
    kind, _colon, rest = stream.partition(":")
    if kind not in OBJECT_LABELS:
        return _("the hub") if stream == "system" else stream
    if kind == "setting":
        kind, _colon, rest = rest.partition(":")
        return f"{_SETTING_LABELS.get(kind, kind)} {names.get((kind, rest), rest)}"
    if kind == "person":
        return names.get((kind, rest), stream)
    if kind == "route":
        return f"{OBJECT_LABELS[kind]} {names.get((kind, rest), rest)}"
    name, _colon, route = rest.partition(":")
    suffix = f", {_SETTING_LABELS['route']} {route}" if route else ""
    return f"{OBJECT_LABELS[kind]} {name if len(name) < 12 else f'…{name[-6:]}'}{suffix}"


def _object_url(kind: str, key: str, names: Mapping[ObjectKey, str], user: Any) -> str:
    page, permission = _OBJECT_PAGES.get(kind, ("", ""))
    if not page or not user.has_perm(permission):
        return ""
    if kind in ("event", "delivery"):
        key = names.get((kind, key), "")
    # An object without a name was deleted and has no page any more.
    elif kind in ("person", *_SETTING_LABELS) and (kind, key) not in names:
        key = ""
    return reverse(f"admin:{page}_change", args=[key]) if key else ""
