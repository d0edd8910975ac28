"""Exports above the limit: made only after another person, who had the permission for a day, approved them."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone

from exports.jobs.approvals import ApprovalRefused, approve_export, who_can_approve
from exports.jobs.lifecycle import cancel_export, make_export_in_process
from exports.models import Export, ExportState
from logins.models import HeldPermission
from sync.models import Job
from sync.search.event_filter import resolve_filter
from tests.support.builders.exports import (
    a_recorded_history,
    a_requested_export,
    read_lines,
    unpack_export,
)
from tests.support.jobs import run_jobs
from tests.support.people import entries, person

pytestmark = pytest.mark.concurrent


@pytest.fixture
def awaiting(database: None, settings: Any) -> Export:
    """An export of three events, one more than a person may export alone, after a worker has looked at it."""
    settings.EXPORT_LIMIT = 2
    a_recorded_history(3)
    export = a_requested_export(by=person("auditor", "first"))
    run_jobs("export")
    export.refresh_from_db()
    return export


def test_an_export_above_the_limit_is_made_once_a_second_person_approved_it(
    awaiting: Export, tmp_path: Any
) -> None:
    assert (awaiting.state, awaiting.total) == (ExportState.AWAITING, 3)
    assert not awaiting.folder.exists()
    assert not awaiting.archive.exists()
    assert [entry["details"]["events"] for entry in entries("export.awaits-approval")] == [3]
    second = person("auditor", "second")
    assert [decider.person for decider in who_can_approve(awaiting)] == [second]
    approve_export(awaiting, by=second, address="192.0.2.7")
    run_jobs("export")
    awaiting.refresh_from_db()
    assert (awaiting.state, awaiting.approved_by) == (ExportState.DONE, second)
    assert len(read_lines(unpack_export(awaiting, tmp_path), "events")) == 3
    assert [entry["actor"] for entry in entries("export.approved")] == [f"person:{second.pk}"]


def test_the_requester_and_a_person_with_a_new_permission_cannot_approve(awaiting: Export) -> None:
    first, late = User.objects.get(username="first"), person("auditor", "late")
    HeldPermission.objects.filter(person=late).update(since=awaiting.created_at)
    for by, sentence in ((first, "You requested this export"), (late, "You can approve this from")):
        with pytest.raises(ApprovalRefused, match=sentence):
            approve_export(awaiting, by=by, address="")
    with pytest.raises(ApprovalRefused, match="do not have the permission"):
        approve_export(awaiting, by=person("support", "other"), address="")
    awaiting.refresh_from_db()
    assert awaiting.state == ExportState.AWAITING
    assert not Job.objects.filter(state="waiting").exists()


def test_a_withdrawn_export_is_not_made_and_cannot_be_approved(awaiting: Export) -> None:
    assert cancel_export(awaiting, by="person:1", address="")
    with pytest.raises(ApprovalRefused, match="already decided"):
        approve_export(awaiting, by=person("auditor", "second"), address="")
    run_jobs("export")
    assert Export.objects.get().state == ExportState.CANCELLED


@pytest.mark.django_db
def test_the_database_has_no_export_that_its_requester_approved() -> None:
    export = a_requested_export(by=person("auditor"))
    with pytest.raises(IntegrityError):
        Export.objects.filter(pk=export.pk).update(approved_by=export.requested_by)


def test_the_command_on_the_server_and_a_small_export_need_no_second_person(
    database: None, settings: Any
) -> None:
    settings.EXPORT_LIMIT = 2
    a_recorded_history(2)
    small = a_requested_export(by=person("auditor"))
    run_jobs("export")
    small.refresh_from_db()
    assert small.state == ExportState.DONE
    a_recorded_history(1)
    made = make_export_in_process(resolve_filter({}, timezone.now()), reason="the yearly audit")
    assert made.state == ExportState.DONE
