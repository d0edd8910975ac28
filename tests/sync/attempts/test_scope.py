"""The condition of a route: who is outside gets no record, who leaves is treated as the route says, who comes back gets
the mapped fields and the reactivation once, and what is not known decides nothing.
"""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from sync.attempts import plan
from sync.models import Attempt, ChangeCategory, Delivery, Link, MappingVersion, Recheck, Route
from tests.support.hub import ANNA, Hub
from webhooks.models import Event, State

pytestmark = pytest.mark.concurrent

IS_STAFF = "entity.department == 'staff'"
USER = {"id": ANNA, "entityType": "USER"}
Policy = Route.LeavingPolicy


def set_scope(condition: str = IS_STAFF, on_leaving: str = Policy.LEAVE, **values: Any) -> None:
    Route.objects.filter(source__slug="aurora", entity_type="USER").update(
        condition=condition, on_leaving=on_leaving, **values
    )


def map_without(*names: str, **fields: Any) -> None:
    """Remove rules from the mapping of people, and add others."""
    version = MappingVersion.objects.get(mapping__name="Person to customer")
    kept = {name: rule for name, rule in version.declaration["fields"].items() if name not in names}
    MappingVersion.objects.create(
        mapping=version.mapping, number=2, declaration={**version.declaration, "fields": kept | fields}
    )


def be(hub: Hub, department: str | None, **fields: Any) -> None:
    hub.identity.directory.update_record("users", ANNA, {"department": department, **fields}, replaces=False)


def post(hub: Hub, event_type: str = "UPDATE", **fields: Any) -> tuple[int, str, str]:
    """Post an event. Returns the status of the answer, the code of the delivery and the action of the result."""
    answer = hub.post_signed({**USER, "eventType": event_type, **fields})
    (result,) = answer.json().get("results") or [{}]
    return answer.status_code, Delivery.objects.latest("pk").code, result.get("action") or ""


def the_link() -> Link:
    return Link.objects.get(entity_id=ANNA)


def remembered() -> dict[str, Any]:
    """Return the link without what each success writes."""
    columns = Link.objects.filter(entity_id=ANNA).values().first() or {}
    return {name: value for name, value in columns.items() if name not in ("applied_at", "version")}


def test_an_entity_outside_without_a_record_is_ignored_and_the_target_is_not_asked(hub: Hub) -> None:
    """Holds the outcome of the answer, the delivery, the attempt and its entry."""
    set_scope()
    answer = hub.post_signed({**USER, "eventType": "UPDATE"})
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    assert hub.shop.read_journal() == []
    delivery, attempt = Delivery.objects.get(), Attempt.objects.get()
    assert (delivery.state, delivery.code) == ("ignored", "out-of-scope")
    assert (attempt.outcome, attempt.code, attempt.action) == ("ignored", "out-of-scope", "")
    assert Event.objects.get().state == State.IGNORED
    assert Entry.objects.filter(stream=delivery.stream, action="attempt.ignored").exists()
    assert not Link.objects.exists()
    be(hub, "staff")
    assert post(hub) == (200, "unchanged", "none")
    assert Link.objects.exists()


@pytest.mark.parametrize(
    ("condition", "reason"),
    [("entity.department", "null"), ("entity.name", "another value"), ("ceil(entity.id) == `1`", "fit")],
)
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_condition_that_fails_is_never_outside(
    hub: Hub, condition: str, reason: str, *, is_linked: bool
) -> None:
    if is_linked:
        assert post(hub)[0] == 200
    before, writes = remembered(), len(hub.writes())
    set_scope(condition, Policy.DELETE)
    assert post(hub) == (422, "mapping-failed", "")
    delivery = Delivery.objects.latest("pk")
    assert (delivery.state, delivery.code) == (State.DEAD, "mapping-failed")
    assert reason in json.dumps(Attempt.objects.latest("pk").stored_finding("answer"))
    assert (remembered(), len(hub.writes())) == (before, writes)


LEAVERS = {
    Policy.LEAVE: ("unchanged", "none", []),
    Policy.DEACTIVATE: ("succeeded", "updated", ["PATCH"]),
    Policy.DELETE: ("succeeded", "deleted", ["DELETE"]),
    Policy.UNLINK: ("unchanged", "none", []),
}


@pytest.mark.parametrize("policy", LEAVERS)
def test_who_leaves_is_treated_as_the_route_says_and_leaving_twice_changes_nothing(
    hub: Hub, policy: str
) -> None:
    """Holds each policy: the writes, the link, the time of the first leave, the count of the guard and the entry."""
    be(hub, "staff")
    set_scope(on_leaving=policy)
    assert post(hub)[0] == 200
    record, writes = the_link().record_id, len(hub.writes())
    assert the_link().left_scope_at is None
    be(hub, "guest", name={"givenName": "Other", "familyName": "Name"})
    status, action, methods = LEAVERS[Policy(policy)]
    assert post(hub) == (200, status, action)
    assert [write["method"] for write in hub.writes()[writes:]] == methods
    left_at, keeps = the_link().left_scope_at, policy in (Policy.LEAVE, Policy.DEACTIVATE)
    assert left_at is not None
    assert the_link().record_id == (record if keeps else "")
    counted = Attempt.objects.filter(counted_as=ChangeCategory.REMOVAL).count()
    assert counted == (0 if policy == Policy.LEAVE else 1)
    assert Entry.objects.filter(action="link.removed").count() == (1 if policy == Policy.UNLINK else 0)
    customer = hub.customer()
    if customer is not None:
        assert customer["active"] is (policy != Policy.DEACTIVATE)
        assert customer["first_name"] == "Anna"
    again = (200, "unchanged", "none") if keeps else (200, "out-of-scope", "")
    assert post(hub) == again
    assert len(hub.writes()) == writes + len(methods)
    assert the_link().left_scope_at == left_at


