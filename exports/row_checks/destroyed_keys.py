"""Finds keys of entities that were destroyed although no erasure in the audit log names the entity.

Without its key, nothing that is stored about an entity can be read any more.
"""

from collections.abc import Iterator

from audit.format.signed_records import format_time
from exports.bundle.shipped.check_rows import RowFault
from exports.bundle.unreadable_rows import read_values
from exports.row_checks.recorded_deletions import StoredDeletions
from webhooks.models import SubjectKey

PAGE_SIZE = 500


def find_destroyed_keys(deletions: StoredDeletions) -> Iterator[RowFault]:
    """Yield a fault for each destroyed key whose pseudonym no erasure names. Finds none while an erasure goes on.

    The entry of an old erasure may have been deleted.
    """
    rows, after = SubjectKey.objects.filter(destroyed_at__isnull=False), 0
    while deletions.erased is not None:
        keys = list(rows.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:PAGE_SIZE])
        if not keys:
            return
        after = keys[-1]
        page, unreadable = read_values(
            SubjectKey.objects.all(), keys, ("pk", "pseudonym", "destroyed_at"), "subject keys"
        )
        yield from unreadable
        for key, pseudonym, destroyed_at in page:
            if pseudonym not in deletions.erased and not (
                destroyed_at is not None and deletions.has_no_entries(format_time(destroyed_at))
            ):
                yield RowFault(
                    "erasure-unrecorded",
                    "subject keys",
                    f"with id {key}",
                    "destroyed_at",
                    "is set, but no erasure in the log names the entity",
                )
