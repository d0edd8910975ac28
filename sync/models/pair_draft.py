"""Pair drafts: a sender, an identity service and a target that a person is connecting on one page."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import models

from connectors.registry import find_credential_origins
from database.encryption.at_rest import CannotDecrypt, EncryptedJSONField
from sync.models.route import Route


class PairDraft(models.Model):
    """What one person has chosen and entered for a pair. Nothing uses it before the pair is created.

    `parts`: by the name of a part, the choice and the documents that it led to; see `sync.pairs.drafts`.
    `credentials`: by the same names, those of connections that do not exist yet. `tests`: by the same names, the time
    and the steps of the last test. `route`: of the created pair; then there are no credentials, and the row ends once
    the route is live. `ends_at`: the row is deleted then unless the pair was created; by the database's clock.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    parts = models.JSONField(default=dict)
    credentials = EncryptedJSONField(null=True)
    tests = models.JSONField(default=dict)
    testing_until = models.DateTimeField(null=True, help_text="until when a test may still run")
    route = models.OneToOneField(Route, models.CASCADE, null=True, related_name="pair_draft")
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(route=None) | models.Q(credentials=None),
                name="created_pair_without_secrets",
            )
        ]

    def __str__(self) -> str:
        return f"pair draft {self.pk}"

    @property
    def stream(self) -> str:
        """Return its stream of the audit log."""
        return f"pair:{self.uuid}"

    def secret_binding(self) -> Sequence[str]:
        """Bind the credentials to this row and to the origins that receive them, as those of a connection."""
        origins = [
            f"{name} {origin}"
            for name, part in sorted(self.parts.items())
            if "base_url" in part
            for origin in find_credential_origins(part["base_url"], part["authentication"])
        ]
        return ("pair-draft", str(self.uuid), *origins)

    def read_credentials(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the stored credentials by part; empty without any, and if they cannot be decrypted."""
        try:
            return self.credentials or {}
        except CannotDecrypt:
            return {}
