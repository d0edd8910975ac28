"""One entry of the audit log: what changed, what belongs to it, and as it is recorded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils.safestring import SafeString

from audit.entries.actor_context import NAME
from audit.entries.search import by_actor
from audit.models import Entry
from integration_hub.console.changes import Changed, changed
from integration_hub.console.entry_facts import facts, plain_name
from integration_hub.console.entry_words import Told, tell_entries

_SHOWN_ELSEWHERE = ("before", "after", "changed", "reason", "address", NAME)
_AROUND = timedelta(minutes=10)  # a request, with the download that it began, is over by then
_MOST_LOOKED_AT = 500
_MOST_SHOWN = 20
_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class EntryPage:
    """`hidden`: fields that changed and whose values are nobody's business. `of_request` and `of_object` are the
    entries of the same request and those just before and after it about the same, in order of time.
    """

    told: Told
    changes: Sequence[Changed]
    hidden: Sequence[str]
    facts: Sequence[tuple[str, str | SafeString]]
    of_request: Sequence[Told]
    of_object: Sequence[Told]
    recorded: str


def entry_page(entry: Entry, user: Any) -> EntryPage:
    """Four statements."""
    details: Mapping[str, Any] = json.loads(entry.body).get("details", {})
    same_request = _of_request(entry, details)
    same_object = _of_object(entry)
    told, *others = tell_entries([entry, *same_request, *same_object], user)
    before, after = (_mapping(details.get(name)) for name in ("before", "after"))
    return EntryPage(
        told=told,
        changes=changed(before, after, {name: plain_name(name) for name in {**before, **after}}),
        hidden=[plain_name(str(name)) for name in details.get("changed", ())],
        facts=facts(details, _SHOWN_ELSEWHERE),
        of_request=others[: len(same_request)],
        of_object=others[len(same_request) :],
        recorded=json.dumps(json.loads(entry.body), indent=2, sort_keys=True, ensure_ascii=False),
    )


def _of_request(entry: Entry, details: Mapping[str, Any]) -> list[Entry]:
    """What the same request did besides. No column names it: it is looked for around, among what its person did."""
    request = details.get(NAME, {}).get("request")
    if not request:
        return []
    around = Entry.objects.filter(at__gte=entry.at - _AROUND, at__lte=entry.at + _AROUND).exclude(pk=entry.pk)
    found = by_actor(around, entry.actor, connection.vendor).order_by("at", "pk")[:_MOST_LOOKED_AT]
    same = [
        each for each in found if json.loads(each.body)["details"].get(NAME, {}).get("request") == request
    ]
    return same[:_MOST_SHOWN]


def _of_object(entry: Entry) -> list[Entry]:
    stream = Entry.objects.filter(stream=entry.stream)
    earlier = stream.filter(stream_seq__lt=entry.stream_seq).order_by("-stream_seq")[:_NEIGHBOURS]
    later = stream.filter(stream_seq__gt=entry.stream_seq).order_by("stream_seq")[:_NEIGHBOURS]
    return [*reversed(earlier), *later]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