def test_who_left_comes_back_with_the_mapped_fields_and_the_reactivation_once(hub: Hub) -> None:
    """Holds that the reactivation is written with the first return only, also where the mapping writes it only when a
    record is created.
    """
    map_without("active", active={"constant": True, "only_on_create": True})
    set_scope(on_leaving=Policy.DEACTIVATE, reactivation={"active": True})
    be(hub, "staff")
    post(hub)
    be(hub, "guest")
    assert post(hub)[2] == "updated"
    assert hub.customer()["active"] is False
    be(hub, "staff", locale="sv")
    assert post(hub) == (200, "succeeded", "updated")
    assert (hub.customer()["active"], hub.customer()["language"]) == (True, "sv")
    assert the_link().left_scope_at is None
    hub.shop.catalogue.update_record(
        "customers", str(hub.customer()["id"]), {"active": False}, replaces=False
    )
    assert post(hub) == (200, "unchanged", "none")
    assert hub.customer()["active"] is False


def test_who_left_before_the_condition_was_removed_comes_back_too(hub: Hub) -> None:
    map_without("active")
    set_scope(on_leaving=Policy.DEACTIVATE, reactivation={"active": True})
    be(hub, "staff")
    post(hub)
    be(hub, "guest")
    post(hub)
    set_scope("", reactivation={"active": True})
    assert post(hub) == (200, "succeeded", "updated")
    assert (hub.customer()["active"], the_link().left_scope_at) == (True, None)


@pytest.mark.parametrize("policy", [Policy.DELETE, Policy.UNLINK])
def test_who_comes_back_without_a_link_is_found_or_created_as_anybody(hub: Hub, policy: str) -> None:
    set_scope(on_leaving=policy)
    be(hub, "staff")
    post(hub)
    record = the_link().record_id
    be(hub, "guest")
    post(hub)
    be(hub, "staff")
    assert post(hub)[2] == ("created" if policy == Policy.DELETE else "none")
    assert (the_link().record_id == record, the_link().left_scope_at) == (policy == Policy.UNLINK, None)


def test_a_link_made_by_hand_counts_and_one_whose_record_is_gone_is_ended(hub: Hub) -> None:
    """Holds 'outside with a link' for links that no delivery of the route has made."""
    set_scope(on_leaving=Policy.DEACTIVATE)
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    subject = {"identity": route.identity, "target": route.target, "entity_type": "USER", "entity_id": ANNA}
    record = str(hub.customer()["id"])
    Link.objects.create(**subject, record_id=record, applied_at=datetime.now(UTC))
    assert post(hub) == (200, "succeeded", "updated")
    assert hub.customer()["active"] is False
    hub.shop.catalogue.delete_record("customers", record)
    assert post(hub)[:2] == (200, "unchanged")
    assert (the_link().record_id, the_link().left_scope_at is None) == ("", False)
    assert post(hub)[:2] == (200, "out-of-scope")


@pytest.mark.parametrize("policy", [Policy.DEACTIVATE, Policy.DELETE, Policy.UNLINK])
def test_leaving_beyond_the_limit_of_removals_is_held_and_nothing_is_changed(hub: Hub, policy: str) -> None:
    be(hub, "staff")
    set_scope(on_leaving=policy, max_removals=0)
    post(hub)
    before, writes = remembered(), len(hub.writes())
    be(hub, "guest")
    assert post(hub)[:2] == (202, "held")
    assert (remembered(), len(hub.writes())) == (before, writes)
    assert Delivery.objects.latest("pk").code == "held"


@pytest.mark.parametrize("policy", [Policy.DEACTIVATE, Policy.DELETE])
def test_a_record_that_may_be_of_another_person_is_not_removed_for_a_leaver(hub: Hub, policy: str) -> None:
    """Holds that the proofs of a deletion hold for leaving too: the external id, and the absence of a record."""
    be(hub, "staff")
    set_scope(on_leaving=policy)
    post(hub)
    record = the_link().record_id
    hub.shop.catalogue.update_record("customers", record, {"external_id": "SOMEONE"}, replaces=False)
    be(hub, "guest")
    writes = len(hub.writes())
    assert post(hub)[:2] == (202, "held-external-id")
    assert len(hub.writes()) == writes
    hub.shop.faults.add("hide")
    assert post(hub)[:2] == (424, "target-missing-unproven")
    assert (len(hub.writes()), the_link().record_id) == (writes, record)


