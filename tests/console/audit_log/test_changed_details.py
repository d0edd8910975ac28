"""Pages and jobs that read the details of audit entries work with any JSON object that someone has written there."""

import pytest
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from audit.models import Entry
from console.failures.pages import load_history
from exports.bundle.deletion_times import _read_entries
from exports.bundle.shipped import check_rows
from sync.erasure.subject_data import find_subject, replays_by_event
from sync.models import FailureGroup
from tests.support.audit.triggers import disable_triggers
from tests.support.builders.event_batches import FORMAT, add_token, event, post, set_format
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import browser
from webhooks.batch_events import events_of_batch
from webhooks.models import Receipt

VALUES = ("5", "{}", "[[], 7, null]", '"x"', "1e400", "null", str(10**40))


def change_details(action: str, details: str) -> None:
    with transaction.atomic():
        disable_triggers()
        assert Entry.objects.filter(action=action).update(details=details)


@pytest.mark.submission
def test_the_page_of_a_request_with_several_events_is_shown(hub: Hub) -> None:
    add_token()
    set_format(FORMAT)
    post(hub, event(ANNA, uid="1"), event("TWO", uid="2"))
    receipt, client = Receipt.objects.get(), browser("administrator")
    for value in VALUES:
        change_details("webhook.batch", f'{{"receipt": "{receipt.own_reference}", "events": {value}}}')
        assert len(events_of_batch(receipt)) == 2
        page = client.get(f"/admin/webhooks/receipt/{receipt.pk}/change/", follow=True)
        assert page.status_code == 200, value


def test_the_rows_of_an_entity_are_found(hub: Hub) -> None:
    hub.post_signed(EXAMPLE)
    subject = find_subject("USER", ANNA)
    stream = subject.events.get().stream
    with transaction.atomic():
        append_entries(NewEntry(stream, "event.replayed"))
    for value in VALUES:
        change_details("event.replayed", f'{{"person_request": {value}, "request": {value}}}')
        assert not any(replays_by_event(subject).values()), value


@pytest.mark.parametrize("name", ["decision", "changed"])
def test_the_history_of_a_failure_is_shown(database: None, name: str) -> None:
    group = FailureGroup(pk=1)
    with transaction.atomic():
        append_entries(NewEntry(group.stream, "failure.decided"))
    for value in VALUES:
        change_details("failure.decided", f'{{"{name}": {value}}}')
        assert len(load_history(group)) == 1, value


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("others", ["", ', "kind": "events"', ', "up_to": "2026-01-01"'])
def test_the_times_of_deletions_are_read(database: None, others: str) -> None:
    action = next(iter(check_rows.DELETED))
    with transaction.atomic():
        append_entries(NewEntry("retention", action))
    name = "up_to" if "kind" in others else "kind"
    for value in VALUES:
        change_details(action, f'{{"{name}": {value}{others}}}')
        assert _read_entries(), value
