"""A commit whose answer is lost: what the attempt becomes is read from its rows, not from what the process remembers.

`tests/faults/test_cut_commits.py` cuts each commit of a request; here, the two commits of the attempt itself and what
follows from them.
"""

from datetime import timedelta
from types import ModuleType

import pytest
from django.db import OperationalError
from django.utils import timezone

from audit.models import Entry
from audit.verification.check_database import verify_database
from database.write_batch import WriteBatch
from exports.row_checks.nightly_rows import find_row_faults
from sync.attempts import call_log, settle
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Call, Delivery, Recheck
from tests.support.hub import EXAMPLE, Hub

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'


def lose_first_answer(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Raise an error right after the first guarded batch of a module is committed."""
    lost: list[bool] = []

    class Lost(WriteBatch):
        def run(self) -> None:
            super().run()
            if self._guards and not lost:
                lost.append(True)
                raise OperationalError("the connection was lost")

    monkeypatch.setattr(module, "WriteBatch", Lost)


def findings_of_the_night() -> list[str]:
    return [*map(str, verify_database().faults), *find_row_faults()]


@pytest.mark.promise("I3")
def test_a_write_whose_row_is_stored_without_an_answer_is_not_sent_and_is_in_the_audit_log(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_first_answer(monkeypatch, call_log)
    hub.change_email("anna.lost@example.com")
    assert hub.post_signed(ACK).status_code == 202
    hub.wait_until_quiet()
    [write] = Call.objects.filter(is_write=True)
    assert (write.status, hub.writes()) == (None, [])
    assert Attempt.objects.get().outcome == "failed"
    assert findings_of_the_night() == []
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=5))
    assert run_due_deliveries() == 1
    assert len(hub.writes()) == 1
    assert findings_of_the_night() == []


def test_the_end_of_an_attempt_that_is_stored_without_an_answer_is_found(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the process took it for that of another one, which had taken the delivery over."""
    scheduled: list[Delivery] = []
    monkeypatch.setattr("sync.attempts.delivery_run.schedule_referring", scheduled.append)
    monkeypatch.setattr("sync.attempts.delivery_run.is_referenced", lambda *_: True)
    lose_first_answer(monkeypatch, settle)
    address = hub.change_email("anna.lost@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert Attempt.objects.get().outcome == Delivery.objects.get().state == "succeeded"
    assert [hub.customer()["email"], len(hub.writes())] == [address, 1]
    assert not Recheck.objects.exists(), "nothing that was sent may still arrive"
    assert len(scheduled) == 1, "deliveries that wait for the record are not told"
    assert Entry.objects.filter(action="webhook.answered").count() == 1
    assert findings_of_the_night() == []
