"""Promise I28: what the log says and what the rows say agree. A row changed by SQL is found, and no honest one is."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection

from audit.export.line_formats import json_lines
from exports.bundle.export_rows import read_rows
from exports.bundle.schema import TABLES
from exports.bundle.shipped import check_rows
from exports.row_checks.nightly_rows import find_row_faults
from sync.comparisons.make_equal import make_equal_at_once
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Call, Delivery
from sync.replays.requests import request_replay
from tests.support.audit.row_tampering import RowChange, every_change
from tests.support.builders.differences import user_route
from tests.support.builders.exports import a_finished_export, unpack_export
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import person
from webhooks.models import Event, Receipt, State


@pytest.fixture
def busy_hub(hub: Hub) -> Hub:
    """A hub with one event of each kind: succeeded, unchanged, repeated, failed, replayed, ignored, unusable, made."""
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
    by = person()
    request_replay(list(dead), by=by, reason="the address is free")
    run_due_deliveries()
    make_anna_equal(hub, by)
    hub.change_email("taken@example.com")
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    return hub


def make_anna_equal(hub: Hub, by: User) -> Event:
    """Make a difference equal, and deliver the event of that."""
    hub.wait_until_quiet()
    hub.change_email("anna.drifted@example.com")
    make_equal_at_once(user_route(), ANNA, "UPDATE", by=by, reason="she called")
    run_due_deliveries()
    hub.wait_until_quiet()
    return Event.objects.get(origin="comparison")


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


def is_refused(change: RowChange) -> bool:
    """Return whether the database itself refuses the statement, by a constraint on the row."""
    try:
        with change.made():
            return False
    except IntegrityError:
        return True


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
    every = every_change(succeeded, *others, events.get(origin="comparison"))
    changes = [change for change in every if not is_refused(change)]
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


def test_what_made_an_event_cannot_be_changed_unnoticed(hub: Hub, tmp_path: Path) -> None:
    """Holds that a webhook is not passed off as made by the hub, nor the reverse: row by row, in both checkers."""
    hub.post_signed(EXAMPLE)
    made = make_anna_equal(hub, person())
    folder = unpack_export(a_finished_export({}, table="none"), tmp_path)
    rewrite_rows(folder)
    assert list(find_row_faults()) == check_rows.RowChecker(str(folder)).check_export() == []
    webhook = Event.objects.get(origin="webhook")
    receipt = Receipt.objects.get()
    changes = [
        a_change(Event, webhook, origin="comparison"),
        a_change(Event, made, origin="catch-up"),
        a_change(Event, made, origin="webhook", requested_by=None),
        a_change(Event, made, requested_by=made.requested_by + 1),
        a_change(Event, made, requested_by=None),
        a_change(Event, made, digest=bytes(webhook.digest)),
        a_change(Receipt, receipt, event_id=made.pk),
        a_change(Attempt, made.deliveries.get().attempts.get(), cause="webhook"),
    ]
    assert missed_changes(folder, changes) == []


def a_change(model: Any, row: Any, **values: Any) -> RowChange:
    """Return the change of columns of one row in one statement."""

    def bound(source: dict[str, Any]) -> tuple[Any, ...]:
        fields = [model._meta.get_field(name) for name in values]
        return tuple(field.get_db_prep_value(source[field.attname], connection) for field in fields)

    columns = ", ".join(f"{model._meta.get_field(name).column} = %s" for name in values)
    sql = f"UPDATE {model._meta.db_table} SET {columns} WHERE id = %s"
    after = {model._meta.get_field(name).attname: value for name, value in values.items()}
    before = {name: getattr(row, name) for name in after}
    return RowChange(
        f"{model.__name__} {values}", sql, (*bound(after), row.pk), sql, (*bound(before), row.pk)
    )
