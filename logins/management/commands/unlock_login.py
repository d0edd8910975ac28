"""`manage.py unlock_login`: let a person log in again who is locked out by failed attempts."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from audit.entries.append import SYSTEM, NewEntry, append_entries
from logins.addresses import network_of
from logins.guard import unlock_account
from logins.limits import find_account


class Command(BaseCommand):
    help = "Unlock the login of a person who is locked out by failed attempts, for example the only administrator."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--address", default="", help="the person's address: strangers can no longer lock it out"
        )

    def handle(self, *args: Any, username: str, address: str, **options: Any) -> None:
        account = find_account(username)
        if not account.number:
            raise CommandError(f"There is no account {username!r}.")
        network = network_of(address)
        if address and not network:
            raise CommandError(f"{address!r} is not an IP address.")
        with transaction.atomic():
            unlock_account(username, address)
            append_entries(
                NewEntry(f"person:{account.number}", "person.unlocked", SYSTEM, {"allowed": network})
            )
        self.stdout.write("The person can log in again.")
