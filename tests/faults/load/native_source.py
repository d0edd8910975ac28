"""Two sources with a webhook format: field names and words of their own, several events in a request, a secret in each.

One is answered at once, the other with the outcome of all events of a request.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Model

from sync.models import Route
from tests.support.processes.hub_processes import SANDBOX, RunningHub, enter_secret
from webhooks.models import Source

ACK, RESULT = "native-ack", "native-result"
CANARY = "canary-of-a-secret-2b7e151628aed2a6"
MAX_EVENTS = 100
FORMAT: dict[str, Any] = {
    "events": "body.records",
    "when": "event.outcome != 'FAILED'",
    "id": "event.actor.key",
    "entity_type": "event.table",
    "entity_types": {"people": "USER", "teams": "GROUP"},
    "event_type": "event.action",
    "event_types": {"added": "CREATE", "modified": "UPDATE", "removed": "DELETE"},
    "occurred_at": "event.at",
    "time_format": "milliseconds",
    "event_id": "event.uid",
    "data": "event.person",
    "drop": ["records[].credential", "trace.token"],
}

_NOW = 1_790_000_000_000
_SIZES = (2, 2, 3, 3, 4, 5, 8, 13, 21)


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a request as its sender knows it. `event_id` is empty if the sender gives it none.

    `kind`: `delivered`, `excluded` by the condition of the format, `unknown` for a word that the format does not have,
    `unreadable`, or `garbage` for an element that is no object.
    """

    event_id: str
    entity: str
    kind: str = "delivered"
    table: str = "people"
    person: dict[str, Any] | None = None

    @property
    def is_readable(self) -> bool:
        return self.kind not in ("unreadable", "garbage")

    @property
    def element(self) -> Any:
        """The event in the format of the source."""
        if self.kind == "garbage":
            return 7
        element = {
            "uid": self.event_id or None,
            "actor": {"key": "../" if self.kind == "unreadable" else self.entity},
            "table": self.table,
            "action": "viewed" if self.kind == "unknown" else "modified",
            "at": _NOW,
            "outcome": "FAILED" if self.kind == "excluded" else "OK",
            "credential": CANARY,
        }
        return element if self.person is None else element | {"person": self.person}


@dataclass(frozen=True, slots=True)
class Batch:
    """One request of a native source. `name` is its id; with `is_sent_once` it is not repeated if it is not answered."""

    name: str
    source: str
    changes: tuple[Change, ...]
    is_sent_once: bool = False

    @property
    def body(self) -> bytes:
        records = [change.element for change in self.changes]
        return json.dumps({"records": records, "trace": {"token": CANARY}}).encode()

    def event_id(self, position: int) -> str:
        """Return the id under which the hub stores an event: its own, or else that of the request with its position."""
        return self.changes[position].event_id or f"{self.name}/{position}"

    @property
    def stored_ids(self) -> list[str]:
        """The ids of the events that are stored, without repeats, in the order of the request."""
        ids = (self.event_id(at) for at, change in enumerate(self.changes) if change.is_readable)
        return list(dict.fromkeys(ids))


def plan_batches(number: int, people: Sequence[str], seed: int) -> list[Batch]:
    """Return batches in the order of their sending. Some of their events are repeats: within a batch, and of events of
    earlier batches in another order. Some batches have several changes of one person, two have 100 events.
    """
    chance = random.Random(seed)
    planner = _Planner(chance, people)
    batches = [planner.plan_batch(at, is_large=at in (number // 4, number // 2)) for at in range(number)]
    return list(_with_copies(batches, chance))


def _with_copies(batches: Sequence[Batch], chance: random.Random) -> Iterator[Batch]:
    """Yield the batches, and after some of them one with the same events in another order."""
    for batch in batches:
        yield batch
        if len(batch.changes) > 1 and not batch.is_sent_once and chance.random() < 0.25:
            changes = [change for change in batch.changes if change.event_id]
            chance.shuffle(changes)
            if len(changes) > 1:
                yield replace(batch, name=f"{batch.name}_again", changes=tuple(changes))


@dataclass
class _Planner:
    chance: random.Random
    people: Sequence[str]
    events: int = 0

    def plan_batch(self, at: int, *, is_large: bool) -> Batch:
        name = f"batch_{at}"
        source = self.chance.choice((ACK, RESULT))
        if self.chance.random() < 0.1 and not is_large:
            return Batch(name, source, (self._new_change(self.people),))
        size = MAX_EVENTS if is_large else self.chance.choice(_SIZES)
        # Few people in a batch: several changes of one of them.
        people = self.people if self.chance.random() < 0.5 else self.chance.sample(list(self.people), 2)
        changes = [self._new_change(people)]
        while len(changes) < size:
            is_repeat = self.chance.random() < 0.1 and changes[0].event_id
            changes.append(changes[0] if is_repeat else self._new_change(people, is_mixed=True))
        return Batch(name, source, tuple(changes), is_sent_once=self.chance.random() < 0.2)

    def _new_change(self, people: Sequence[str], *, is_mixed: bool = False) -> Change:
        self.events += 1
        kinds, weights = ("delivered", "excluded", "unknown", "unreadable", "garbage"), (84, 5, 3, 5, 3)
        kind = self.chance.choices(kinds, weights)[0] if is_mixed else "delivered"
        has_id = not is_mixed or self.chance.random() < 0.95
        return Change(f"native_{self.events}" if has_id else "", self.chance.choice(people), kind)


def add_native_sources(hub: RunningHub, *, relays: bool = False) -> None:
    """Add both sources to a hub, with the secret and the routes of `aurora`. `relays`: their events carry the data."""
    aurora = hub.rows("SELECT id FROM webhooks_source WHERE slug = 'aurora'")[0][0]
    for slug, response in ((ACK, "ack"), (RESULT, "result")):
        text = json.dumps(FORMAT | {"batch_response": response}).replace("'", "''")
        changed = {"slug": f"'{slug}'", "webhook_format": f"'{text}'"}
        hub.write(_copy_statement(Source, f"id = {aurora}", changed))
        own = {
            "source_id": f"(SELECT id FROM webhooks_source WHERE slug = '{slug}')",
            "slug": f"'{slug}-' || id",
        }
        enter_secret(hub, slug, SANDBOX["SANDBOX_SIGNING_SECRET"])
        hub.write(
            _copy_statement(Route, f"source_id = {aurora}", own | {"relays": "TRUE" if relays else "FALSE"})
        )


def _copy_statement(model: type[Model], condition: str, changed: Mapping[str, str]) -> str:
    """Return the statement that copies rows of a model, with some columns changed."""
    names = [field.column for field in model._meta.local_fields if not field.primary_key]
    values = ", ".join(changed.get(name, name) for name in names)
    table = model._meta.db_table
    return f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE {condition}"
