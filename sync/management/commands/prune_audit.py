"""`manage.py prune_audit`: delete old audit entries, for installations whose database role may not delete
them nightly.
"""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.retention.database_grants import may_delete_entries
from sync.housekeeping.retention_rules import prune_audit_entries


class Command(BaseCommand):
    help = (
        "Delete audit entries that are older than KEEP_AUDIT_DAYS, in whole segments, oldest "
        "first. The deletion is recorded in the log first, and the hashes of deleted segments "
        "are kept as proof. Run it as the owner of the tables."
    )

    def handle(self, **_: Any) -> None:
        if settings.KEEP_AUDIT_DAYS <= 0:
            raise CommandError(
                f"KEEP_AUDIT_DAYS is {settings.KEEP_AUDIT_DAYS}: audit entries are never deleted."
            )
        if not may_delete_entries():
            raise CommandError(
                "This database role cannot delete audit entries. Set DATABASE_URL to the owner of the tables."
            )
        self.stdout.write(f"{prune_audit_entries()} audit entries were deleted.")
