"""Read from the audit log what was deleted on purpose: by retention, and by erasures."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from audit.checks.retention import PRUNING_STREAM
from audit.entries.readable_rows import iterate_entries
from audit.format.signed_records import format_time
from audit.models import Entry
from audit.retention.prune_entries import newest_announcement
from audit.sealing.signed_segments import last_segment
from exports.bundle.shipped.check_rows import CLOCKS_APART, DELETED, Deletions, RowFault
from exports.damaged_values import READ_ERRORS, is_damage
from sync.models import Erasure, ErasureState

ReadBody = Callable[[str], Mapping[str, Any]]


class StoredDeletions(Deletions):
    """Deletions as the entries in the database record them: also deletions of payloads, which no export has."""

    def __init__(self) -> None:
        super().__init__()
        # Payloads stored before this time.
        self.payloads_before = ""

    def add_entry(self, entry: Mapping[str, Any]) -> None:
        super().add_entry(entry)
        if entry["action"] in DELETED and entry["details"]["kind"] == "payloads":
            self.payloads_before = max(self.payloads_before, entry["details"]["up_to"])


class RecordedDeletions:
    """The recorded deletions as they were last read; None in `newest` before the first time."""

    def __init__(self, read_body: ReadBody) -> None:
        self._read_body = read_body
        self.newest: StoredDeletions | None = None
        # A fault for each entry about deletions that cannot be read, by its key.
        self.unreadable: dict[object, RowFault] = {}

    def load(self) -> StoredDeletions:
        """Return the deletions as of this moment. An entry that cannot be read counts as none."""
        deletions = StoredDeletions()
        entries = Entry.objects.filter(action__in=[*DELETED, "subject.erased"]).order_by("pk")
        for entry in iterate_entries(entries, 2_000):
            try:
                deletions.add_entry(self._read_body(entry.body))
            except READ_ERRORS:
                self._add_unreadable(entry.pk)
        # While one goes on, there are pseudonyms that no entry has yet.
        if Erasure.objects.filter(state=ErasureState.CONFIRMED).exists():
            deletions.erased = None
        try:
            deletions.entries_before = _deleted_entries_time()
        except READ_ERRORS as error:
            if not is_damage(error):
                raise
            self._add_unreadable(f"of stream {PRUNING_STREAM}")
        self.newest = deletions
        return deletions

    def _add_unreadable(self, key: object) -> None:
        self.unreadable[key] = RowFault("unreadable", "entries", key, "", "cannot be read")


def _deleted_entries_time() -> str:
    """Return the time up to which entries may have been deleted, as the log itself announces; empty if none were."""
    announced = newest_announcement(last_segment().number)
    if announced is None:
        return ""
    return format_time(datetime.fromisoformat(announced.sealed_at) + CLOCKS_APART)
