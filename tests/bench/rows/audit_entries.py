"""Fill the audit log with what a hub would have appended, chained (`--console`).

Run with the hub's environment: `python -m tests.bench.rows.audit_entries <entries>`. Most are of webhooks, two in a
hundred of people, of whom one did a single thing long ago.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from random import Random
from typing import Any
from uuid import UUID

from config_schema.codes.reference import to_reference

BATCH = 2_000
APART = timedelta(seconds=8)
_DEEDS = (
    ("event.revealed", "event"),
    ("event.replayed", "event"),
    ("download.finished", "person"),
    ("export.requested", "export"),
    ("source.changed", "setting:source"),
    ("person.logged-in", "person"),
    ("replay.started", "person-request"),
    ("secret.added", "setting:source"),
)


def fill(entries: int) -> None:
    """Append `count` entries, eight seconds apart, up to now."""
    from django.db import transaction
    from django.utils import timezone

    from audit.entries.append import append_entries

    at = timezone.now() - APART * entries
    happenings = _random_entries(Random(7), entries)
    while some := list(islice(happenings, BATCH)):
        with transaction.atomic():
            for start in range(0, len(some), 20):
                append_entries(*some[start : start + 20], at=at)
                at += APART * 20


def _random_entries(chance: Random, count: int) -> Iterator[Any]:
    from audit.entries.append import NewEntry

    yield NewEntry("setting:route:1", "route.deleted", "person:1", {"reason": "nobody used it"})
    made, number = 1, 0
    while made < count:
        number += 1
        event = f"event:{to_reference(UUID(int=chance.getrandbits(128), version=4))}"
        yield NewEntry(event, "webhook.received", "source:crm", {"size": 400})
        yield NewEntry(f"delivery:{number}", "attempt.started", details={"number": 1})
        outcome = "attempt.failed" if chance.random() < 0.05 else "attempt.succeeded"
        yield NewEntry(f"delivery:{number}", outcome, details={"code": "target-timeout", "number": 1})
        yield NewEntry(event, "webhook.answered", details={"status": 200})
        made += 4
        if chance.random() < 0.08:
            action, kind = chance.choice(_DEEDS)
            stream = event if kind == "event" else f"{kind}:{chance.randrange(2, 40)}"
            yield NewEntry(stream, action, f"person:{chance.randrange(2, 40)}", {"address": "192.0.2.7"})
            made += 1


if __name__ == "__main__":
    import django

    django.setup()
    fill(int(sys.argv[1]))
