"""The only place of personal bytes: sealed, and deletable without touching the history that points here.

Foreign keys of the hot path have no constraint in the database (`db_constraint=False`) where something else proves
them: parent and child are stored by one statement, or the parent is never deleted, or a lock keeps it. Each constraint
would lock a row for each webhook. The constraints that stay guard settings: a process may go on for a second with a
source, a route or a connection that has just been deleted, and then storing fails.
"""

from typing import Self

from django.db import models

from database.model_rows import new_row
from webhooks.encryption.at_rest import seal, unseal
from webhooks.models.subject_key import SubjectKey


def indexes_where_set(prefix: str, *names: str) -> list[models.Index]:
    """An index of each of these foreign keys, of rows that have one: most have none, and an index of nothing is written
    with each of them.
    """
    return [
        models.Index(fields=[name], condition=models.Q(**{f"{name}__isnull": False}), name=f"{prefix}_{name}")
        for name in names
    ]


class Payload(models.Model):
    """A sealed blob: a raw body, a fetched entity, before and after, what a call sent and was answered."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "webhook as received"
        ANSWER = "answer", "response as sent"
        ENTITY = "entity", "entity as fetched"
        CHANGE = "change", "before and after"
        REQUEST = "request", "outgoing request"
        RESPONSE = "response", "response to an outgoing request"

    kind = models.CharField(max_length=16, choices=Kind)
    sealed = models.BinaryField()
    size = models.PositiveIntegerField(help_text="bytes before sealing")
    created_at = models.DateTimeField(auto_now_add=True)
    subject = models.ForeignKey(
        SubjectKey,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="whose key seals it; without one, SEALING_KEYS do",
    )

    class Meta:
        default_permissions = ("view",)
        indexes = indexes_where_set("payload", "subject")

    _plain: bytes | None = None

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.size} bytes"

    @classmethod
    def of(cls, kind: str, plain: bytes, key: SubjectKey | None) -> Self:
        """A payload that is not saved yet, sealed under the key of whom it is about, of nobody's under the hub's.

        It opens without its key: who made it knew its bytes.
        """
        sealed = seal(plain) if key is None else key.seal(plain)
        made = new_row(cls, kind=kind, sealed=sealed, size=len(plain), subject=key)
        made._plain = plain
        return made

    def open(self) -> bytes:
        """The bytes that were sealed; `CannotOpen` when the key is gone."""
        if self._plain is not None:
            return self._plain
        sealed = bytes(self.sealed)
        return unseal(sealed) if self.subject is None else self.subject.open(sealed)


def payload_key(help_text: str = "") -> "models.ForeignKey[Payload | None, Payload | None]":
    """Return a foreign key to a payload, which may be deleted: a row of the hot path names it (see above)."""
    return models.ForeignKey(
        Payload,
        models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text=help_text,
    )
