"""`manage.py break_glass`: change a login on the server when no one in the console can."""

import logging
import secrets
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from audit.entries.append import SYSTEM, NewEntry, append_entries
from logins.given_passwords import mark_given_password
from logins.guard import unlock_account

MAKE_SUPERUSER, END_SUPERUSER, RESET_LOGIN = "make-superuser", "end-superuser", "reset-login"
# 16 random bytes: nobody guesses it before the person changes it.
_PASSWORD_BYTES = 16
_MAX_REASON = 500
logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "For emergencies, when no one in the console can help: make a login a superuser, undo that, or reset a login "
        "(enable it, unlock it, and set a new password, which is printed once). Asks for a reason. The reason must "
        "not contain personal data: it stays in the audit log."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("change", choices=[MAKE_SUPERUSER, END_SUPERUSER, RESET_LOGIN])
        parser.add_argument("username")
        parser.add_argument(
            "--reason", default="", help="the reason; the command asks for it if it is omitted"
        )

    def handle(self, *args: Any, change: str, username: str, reason: str, **options: Any) -> None:
        person = User.objects.filter(username=username).first()
        if person is None:
            raise CommandError(f"There is no login {username!r}. A new superuser: manage.py createsuperuser.")
        reason = " ".join((reason or _prompt_for_reason()).split())
        if not reason:
            raise CommandError("Nothing was changed: enter a reason, which stays in the audit log.")
        password = secrets.token_urlsafe(_PASSWORD_BYTES) if change == RESET_LOGIN else ""
        with transaction.atomic():
            _change_login(person, change, password)
            details = {"change": change, "reason": reason[:_MAX_REASON]}
            stream = f"person:{person.pk}"
            append_entries(NewEntry(stream, "person.break-glass", SYSTEM, details))
            if password:
                mark_given_password(person)
                append_entries(NewEntry(stream, "person.password-changed", SYSTEM))
        # Whoever watches the log learns of it, although the console has no part in it. No name: it may be shipped.
        logger.critical("Break-glass on the server: %s for person %s. See the audit log.", change, person.pk)
        self.stdout.write("Done, and recorded in the audit log.")
        if password:
            self.stdout.write(f"Password, shown once: {password}")
            self.stdout.write("The person has to change it at the first login.")


def _change_login(person: User, change: str, password: str) -> None:
    """Change the login. A superuser can log in and open the console, or it would be none when it is needed."""
    if change == END_SUPERUSER:
        person.is_superuser = False
    else:
        person.is_active = person.is_staff = True
        unlock_account(person.get_username())
    if change == MAKE_SUPERUSER:
        person.is_superuser = True
    if change == RESET_LOGIN:
        person.set_password(password)
    person.save()


def _prompt_for_reason() -> str:
    try:
        return input("Reason (no personal data; stays in the audit log): ")
    except EOFError:
        return ""
