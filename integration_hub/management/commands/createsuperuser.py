"""`manage.py createsuperuser`: Django's command, recorded on the audit log."""

import logging
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.models import User
from django.db import transaction

from audit.entries.append import SYSTEM, NewEntry, append_entries
from logins.given_passwords import mark_given_password

logger = logging.getLogger("hub.logins")


class Command(createsuperuser.Command):
    """Creates a superuser as Django does.

    A password that was not typed, or that is not of the first superuser, has to be changed at the first login. Where
    there is a superuser already, the alarm `break-glass` begins, because no one in the console approved it.
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
                # Only whoever types the password of the first superuser has surely chosen it for themselves.
                if known or not options["interactive"]:
                    mark_given_password(person)
                append_entries(created, NewEntry(stream, "person.password-changed", SYSTEM))
