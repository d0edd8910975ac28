"""`manage.py verify_audit` compares the rows beside the log too, and its exit code says what came of it."""

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.management.commands import verify_audit as command
from audit.verification.check_database import MAX_FAULTS
from sync.housekeeping.audit_upkeep import seal_audit
from sync.models import Delivery
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Receipt

AGREES = "The rows about events agree with the entries."


def verify(*arguments: Any) -> tuple[int, str]:
    """Return the exit code of the command and everything that it prints."""
    out = StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, stderr=out)
    except CommandError as error:
        return error.returncode, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


@pytest.fixture
def delivered(hub: Hub) -> Delivery:
    """A delivery that succeeded, in a sealed log."""
    hub.change_email("anna.new@example.com")
    hub.post_signed(EXAMPLE)
    hub.post_signed(b"{}")
    hub.wait_until_quiet()
    seal_audit()
    return Delivery.objects.get()


@pytest.mark.submission
def test_rows_that_agree_with_the_log_pass(delivered: Delivery) -> None:
    code, report = verify()
    assert code == 0, report
    assert AGREES in report
    assert "Verified up to segment" in report


def change_delivery() -> None:
    Delivery.objects.update(state="dead")


def change_time() -> None:
    receipt = Receipt.objects.filter(event=None).get()
    Receipt.objects.filter(pk=receipt.pk).update(received_at=receipt.received_at + timedelta(microseconds=1))


def delete_receipt() -> None:
    Receipt.objects.exclude(event=None).delete()


def add_event() -> None:
    event = Event.objects.get()
    event.pk, event.uuid, event.event_id = None, "00000000-0000-7000-8000-000000000001", "other"
    event.save(force_insert=True)


CHANGES = {
    change_delivery: ("[row-differs] deliveries", "state: is 'dead', but its entries say 'succeeded'"),
    change_time: ("[row-differs] receipts", "received: is "),
    delete_receipt: ("[row-missing] receipts", "has no row"),
    add_event: ("[row-unexpected] events", "is not in the audit log"),
}


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I28")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_row_is_named_with_its_code_and_place_and_ends_with_1(
    delivered: Delivery, change: Any
) -> None:
    change()
    code, report = verify()
    begin, words = CHANGES[change]
    assert code == 1
    assert any(line.startswith(begin) and words in line for line in report.splitlines()), report
    assert AGREES not in report
    assert "Verified up to segment" in report, "the log itself is whole"


def test_rows_are_left_out_on_request_and_the_report_says_so(delivered: Delivery) -> None:
    change_delivery()
    code, report = verify("--log-only")
    assert code == 0
    assert "No rows were compared with the entries." in report
    assert AGREES not in report


def stopped_check() -> Iterator[str]:
    yield from ()
    raise RuntimeError("it stumbled over a row")


@pytest.mark.submission
def test_a_check_that_stops_ends_with_2_unless_a_fault_was_found(delivered: Delivery, settings: Any) -> None:
    settings.NIGHTLY_CHECKS = [f"{__name__}.stopped_check", *settings.NIGHTLY_CHECKS]
    code, report = verify()
    assert code == 2
    assert "stopped_check stopped: RuntimeError" in report
    assert AGREES not in report
    change_delivery()
    code, report = verify()
    assert code == 1, "the other check ran nevertheless"
    assert "stopped_check stopped: RuntimeError" in report


@pytest.mark.submission
def test_a_log_that_cannot_be_verified_ends_with_2_and_its_rows_are_compared(
    delivered: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(command, "verify_database", fail)
    code, report = verify()
    assert code == 2
    assert "the audit log could not be verified: RecursionError" in report
    assert AGREES in report
    change_delivery()
    assert verify()[0] == 1


def endless_check() -> Iterator[str]:
    while True:
        yield "events: a fault"


def test_the_report_is_bounded(database: None, settings: Any) -> None:
    settings.NIGHTLY_CHECKS = [f"{__name__}.endless_check", *settings.NIGHTLY_CHECKS]
    code, report = verify()
    assert code == 1
    assert report.count("events: a fault") == MAX_FAULTS
    assert f"{MAX_FAULTS} or more faults" in report
