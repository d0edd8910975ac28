"""A sample that is fetched now: who sees its values, what the audit log has, and what goes wrong."""

import json
from typing import Any

from django.contrib.auth.models import Permission, User

from sync.models import Mapping
from tests.support.hub import ANNA, Hub
from tests.support.pages import text_of
from tests.support.people import browser, entries

SECRET = "anna.secret@example.com"
FORM = {"view": "table", "declaration": '{"fields": {"email": {"path": "entity.emails[0].address"}}}'}


def has_result(page: Any) -> bool:
    return page.context["table"].rows[0].result is not None


def test_a_fetched_entity_shows_values_only_with_the_right_and_a_reason(hub: Hub) -> None:
    """Holds the entry before the request, that it names nobody, and that a sample which is masked gives no result."""
    of = Mapping.objects.get(name="Person to customer")
    address = f"/admin/sync/mapping/{of.pk}/edit/"
    hub.change_email(SECRET)
    for client, reason, sees in (
        (browser("administrator"), "curious", False),
        (browser("administrator+support", "first"), "", False),
        (browser("administrator+support", "both"), "new rules", True),
    ):
        answer = client.post(address, {**FORM, "fetch": "1", "fetch_id": ANNA, "reason": reason})
        assert (SECRET in text_of(answer)) is sees
        assert "lastModified</button>" in text_of(answer)
        assert (has_result(answer)) is sees
    found = entries("mapping.sample-fetched")
    assert [entry["details"]["values"] for entry in found] == [False, False, True]
    assert ANNA not in json.dumps([entry["details"] for entry in found])
    for wrong, sentence in (
        ("", "Enter the id of an entity"),
        ("x" * 129, "Enter the id of an entity"),
        ("NOBODY", "does not have this entity"),
        ("a/b", "Aurora ID"),
    ):
        answer = client.post(address, {**FORM, "fetch": "1", "fetch_id": wrong})
        assert sentence in text_of(answer)
    support = browser("administrator", "third")
    person = User.objects.get(username="third")
    person.groups.clear()
    person.user_permissions.set(Permission.objects.filter(codename__in=("view_mapping", "change_mapping")))
    support.post(address, {**FORM, "fetch": "1", "fetch_id": ANNA})
    assert len(entries("mapping.sample-fetched")) == 5
