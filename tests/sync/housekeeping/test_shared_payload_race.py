"""Two processes delete rows that share a payload."""

import threading

import pytest
from django.db import transaction

from sync.housekeeping import batch_deletion
from sync.models import Call
from tests.support.builders.history import a_call, a_delivery, a_route, an_attempt, an_event, sealed
from tests.support.threads import in_threads
from webhooks.models import Payload

# Each process waits for the other, for which it gives it a tenth of a second.
pytestmark = [pytest.mark.nightly, pytest.mark.concurrent]


# SQLite has one writer at a time.
@pytest.mark.only_postgresql
def test_two_processes_that_delete_the_calls_of_one_payload_leave_no_payload(database: None) -> None:
    """Both have deleted their call when each looks who else refers to the payload."""
    event = an_event()
    attempt = an_attempt(a_delivery(event, a_route(event.source)), 1)
    shared = sealed("response", [{"body": "first"}, {"body": "second"}])
    calls = [a_call(attempt, request=None, response=shared, response_part=part) for part in (0, 1)]
    both = threading.Barrier(2)

    def delete(number: int) -> None:
        with transaction.atomic():
            both.wait(60)
            batch_deletion.delete_calls(Call.objects.filter(pk=calls[number].pk))
            # The other one waits for this commit meanwhile.
            threading.Event().wait(0.1)

    in_threads(delete, threads=2)
    assert not Call.objects.exists()
    assert not Payload.objects.filter(pk=shared.pk).exists()
