"""A request that belongs to no single event is compared with the log, one with several events also without an answer."""

import uuid
from typing import Any

import pytest
from django.utils import timezone

from config_schema.codes.reference import to_reference
from exports.row_checks.nightly_rows import find_row_faults
from tests.support.builders.event_batches import FORMAT, add_token, event, post, set_format
from tests.support.builders.history import a_receipt
from tests.support.hub import ANNA, Hub
from webhooks.models import Receipt
from webhooks.receiving import batches, request_storage

CUT_OFF = "the process dies here"


@pytest.fixture
def formatted(hub: Hub) -> Hub:
    """A hub with a source that is answered with the outcome of all events of a request."""
    add_token()
    set_format(FORMAT | {"batch_response": "result"})
    hub.client.raise_request_exception = False
    return hub


def die_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def build_answer(*_: Any, **__: Any) -> None:
        raise RuntimeError(CUT_OFF)

    monkeypatch.setattr(batches, "build_batch_answer", build_answer)


def test_a_request_with_events_but_without_an_answer_that_was_added_is_found(hub: Hub) -> None:
    forged = a_receipt(None, received_at=timezone.now(), event_count=2, answered_at=None, answer=None)
    assert list(find_row_faults()) == [
        f"[row-unexpected] receipts {to_reference(forged.uuid)}: is not in the audit log at the time of its arrival"
    ]


def test_an_unusable_request_is_stored_with_its_answer_and_its_entry_or_not_at_all(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hub.receive")
    hub.client.raise_request_exception = False
    assert hub.post_signed(b"{}").status_code == 400
    stored = Receipt.objects.get()
    assert (
        f"{stored.reference} from aurora is not a usable webhook: response 400 {stored.code}"
        in caplog.messages
    )
    caplog.clear()
    assert (stored.status, stored.answered_at is None) == (400, False)

    def request_entry(*_: Any, **__: Any) -> None:
        raise RuntimeError(CUT_OFF)

    monkeypatch.setattr(request_storage, "request_entry", request_entry)
    assert hub.post_signed(b"{}").status_code == 500
    assert Receipt.objects.get() == stored
    assert "response 400" not in caplog.text
    assert list(find_row_faults()) == []


def test_a_copy_of_a_request_that_was_never_answered_is_found(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_before_the_answer(monkeypatch)
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    copy = Receipt.objects.get(event_count=2)
    copy.pk, copy.uuid, copy.payload = None, uuid.uuid4(), None
    copy.save(force_insert=True)
    formatted.wait_until_quiet()
    assert [fault.split(":")[0] for fault in find_row_faults()] == [
        f"[row-unexpected] receipts {to_reference(copy.uuid)}"
    ]


@pytest.mark.submission
def test_a_request_whose_process_died_before_its_answer_is_no_fault(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one has new events, the second one events that are stored already."""
    die_before_the_answer(monkeypatch)
    for _ in range(2):
        post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    assert Receipt.objects.filter(event=None, answered_at=None, event_count=2).count() == 2
    formatted.wait_until_quiet()
    assert list(find_row_faults()) == []


def test_a_request_of_conflicts_alone_is_stored_with_its_answer_or_not_at_all(
    formatted: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(formatted, event(ANNA, uid="1"), event("TWO", uid="2"))
    die_before_the_answer(monkeypatch)
    assert post(formatted, event("A", uid="1"), event("B", uid="2")).status_code == 500
    formatted.wait_until_quiet()
    assert Receipt.objects.filter(event=None).count() == 1
    assert list(find_row_faults()) == []
