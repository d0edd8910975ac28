"""Payloads: the only table of personal data. They are encrypted, and can be deleted without touching the rows that
refer to them.

On the path of a webhook a foreign key has no constraint in the database (`db_constraint=False`) if something else
proves it: parent and child are stored by one statement, the parent is never deleted, or it is locked. Each constraint
would lock a row for each webhook. The constraints that remain guard settings: a process may have a source, a route or a
connection cached that has just been deleted, and then storing must fail.
"""

import json
from hashlib import sha256
from typing import Any, Self

from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from database.encryption.at_rest import decrypt, encrypt
from database.model_rows import new_row
from database.row_ids import id_bound
from webhooks.models.subject_key import SubjectKey


def indexes_where_set(prefix: str, *names: str) -> list[models.Index]:
    """Return a partial index for each of these foreign keys. Most rows have none, and cost no index entry then."""
    return [
        models.Index(fields=[name], condition=models.Q(**{f"{name}__isnull": False}), name=f"{prefix}_{name}")
        for name in names
    ]


class Payload(models.Model):
    """Encrypted bytes: a body, what an attempt found, or requests and responses of its calls."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", _("webhook as received")
        ANSWER = "answer", _("response as sent")
        FINDINGS = "findings", _("what an attempt found")
        REQUEST = "request", _("outgoing request")
        RESPONSE = "response", _("responses to the outgoing requests of an attempt")

    kind = models.CharField(max_length=16, choices=Kind)
    encrypted = models.BinaryField()
    size = models.PositiveIntegerField(help_text="bytes before encryption")
    created_at = models.DateTimeField(auto_now_add=True)
    subject = models.ForeignKey(
        SubjectKey,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="the key that encrypts it; without one, SEALING_KEYS do",
    )

    class Meta:
        constraints = [id_bound("payload")]
        default_permissions = ("view",)
        indexes = indexes_where_set("payload", "subject")

    _plain: bytes | None = None
    _document: Any = None

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.size} bytes"

    @classmethod
    def new(cls, kind: str, plain: bytes, key: SubjectKey | None) -> Self:
        """Return a payload that is not saved yet, encrypted with the subject's key, or with SEALING_KEYS without one.

        `decrypt` of this object needs no key: it still has the plain bytes.
        """
        encrypted = encrypt(plain) if key is None else key.encryptor.encrypt(plain)
        payload = new_row(cls, kind=kind, encrypted=encrypted, size=len(plain), subject=key)
        payload._plain = plain
        # Set here, because nearly each new payload has a place in an audit entry.
        payload.entry_digest = payload_digest(kind, len(plain), encrypted)
        return payload

    @cached_property
    def entry_digest(self) -> str:
        """The digest by which the audit entry of a row names this payload."""
        return payload_digest(self.kind, self.size, bytes(self.encrypted))

    def decrypt(self) -> bytes:
        """Return the plain bytes. Raises CannotDecrypt if the key is destroyed or missing."""
        if self._plain is not None:
            return self._plain
        encrypted = bytes(self.encrypted)
        return decrypt(encrypted) if self.subject is None else self.subject.decrypt(encrypted)

    def json_document(self) -> Any:
        """Return the JSON document of the payload; None if it is not JSON. Raises CannotDecrypt.

        Several readers of this object share one parsed document, so none may change it.
        """
        if self._document is None:
            try:
                self._document = json.loads(self.decrypt())
            except (ValueError, RecursionError):
                return None
        return self._document


def payload_digest(kind: str, size: int, encrypted: bytes) -> str:
    """Return the digest of an encrypted payload as it is stored, with its kind and its plain size in bytes: 96 bits.

    It needs no key: the encrypted bytes cannot be guessed, because a random salt is among them.
    """
    return sha256(b"hub-payload-1\0%b\0%d\0%b" % (kind.encode("ascii"), size, encrypted)).hexdigest()[:24]


def payload_foreign_key(help_text: str = "") -> "models.ForeignKey[Payload | None, Payload | None]":
    """Return a foreign key to a payload, set to NULL when that is deleted, without a constraint in the database."""
    return models.ForeignKey(
        Payload,
        models.SET_NULL,
        null=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text=help_text,
    )
