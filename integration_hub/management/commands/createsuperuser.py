"""`manage.py createsuperuser`: Django's command, recorded on the audit log."""

import logging
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User
from django.db import transaction

from audit.entries.append import SYSTEM, NewEntry, append_entries

logger = logging.getLogger("hub.logins")


class Command(createsuperuser.Command):
    """Creates a superuser as Django does.

    Where there is a superuser already, the alarm `break-glass` begins, because no one in the console approved it.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        known = set(User.objects.filter(is_superuser=True).values_list("pk", flat=True))
        # Not in one transaction: it would be open while the password is typed.
        super().handle(*args, **options)
        for person in User.objects.filter(is_superuser=True).exclude(pk__in=known):
            logger.critical("A superuser was created on the server: person %s. See the audit log.", person.pk)
            stream = f"person:{person.pk}"
            created = (
                NewEntry(stream, "person.break-glass", SYSTEM, {"change": "create-superuser"})
                if known
                else NewEntry(stream, "person.first-superuser", SYSTEM)
            )
            with transaction.atomic():
                append_entries(created, NewEntry(stream, "person.password-changed", SYSTEM))
