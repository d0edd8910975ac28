"""Checks that each encrypted payload under an event is one of its entity, and of the kind that its column has.

Which of two payloads of the same entity and kind belongs to a row is in no entry.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model

from exports.bundle.shipped.check_rows import PSEUDONYM_MARK, RowFault
from sync.models import Attempt, Call
from webhooks.catalogue.reference import to_reference
from webhooks.models import Event, Payload, Receipt, pseudonym

# Table, its model, the way from its rows to their event, and its columns with the kinds of their payloads.
_COLUMNS: Sequence[tuple[str, type[Model], str, str, Mapping[str, str]]] = (
    ("events", Event, "pk", "uuid", {"payload": Payload.Kind.WEBHOOK}),
    (
        "receipts",
        Receipt,
        "event",
        "uuid",
        {"payload": Payload.Kind.WEBHOOK, "answer": Payload.Kind.ANSWER},
    ),
    ("attempts", Attempt, "delivery__event", "key", {"findings": Payload.Kind.FINDINGS}),
    (
        "calls",
        Call,
        "attempt__delivery__event",
        "pk",
        {"request": Payload.Kind.REQUEST, "response": Payload.Kind.RESPONSE},
    ),
)


def check_payload_owners(keys: Sequence[int]) -> Iterator[RowFault]:
    """Yield a fault for each row under these events that names a payload of another entity or kind."""
    subjects = Event.objects.filter(pk__in=keys).values_list("pk", "source_id", "entity_type", "entity_id")
    owners = {
        key: pseudonym(source, entity_type, entity_id)
        for key, source, entity_type, entity_id in subjects
        # An erasure deletes the payloads of its events before it gives them the pseudonym.
        if not entity_id.startswith(PSEUDONYM_MARK)
    }
    for table, model, event, name, columns in _COLUMNS:
        for column, kind in columns.items():
            rows = model._default_manager.filter(**{f"{event}__in": keys, f"{column}__isnull": False})
            shown = rows.values_list(event, name, f"{column}__kind", f"{column}__subject__pseudonym")
            for key, row, stored_kind, owner in shown.order_by("pk"):
                # A payload that retention deleted is named by no row; one that is missing shows nothing.
                if stored_kind is None or key not in owners:
                    continue
                if (stored_kind, owner) != (kind, owners[key]):
                    yield _fault(table, row, column)


def _fault(table: str, row: Any, column: str) -> RowFault:
    name = to_reference(row) if table in ("events", "receipts") else row
    return RowFault(
        "row-differs", table, name, f"{column}_id", "names a payload of another entity or of another kind"
    )
