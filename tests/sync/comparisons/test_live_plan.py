"""A subject without a stored event is planned as an attempt would: what it may not know of a webhook changes nothing."""

import time
from typing import Any

import pytest

from sync.comparisons.live_plan import FoundBy, PlannedSubject, plan_subject
from sync.deliveries.routes import get_resolved_route, resolved_routes
from sync.models import Link, MappingVersion, Route
from sync.planning.change import ChangeAction
from sync.planning.record_matching import MatchingPolicy
from tests.support.builders.candidates import compared_route
from tests.support.builders.matched_records import a_customer, a_user, follow
from tests.support.changed_ids import seed_people
from tests.support.hub import Hub
from webhooks.models import Event


def plan(entity_id: str, event_type: str = "UPDATE") -> PlannedSubject:
    resolved_routes.invalidate()
    return plan_subject(get_resolved_route(compared_route().pk), entity_id, event_type=event_type)


def add_fields(**fields: Any) -> None:
    """Add rules to the newest version of the mapping of people."""
    newest = MappingVersion.objects.filter(mapping=compared_route().mapping).latest("number")
    declaration = {**newest.declaration, "fields": {**newest.declaration["fields"], **fields}}
    MappingVersion.objects.create(mapping=newest.mapping, number=newest.number + 1, declaration=declaration)


def test_both_sides_are_read_now_and_nothing_is_stored(hub: Hub) -> None:
    """Holds the path without an event: what differs, how the record was found, no row and no write."""
    user, *_ = seed_people(hub, 2)
    hub.change_email("moved@example.com", user)
    writes = len(hub.writes())
    planned = plan(user)
    assert (planned.code, planned.differing_fields, planned.found_by) == ("", ["email"], FoundBy.LINK)
    assert (planned.has_entity, planned.is_linked, planned.is_in_step) == (True, True, False)
    assert (Event.objects.count(), len(hub.writes())) == (0, writes)
    Link.objects.all().delete()
    assert plan(user).found_by == FoundBy.EXTERNAL_ID
    assert plan("NOBODY").has_entity is False


def test_an_unsigned_event_never_binds_by_any_value(hub: Hub) -> None:
    """Holds that a comparison of a `trusted` route asks a person about an unverified value."""
    follow(MatchingPolicy.TRUSTED)
    record = a_customer(hub, "shared@example.com")
    a_user(hub, ("shared@example.com", False))
    planned = plan("MALLORY1")
    assert (planned.code, planned.candidates) == ("held-match", (record,))


@pytest.mark.parametrize(
    "path", ["webhook.data.nickname", "webhook.eventType", "join('', [entity.id, webhook.id])"]
)
def test_fields_that_depend_on_the_webhook_make_no_difference(hub: Hub, path: str) -> None:
    """Holds that a record keeps what only a webhook says, also if the field is required."""
    user, *_ = seed_people(hub, 1)
    hub.shop.catalogue.update_record(
        "customers", Link.objects.get().record_id, {"first_name": "Anna"}, replaces=False
    )
    add_fields(first_name={"path": path, "required": True})
    planned = plan(user)
    assert (planned.code, planned.is_in_step) == ("", True)
    a_user(hub, ("new@example.com", True), user="NEW1")
    created = plan("NEW1")
    assert (created.code == "unmappable") == (path == "webhook.data.nickname")
    if created.change is not None:
        assert created.change.action is ChangeAction.CREATE


def test_a_reference_that_stays_missing_is_left_out_at_once(hub: Hub) -> None:
    """Holds that a comparison does not wait for a record: what may be left out makes no difference."""
    user, *_ = seed_people(hub, 1)
    add_fields(first_name={"path": "linked('USER', 'NOBODY')", "when_missing": "leave_out"})
    assert plan(user).code == ""
    add_fields(first_name={"path": "linked('USER', 'NOBODY')"})
    assert plan(user).code == "reference-missing"


def test_an_absent_entity_is_planned_and_not_proven(hub: Hub) -> None:
    """Holds that neither look at an entity removes anything: its deletion is planned, and its proof is missing."""
    user, *_ = seed_people(hub, 2)
    hub.identity.directory.delete_record("users", user)
    planned = plan(user)
    assert (planned.code, planned.differing_fields) == ("identity-missing-unproven", ["active"])
    Route.objects.update(when_deleted="delete")
    planned = plan(user)
    assert planned.change is not None
    assert (planned.code, planned.change.action) == ("identity-missing-unproven", ChangeAction.DELETE)


def test_no_pause_is_made_for_a_lag(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds that nothing waits for a replica where no event has told of a change."""
    monkeypatch.setattr(time, "sleep", pytest.fail)
    user, *_ = seed_people(hub, 1)
    plan(user)
    plan("NOBODY")


def test_unkept_fields_make_no_difference(hub: Hub, settings: Any) -> None:
    """Holds that a comparison is no replay: it does not send again what the target never keeps."""
    settings.UNKEPT_WRITES = 3
    user, *_ = seed_people(hub, 1)
    hub.identity.directory.update_record("users", user, {"mobiles": [{"number": "+358401"}]}, replaces=False)
    hub.shop.faults.add("alter", field="phone", stores="nothing")
    assert plan(user).differing_fields == ["phone"]
    for _ in range(4):
        hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE"})
        hub.wait_until_idle()
        hub.wait_until_quiet()
    assert plan(user).is_in_step
