"""Refuse to delete logins: they are switched off, so that the audit log has a name for each number."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import ProtectedError
from django.db.models.signals import pre_delete
from django.dispatch import receiver


@receiver(pre_delete, sender=User)
def refuse_deletion(instance: User, **_: Any) -> None:
    """Raise ProtectedError, before anything that belongs to the login is deleted."""
    raise ProtectedError("Logins are switched off, never deleted.", {instance})
