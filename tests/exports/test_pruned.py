"""What retention deleted is no fault of an export, for the log says so; what somebody else deleted is."""

from pathlib import Path
from typing import Any

from django.utils import timezone

from integration_hub.console.exporting import check_rows
from sync.evidence import seal_audit
from sync.retention import prune
from tests.console.history import a_source
from tests.exports.making import exported, happened, unpacked
from tests.exports.test_bundles import cut
from webhooks.models import Event


def test_events_that_grew_too_old_are_not_missed_and_others_are(
    database: None, tmp_path: Path, settings: Any
) -> None:
    source = a_source()
    for number in range(3):
        happened(number, source=source)  # long ago
    kept = [happened(number, source=source, received_at=timezone.now()) for number in (7, 8)]
    settings.KEEP_EVENTS_DAYS = (timezone.now() - kept[0].received_at).days + 30
    assert prune() > 0
    assert set(Event.objects.all()) == set(kept)
    seal_audit()
    assert faults(tmp_path) == []
    cut(kept[0])
    [fault] = faults(tmp_path)
    assert kept[0].reference in fault


def faults(folder: Path) -> list[str]:
    """Of the rows of an export that is made now."""
    return check_rows.Rows(str(unpacked(exported(), folder))).check()
