"""Whose payloads are whose: a key for each subject, found by its pseudonym."""

import os
from datetime import datetime
from typing import Self

from django.db import models

from database.model_rows import new_row
from webhooks.encryption.at_rest import CannotOpen, seal, unseal
from webhooks.encryption.subject_cipher import KEY_BYTES, SubjectSealer
from webhooks.encryption.subject_cipher import unseal as unseal_of_subject

PSEUDONYM_MARK = "~"  # no id that a source can send begins with it


def is_erased(entity_id: str) -> bool:
    """Whether a pseudonym stands where the id of an entity was."""
    return entity_id.startswith(PSEUDONYM_MARK)


class Pepper(models.Model):
    """The one secret under which pseudonyms are made; sealed under SEALING_KEYS, and the same for as long as the hub
    lives: `manage.py reseal` seals it anew, and pseudonyms stay what they are.
    """

    sealed = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return "the pepper"


class SubjectKey(models.Model):
    """The key that seals what is known of one entity of one source. Without `wrapped` it is destroyed.

    `pseudonym` says whose it is to those who know the pepper and the entity's id, and to nobody else. An entity that
    comes again after its erasure gets a new key.
    """

    pseudonym = models.CharField(max_length=64)
    wrapped = models.BinaryField(null=True, help_text="the key, sealed under SEALING_KEYS")
    made_at = models.DateTimeField()
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["pseudonym"], condition=models.Q(destroyed_at=None), name="one_key_a_subject"
            ),
            models.CheckConstraint(
                condition=models.Q(wrapped=None, destroyed_at__isnull=False)
                | models.Q(wrapped__isnull=False, destroyed_at=None),
                name="destroyed_means_no_key",
            ),
        ]
        indexes = [
            models.Index(
                fields=["destroyed_at"],
                condition=models.Q(destroyed_at__isnull=False),
                name="subject_destroyed",
            ),
        ]

    _plain: bytes | None = None
    _sealer: SubjectSealer | None = None

    def __str__(self) -> str:
        return f"key {self.pk}"

    @classmethod
    def new(cls, pseudonym: str, at: datetime) -> Self:
        """A key that is not stored yet."""
        plain = os.urandom(KEY_BYTES)
        made = new_row(cls, pseudonym=pseudonym, wrapped=seal(plain), made_at=at)
        made._plain = plain
        return made

    def seal(self, plain: bytes) -> bytes:
        """Sealed so that only this key opens it. `CannotOpen` where it is destroyed."""
        if self._sealer is None:
            self._sealer = SubjectSealer(self._key())
        return self._sealer.seal(plain)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed. `CannotOpen` where the key is destroyed or another one."""
        return unseal_of_subject(self._key(), sealed)

    def _key(self) -> bytes:
        if self._plain is None:
            if self.wrapped is None:
                raise CannotOpen("the key of this subject is destroyed")
            self._plain = unseal(bytes(self.wrapped))
        return self._plain
