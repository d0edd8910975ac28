"""Retention that deletes rows or entries while the nightly check reads raises no false alarm."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.entries.append import NewEntry, append_entries
from audit.format.signed_records import format_time
from audit.sealing.seal import seal_entries
from audit.verification.check_database import verify_database
from config_schema.codes.reference import to_reference
from database.clock import read_clock
from exports.row_checks.nightly_rows import find_row_faults
from sync.housekeeping.audit_upkeep import CIPHER, seal_audit
from sync.housekeeping.retention_rules import prune_expired
from tests.exports.interrupted_exports import elsewhere
from tests.support.builders.exports import a_recorded_event
from tests.support.builders.history import a_receipt, a_source
from tests.support.wired_hub import wipe_database
from webhooks.models import Receipt


def an_unusable_request(received: datetime) -> Receipt:
    """Create a request that was no webhook, with the audit entry that the hub writes for it."""
    with transaction.atomic():
        receipt = a_receipt(
            None, received_at=received, answered_at=received, status=400, code="not-json", answer=None
        )
        details = {
            "receipt": to_reference(receipt.uuid),
            "status": 400,
            "code": "not-json",
            "final": receipt.is_final,
            "verified_by": receipt.verified_by,
            "size": receipt.size,
            "received": format_time(received),
        }
        append_entries(
            NewEntry(f"setting:source:{receipt.source_id}", "webhook.unusable", details=details, at=received)
        )
    return receipt


def run_before_statement(number: int, act: Callable[[], object], check: Callable[[], list[str]]) -> list[str]:
    """Return what a check finds if something is done elsewhere just before its statement of this number."""
    count = 0

    def execute_after(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            elsewhere(act)
        return execute(*arguments)

    with connection.execute_wrapper(execute_after):
        return check()


def count_statements(check: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        check()
    return len(queries)


def find_log_faults() -> list[str]:
    return [str(fault) for fault in verify_database().faults]


def all_row_faults() -> list[str]:
    return list(find_row_faults())


@pytest.fixture
def kept(settings: Any) -> None:
    """Retention deletes nothing."""
    settings.KEEP_PAYLOADS_DAYS = settings.KEEP_CALLS_DAYS = settings.KEEP_EVENTS_DAYS = 0
    settings.KEEP_AUDIT_DAYS = 0


def a_log_of_two_ages() -> None:
    """Create events and unusable requests that are 40 days old, and some that are new."""
    source, old = a_source(), read_clock() - timedelta(days=40)
    for number in range(2):
        a_recorded_event(number, source=source, received_at=old + timedelta(seconds=number))
        an_unusable_request(old + timedelta(seconds=10 + number))
    seal_entries(CIPHER, old + timedelta(minutes=5))
    a_recorded_event(7, source=source, received_at=read_clock())
    an_unusable_request(read_clock())
    seal_audit()


@pytest.mark.nightly
@pytest.mark.parametrize("check", [all_row_faults, find_log_faults])
@pytest.mark.parametrize("kind", ["EVENTS", "CALLS", "AUDIT"])
def test_retention_before_any_statement_of_a_check_raises_no_false_alarm(
    database: None, kept: None, settings: Any, kind: str, check: Callable[[], list[str]]
) -> None:
    a_log_of_two_ages()
    statements = count_statements(check)
    assert statements > 10
    found = {}
    for number in range(1, statements + 1):
        wipe_database()
        setattr(settings, f"KEEP_{kind}_DAYS", 0)
        a_log_of_two_ages()
        setattr(settings, f"KEEP_{kind}_DAYS", 30)
        found[number] = run_before_statement(number, prune_expired, check)
    assert {number: faults for number, faults in found.items() if faults} == {}


def test_only_unusable_requests_that_are_as_old_as_pruned_entries_need_no_entry(
    database: None, kept: None, settings: Any
) -> None:
    a_log_of_two_ages()
    settings.KEEP_AUDIT_DAYS = 30
    assert prune_expired() > 0
    assert all_row_faults() == []
    unrecorded = a_receipt(None, received_at=read_clock(), answered_at=read_clock(), answer=None)
    [fault] = all_row_faults()
    assert fault.startswith(f"[row-unexpected] receipts {to_reference(unrecorded.uuid)}: ")
