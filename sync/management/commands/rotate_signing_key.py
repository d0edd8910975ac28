"""`manage.py rotate_signing_key`: a new key signs the audit log from now on."""

from typing import Any

from django.core.management.base import BaseCommand

from sync.housekeeping.audit_upkeep import replace_signing_key


class Command(BaseCommand):
    help = (
        "Create a new signing key for the audit log, sign it with the old key, and destroy the "
        "old private key."
    )

    def handle(self, **_: Any) -> None:
        replace_signing_key()
        self.stdout.write("The new key is active. The old private key was destroyed.")
