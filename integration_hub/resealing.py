"""Sealing anew: everything goes under the first of SEALING_KEYS, so that an old key can be thrown away."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from audit.models import SigningKey
from exports.models import Export
from sync.models import Connection
from webhooks.encryption.at_rest import reseal
from webhooks.models import Payload, Pepper, SourceSecret, SubjectKey

BATCH = 500
EVERY = models.Q()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of sealed values; `name` is the word for its rows, and `rows` which of them these keys seal (the
    payloads of a subject are sealed under its own key).
    """

    name: str
    model: type[models.Model]
    field: str
    rows: models.Q = EVERY


SEALED = (
    Sealed("payloads", Payload, "sealed", models.Q(subject=None)),
    Sealed("subject keys", SubjectKey, "wrapped", models.Q(destroyed_at=None)),
    Sealed("pepper", Pepper, "sealed"),
    Sealed("secrets", SourceSecret, "value"),
    Sealed("credentials", Connection, "credentials"),
    Sealed("signing keys", SigningKey, "private"),
    Sealed("keys of exports", Export, "register_key"),
)


def reseal_column(column: Sealed, after: int = 0) -> Iterator[tuple[int, int]]:
    """Seals anew in batches by primary key, each in its own transaction: (last key, how many) after each.

    Start with `after` to go on where a run ended; doing a row twice harms nothing. A row that was changed
    meanwhile is left alone: what wrote it used the first key. Raises `CannotOpen`.
    """
    while keys := _next_keys(column, after):
        with transaction.atomic():
            done = sum(_reseal_row(column, key) for key in keys)
        after = keys[-1]
        yield after, done


def _next_keys(column: Sealed, after: int) -> list[int]:
    rows = column.model._base_manager.filter(column.rows, pk__gt=after).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:BATCH])


def _reseal_row(column: Sealed, key: int) -> int:
    rows = _raw(column).filter(pk=key)
    sealed = rows.values_list("raw_sealed", flat=True).first()
    if sealed is None:
        return 0
    fresh = models.Value(reseal(bytes(sealed)), output_field=models.BinaryField())
    return rows.filter(raw_sealed=sealed).update(**{column.field: fresh})


def _raw(column: Sealed) -> models.QuerySet[Any]:
    """The rows with their sealed bytes as they are stored, whatever the field makes of them."""
    stored = models.ExpressionWrapper(models.F(column.field), output_field=models.BinaryField())
    return column.model._base_manager.annotate(raw_sealed=stored)
