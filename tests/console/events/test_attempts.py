"""The attempts on the page of an event, as people see them who may not see contents."""

import json

from sync.models import Attempt
from tests.support.builders.history import logged_in
from tests.support.hub import EXAMPLE, Hub
from tests.support.pages import text_of
from webhooks.models import Event

LIST = "/admin/webhooks/event/"


def test_an_auditor_sees_which_fields_changed_and_no_value(hub: Hub) -> None:
    address = hub.change_email("anna.new@example.com")
    hub.post_signed(json.loads(EXAMPLE))
    hub.wait_until_idle()
    text = text_of(logged_in("auditor").get(f"{LIST}{Event.objects.get().pk}/change/"))
    assert 'Changed fields: <span class="mono">email</span>.' in text
    assert address not in text
    Attempt.objects.update(findings=None)  # its retention is over
    assert 'Changed fields: <span class="mono">email</span>.' in text_of(
        logged_in("auditor").get(f"{LIST}{Event.objects.get().pk}/change/")
    )
