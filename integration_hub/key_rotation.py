"""Key rotation: encrypt all stored data again with the current key, so that an old key can be removed.

The current key is the first of SEALING_KEYS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from audit.models import SigningKey
from database.encryption.at_rest import CannotDecrypt, EncryptedJSONField, encrypt_again
from exports.models import Export
from sync.models import Connection, PairDraft, RefreshedToken
from webhooks.models import Payload, Pepper, SourceSecret, SubjectKey

BATCH_SIZE = 500
ALL_ROWS = models.Q()


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """A column of encrypted values. `name` is what messages call its rows.

    `rows` selects the rows that are encrypted with SEALING_KEYS: payloads of a subject are encrypted with its own key.
    """

    name: str
    model: type[models.Model]
    field: str
    rows: models.Q = ALL_ROWS


ENCRYPTED_COLUMNS = (
    EncryptedColumn("payloads", Payload, "encrypted", models.Q(subject=None)),
    EncryptedColumn("subject keys", SubjectKey, "wrapped", models.Q(destroyed_at=None)),
    EncryptedColumn("pepper", Pepper, "encrypted"),
    EncryptedColumn("secrets", SourceSecret, "value"),
    EncryptedColumn("credentials", Connection, "credentials"),
    EncryptedColumn("credentials of pair drafts", PairDraft, "credentials"),
    EncryptedColumn("refresh tokens", RefreshedToken, "tokens", ~models.Q(tokens=None)),
    EncryptedColumn("signing keys", SigningKey, "private"),
    EncryptedColumn("keys of exports", Export, "register_key"),
)


def reencrypt_column(column: EncryptedColumn, after: int = 0) -> Iterator[tuple[int, int]]:
    """Encrypt a column again, in batches by primary key, each in its own transaction.

    Yields the last primary key and the number of rows after each batch. Pass the last primary key as `after` to
    continue an interrupted run; encrypting a row twice does no harm. A row that changes meanwhile is skipped, as
    its writer used the current key. Raises `CannotDecrypt`, which names the row, if a value cannot be decrypted.
    """
    while keys := _list_next_keys(column, after):
        with transaction.atomic():
            count = sum(_reencrypt_row(column, key) for key in keys)
        after = keys[-1]
        yield after, count


def _list_next_keys(column: EncryptedColumn, after: int) -> list[int]:
    rows = column.model._base_manager.filter(column.rows, pk__gt=after).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:BATCH_SIZE])


def _reencrypt_row(column: EncryptedColumn, key: int) -> int:
    stored_row = _with_stored_bytes(column).filter(pk=key)
    row = stored_row.defer(column.field).first()
    if row is None or row.stored_bytes is None:
        return 0
    encrypted = bytes(row.stored_bytes)
    try:
        reencrypted = _reencrypt_value(column, row, encrypted)
    except CannotDecrypt as error:
        raise CannotDecrypt(f"row {key} ({row}): {error}") from error
    return stored_row.filter(stored_bytes=encrypted).update(**{column.field: reencrypted})


def _reencrypt_value(column: EncryptedColumn, row: Any, encrypted: bytes) -> Any:
    field = column.model._meta.get_field(column.field)
    if isinstance(field, EncryptedJSONField):
        return field.reencrypt_for(row, encrypted)
    return encrypt_again(encrypted)


def _with_stored_bytes(column: EncryptedColumn) -> models.QuerySet[Any]:
    """Annotate all rows of a column with the encrypted bytes as stored, without the conversion of the model's field."""
    stored = models.ExpressionWrapper(models.F(column.field), output_field=models.BinaryField())
    return column.model._base_manager.annotate(stored_bytes=stored)
