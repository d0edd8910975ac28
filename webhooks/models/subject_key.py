"""Subject keys: an encryption key for each entity of a source, found by the entity's pseudonym."""

import os
from datetime import datetime
from functools import cached_property
from typing import Self

from django.db import models

from database.encryption.at_rest import CannotDecrypt, decrypt, encrypt
from database.encryption.subject_cipher import KEY_BYTES, SubjectEncryptor
from database.encryption.subject_cipher import decrypt as decrypt_of_subject
from database.model_rows import new_row
from database.row_ids import id_bound

# No id that a source can send begins with it.
PSEUDONYM_MARK = "~"


def is_erased(entity_id: str) -> bool:
    """True if an entity's id has been replaced by a pseudonym."""
    return entity_id.startswith(PSEUDONYM_MARK)


class Pepper(models.Model):
    """The secret with which pseudonyms are computed, encrypted with SEALING_KEYS. It never changes: `manage.py reseal`
    only encrypts it again, and pseudonyms stay the same.
    """

    encrypted = models.BinaryField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return "the pepper"


class SubjectKey(models.Model):
    """The key that encrypts the payloads of one entity of one source. Without `wrapped` it is destroyed.

    `pseudonym` identifies the entity only to a reader who has the pepper and the entity's id. An entity that appears
    again after its erasure gets a new key.
    """

    pseudonym = models.CharField(max_length=64)
    wrapped = models.BinaryField(null=True, help_text="the key, encrypted with SEALING_KEYS")
    made_at = models.DateTimeField()
    search_state = models.CharField(
        max_length=24,
        null=True,
        help_text="digest of the values by which the entity is found, as last stored",
    )
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            id_bound("subjectkey"),
            # Only for live keys: the row of a destroyed key stays when the entity gets a new one.
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
            models.Index(
                fields=["pseudonym"], condition=models.Q(destroyed_at__isnull=False), name="erased_pseudonym"
            ),
        ]

    _plain: bytes | None = None

    def __str__(self) -> str:
        return f"key {self.pk}"

    @classmethod
    def new(cls, pseudonym: str, at: datetime) -> Self:
        """Return a new random key that is not stored yet."""
        plain = os.urandom(KEY_BYTES)
        key = new_row(cls, pseudonym=pseudonym, wrapped=encrypt(plain), made_at=at)
        key._plain = plain
        return key

    @cached_property
    def encryptor(self) -> SubjectEncryptor:
        """The encryptor of this process for this key. Raises CannotDecrypt if the key is destroyed."""
        return SubjectEncryptor(self._plain_key())

    def require_usable(self) -> None:
        """Load the key, which then stays usable in this process. Raises CannotDecrypt if it is destroyed."""
        self._plain_key()

    def decrypt(self, encrypted: bytes) -> bytes:
        """Decrypt a value. Raises CannotDecrypt if this key is destroyed or is not the one that encrypted it."""
        return decrypt_of_subject(self._plain_key(), encrypted)

    def _plain_key(self) -> bytes:
        if self._plain is None:
            if self.wrapped is None:
                raise CannotDecrypt("the key of this subject is destroyed")
            self._plain = decrypt(bytes(self.wrapped))
        return self._plain
