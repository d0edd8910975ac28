"""Promise I28: what the log says and what the rows say agree. A row changed by SQL is found, and no honest one is."""

import json
from pathlib import Path

import pytest

from audit.export.line_formats import json_lines
from exports.bundle.export_rows import read_rows
from exports.bundle.schema import TABLES
from exports.bundle.shipped import check_rows
from exports.row_checks.nightly_rows import find_row_faults
from sync.execution.executor import run_due_deliveries
from sync.models import Call, Delivery
from sync.replays.requests import request_replay
from tests.support.audit.row_tampering import RowChange, every_change
from tests.support.builders.exports import a_finished_export, unpack_export
from tests.support.hub import EXAMPLE, Hub
from tests.support.people import person
from webhooks.models import Event, Receipt, State


@pytest.fixture
def busy_hub(hub: Hub) -> Hub:
    """A hub with one event of each kind: succeeded, unchanged, repeated, failed, replayed, ignored, unusable."""
    hub.change_email("anna.new@example.com")
    hub.post_signed(EXAMPLE, "msg_first")
    hub.post_signed(EXAMPLE, "msg_first")
    hub.post(EXAMPLE)
    hub.post_signed(json.loads(EXAMPLE) | {"respond": "ack"})
    hub.post_signed(json.loads(EXAMPLE) | {"entityType": "PLANET"})
    hub.post_signed(b"{}")
    hub.change_email("taken@example.com")
    hub.post_signed(EXAMPLE)
    hub.shop.faults.add("error", status=503)
    hub.post_signed(EXAMPLE)
    hub.shop.faults.clear()
    hub.change_email("anna.free@example.com")
    dead = Event.objects.filter(state=State.DEAD)
    request_replay(list(dead), by=person(), reason="the address is free")
    run_due_deliveries()
    hub.change_email("taken@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    return hub


def exported_faults(tmp_path: Path) -> list[str]:
    folder = unpack_export(a_finished_export(), tmp_path)
    return check_rows.RowChecker(str(folder)).check_export()


@pytest.mark.submission
def test_an_unchanged_history_has_no_fault_and_a_changed_row_is_found_in_a_whole_export(
    busy_hub: Hub, tmp_path: Path
) -> None:
    assert list(find_row_faults()) == []
    assert exported_faults(tmp_path) == []
    Delivery.objects.filter(state=State.DEAD).update(state=State.SUCCEEDED)
    faults = exported_faults(tmp_path)
    assert faults
    assert all("state: is 'succeeded', but its entries say 'dead'" in fault for fault in faults)


def rewrite_rows(folder: Path) -> None:
    """Write the rows of all events into an export again, as an export of this moment would have them."""
    tables = read_rows(list(Event.objects.order_by("pk").values_list("pk", flat=True)))
    metadata = json.loads((folder / "export.json").read_text())
    for table in TABLES:
        rows = tables[table.name]
        (folder / f"{table.name}.jsonl").write_text("".join(json_lines(table.column_names, rows)))
        metadata["rows"][table.name] = len(rows)
    (folder / "export.json").write_text(json.dumps(metadata))


def missed_changes(folder: Path, changes: list[RowChange]) -> list[str]:
    """Return the changes that the nightly check or the checker of the export does not find."""
    missed = []
    for change in changes:
        with change.made():
            rewrite_rows(folder)
            if not list(find_row_faults()):
                missed.append(f"nightly: {change.name}")
            if change.shown_in_exports and not check_rows.RowChecker(str(folder)).check_export():
                missed.append(f"export: {change.name}")
    return missed


@pytest.mark.nightly
@pytest.mark.promise("I28")
def test_each_change_of_one_statement_is_found_by_the_nightly_check_and_by_that_of_an_export(
    busy_hub: Hub, tmp_path: Path
) -> None:
    folder = unpack_export(a_finished_export({}, table="none"), tmp_path)
    events = Event.objects.order_by("pk")
    succeeded = events.filter(deliveries__state=State.SUCCEEDED).first()
    others = events.filter(state__in=[State.DEAD, State.IGNORED])
    assert succeeded is not None
    assert {event.state for event in others} == {State.DEAD, State.IGNORED}
    changes = list(every_change(succeeded, *others))
    missed = missed_changes(folder, changes)
    in_exports = sum(change.shown_in_exports for change in changes)
    print(f"{len(changes)} changes, {in_exports} of them of what an export shows: {len(missed)} not found")
    assert missed == [], "\n".join(missed)
    rewrite_rows(folder)
    assert list(find_row_faults()) == check_rows.RowChecker(str(folder)).check_export() == []


@pytest.mark.submission
def test_the_nightly_check_names_the_code_of_each_fault(busy_hub: Hub) -> None:
    Delivery.objects.filter(state=State.DEAD).update(state=State.SUCCEEDED)
    faults = list(find_row_faults())
    assert faults
    assert all(fault.startswith("[row-differs] deliveries ") for fault in faults), faults
    Receipt.objects.filter(event=None).delete()
    assert [fault for fault in find_row_faults() if fault.startswith("[row-missing] receipts ")]


def test_exchanged_responses_of_two_calls_are_found(hub: Hub, tmp_path: Path) -> None:
    hub.change_email("anna.new@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    folder = unpack_export(a_finished_export({}, table="none"), tmp_path)
    first, second = Call.objects.exclude(response=None).order_by("pk")[:2]
    assert first.response_id == second.response_id
    Call.objects.filter(pk=first.pk).update(response_part=second.response_part)
    Call.objects.filter(pk=second.pk).update(response_part=first.response_part)
    rewrite_rows(folder)
    for faults in (list(find_row_faults()), check_rows.RowChecker(str(folder)).check_export()):
        assert sum("response_part: differs from every call" in fault for fault in faults) == 2
