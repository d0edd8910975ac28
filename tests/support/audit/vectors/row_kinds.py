"""The published test vectors of `check_rows.py` by name: which export, and which fault in its rows."""

from collections.abc import Callable
from pathlib import Path

from tests.support.audit.log_state import LogState
from tests.support.audit.vectors import row_faults as faults
from tests.support.audit.vectors import row_scenarios as scenarios
from tests.support.audit.vectors.kinds import GoodVector, read_bad
from tests.support.audit.vectors.row_exports import RowExport

_EXPORTS: dict[str, tuple[Callable[[], RowExport], str]] = {
    "rows-whole": (
        scenarios.whole,
        "three events in four segments: succeeded, ignored, and failed on one of two routes",
    ),
    "rows-every-action": (
        scenarios.every_action,
        "two events; the last entries of their deliveries are all actions that set columns of theirs",
    ),
    "rows-made": (
        scenarios.made,
        "a webhook, and two events that a comparison made: one that a person requested, and one by schedule",
    ),
    "rows-observed": (
        scenarios.observed,
        "three events of routes that observe: beside one that writes, alone after a retry, and killing its processes",
    ),
    "rows-first-version": (
        scenarios.of_first_version,
        "an export of 0.1.0: its events have no columns that say what made them",
    ),
    "rows-no-event": (scenarios.without_events, "a period in which nothing arrived"),
    "rows-period": (scenarios.of_a_period, "one event by its time, with segments 2 to 4"),
    "rows-filtered": (scenarios.filtered, "one event by its state, with the streams of it alone"),
    "rows-xlsx": (scenarios.filtered_with_sheet, "the same, with a table in XLSX"),
    "rows-newer": (scenarios.newer_rows, "an event whose rows are newer than its entries"),
    "rows-deleted-meanwhile": (
        scenarios.deleted_meanwhile,
        "a table in CSV has an event more, which was deleted while the export was made",
    ),
    "rows-erased": (scenarios.erased, "the entity of the only event was erased"),
    "rows-being-erased": (scenarios.being_erased, "an erasure goes on: no entry has the pseudonym yet"),
    "rows-filtered-erased": (
        scenarios.erased_and_filtered,
        "a pseudonym in an export without entries about erasures",
    ),
    "rows-events-deleted": (scenarios.events_deleted, "retention deleted the first event"),
    "rows-events-deleted-after-checkpoint": (
        scenarios.events_deleted_after_checkpoint,
        "retention deleted the first event after the checkpoint: export.json alone says so",
    ),
    "rows-calls-deleted": (
        scenarios.calls_deleted,
        "retention deletes old calls: the first event has none left",
    ),
    "rows-entries-deleted": (
        scenarios.entries_pruned,
        "the only event is older than the entries that are stored",
    ),
}
GOOD_ROWS = {name: GoodVector(about) for name, (_, about) in _EXPORTS.items()}


def write_good_rows(name: str, folder: Path) -> None:
    """Write one of the correct scenarios."""
    _EXPORTS[name][0]().write(folder)


def row_log_of(name: str) -> LogState:
    """Return the log that a vector is of."""
    return _EXPORTS[name][0]().to_log()


BAD_ROWS = read_bad("bad_rows.toml", faults, "rows-filtered")
