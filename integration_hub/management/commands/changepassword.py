"""`manage.py changepassword`: Django's command, recorded on the audit log. The person then has to choose a password."""

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import User
from django.db import transaction

from audit.entries.append import SYSTEM, NewEntry, append_entries
from logins.given_passwords import mark_given_password


class Command(changepassword.Command):
    """Changes a password as Django does."""

    def handle(self, *args: Any, **options: Any) -> str:
        # Not in one transaction: it would be open while the password is typed.
        result = str(super().handle(*args, **options))
        person = User.objects.get_by_natural_key(options["username"] or getpass.getuser())
        with transaction.atomic():
            mark_given_password(person)
            append_entries(NewEntry(f"person:{person.pk}", "person.password-changed", SYSTEM))
        return result