@pytest.mark.parametrize("event_type", ["UPDATE", "DELETE"])
def test_an_absent_entity_is_deleted_whatever_the_condition_is(hub: Hub, event_type: str) -> None:
    """Holds that no condition, not even one that fails for everybody, keeps a deletion from being delivered."""
    post(hub)
    set_scope("entity.nothing", Policy.LEAVE)
    hub.identity.directory.delete_record("users", ANNA)
    expected = (
        (200, "succeeded", "updated") if event_type == "DELETE" else (424, "identity-missing-unproven", "")
    )
    assert post(hub, event_type) == expected
    assert hub.customer()["active"] is (event_type == "UPDATE")


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "time", SimpleNamespace(sleep=lambda _: None))


def soon() -> str:
    at = datetime.now(UTC) + timedelta(seconds=60)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("policy", LEAVERS)
def test_data_older_than_the_event_decide_neither_a_leave_nor_a_return(hub: Hub, policy: str) -> None:
    """Holds that a lagging replica changes nothing, and that the subject is checked again."""
    map_without("active")
    be(hub, "staff")
    set_scope(on_leaving=policy, reactivation={"active": True})
    post(hub)
    be(hub, "guest")
    before, writes = remembered(), len(hub.writes())
    assert post(hub, timestamp=soon())[:2] == (200, "unchanged")
    assert (remembered(), len(hub.writes())) == (before, writes)
    assert Recheck.objects.count() == 1
    post(hub)
    be(hub, "staff")
    before, writes = remembered(), len(hub.writes())
    assert post(hub, timestamp=soon())[:2] == (200, "unchanged")
    assert (remembered(), len(hub.writes())) == (before, writes)
    assert Recheck.objects.count() == 2


@pytest.mark.usefixtures("_no_pauses")
def test_data_older_than_the_event_create_no_record_outside_and_are_checked_again(hub: Hub) -> None:
    set_scope()
    assert post(hub, timestamp=soon())[:2] == (200, "out-of-scope")
    assert Recheck.objects.count() == 1


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("is_linked", [False, True])
def test_the_report_of_a_deletion_evaluates_no_condition_although_the_entity_is_found(
    hub: Hub, *, is_linked: bool
) -> None:
    if is_linked:
        post(hub)
    before, writes = remembered(), len(hub.writes())
    set_scope("entity.nothing", Policy.DELETE)
    assert post(hub, "DELETE")[:2] == (200, "unchanged")
    assert (remembered(), len(hub.writes())) == (before, writes)


def test_what_was_received_may_be_a_part_and_decides_no_condition(hub: Hub) -> None:
    """Holds a replay of the webhook's own data, and a delivery of a route that relayed before."""
    set_scope("entity.department == 'staff' || `true`", relays=True)
    status, code, _ = post(hub, data={"id": ANNA, "emails": [{"address": "x@example.com"}]})
    assert (status, code, hub.writes()) == (422, "mapping-failed", [])


def observe(**values: Any) -> None:
    set_scope(**values, mode=Route.Mode.OBSERVE, mode_since=datetime.now(UTC))


def test_an_observing_route_observes_who_is_outside_and_is_checked_no_more(hub: Hub) -> None:
    """Holds that it is no failure, that the attempt says what was found, and that no re-check follows."""
    observe()
    hub.post_signed({**USER, "eventType": "UPDATE", "timestamp": soon()})
    hub.wait_until_idle()
    hub.wait_until_quiet()
    assert Delivery.objects.get().code == "observed"
    assert Attempt.objects.get().code == "out-of-scope"
    assert not Recheck.objects.exists()


@pytest.mark.parametrize("policy", LEAVERS)
def test_an_observing_route_neither_ends_a_link_nor_remembers_who_left(hub: Hub, policy: str) -> None:
    post(hub)
    before, writes = remembered(), len(hub.writes())
    observe(on_leaving=policy, max_removals=0)
    hub.post_signed({**USER, "eventType": "UPDATE"})
    hub.wait_until_idle()
    hub.wait_until_quiet()
    assert Delivery.objects.latest("pk").code == "observed"
    assert (remembered(), len(hub.writes())) == (before, writes)
    assert not Entry.objects.filter(action="link.removed").exists()


def test_a_route_without_a_condition_reads_nothing_for_it(hub: Hub) -> None:
    """Holds the cost: the statements of an ordinary event are those of a route with a condition that is fulfilled."""
    counts = []
    for condition in ("", "`true`"):
        set_scope(condition)
        post(hub)
        with CaptureQueriesContext(connection) as made:
            post(hub)
        counts.append(len(made))
    assert counts[0] == counts[1]


def test_the_end_of_a_link_and_a_deletion_name_the_condition_on_the_audit_log(hub: Hub) -> None:
    be(hub, "staff")
    set_scope(on_leaving=Policy.DELETE)
    post(hub)
    be(hub, "guest")
    post(hub)
    ended = Entry.objects.filter(action="attempt.succeeded").latest("pk")
    assert list(parse_details(ended.details)["proof"]) == ["condition"]
