"""Failures with one code and two causes are two groups, and a replay of one of them shows that a cause has passed.

Holds what no other test does: what a real answer of the shop makes of the groups, and what the database then has of it.
"""

import json

import pytest
from django.core import serializers

from sync.models import Delivery, FailureGroup, PersonRequest
from sync.models.failure import dead_deliveries_of, group_of
from sync.operations import failure_groups
from sync.operations.failure_groups import refresh_failure_groups
from sync.operations.passed_causes import find_passed_causes
from sync.replays.requests import request_replay
from sync.search.event_filter import resolve_filter
from tests.support.builders.bulk_replays import create_person, send_webhook, staff_user
from tests.support.builders.history import logged_in
from tests.support.hub import Hub
from tests.support.pages import without_tags
from webhooks.models import Event

TAKEN, MISSING = "{email} is taken already", "The postal code is missing"


def refuse(hub: Hub, name: str, sentence: str) -> Event:
    """Let the shop refuse a new person with a sentence. Returns the failed event."""
    user = create_person(hub, name)
    fault = hub.shop.faults.add("refuse", sentence=sentence.format(email=f"{name.lower()}@example.com"))
    event = send_webhook(hub, user)
    hub.shop.faults.clear(fault.id)
    return event


def failed_of(group: FailureGroup) -> set[str]:
    return set(dead_deliveries_of(group).values_list("entity_id", flat=True))


def groups() -> set[frozenset[str]]:
    refresh_failure_groups()
    return {frozenset(failed_of(group)) for group in FailureGroup.objects.exclude(number=0)}


def test_two_causes_are_two_groups_whatever_the_values_in_their_sentences(hub: Hub) -> None:
    for name, sentence in (("ANNE", TAKEN), ("BERIT", TAKEN), ("CARL", MISSING)):
        refuse(hub, name, sentence)
    assert groups() == {frozenset({"ANNE", "BERIT"}), frozenset({"CARL"})}
    assert sorted(FailureGroup.objects.values_list("number", flat=True)) == [1, 2]
    for delivery in Delivery.objects.all():
        group = group_of(delivery)
        assert group is not None
        assert delivery.entity_id in failed_of(group)
    stored = serializers.serialize("json", [*FailureGroup.objects.all()])
    assert not any(word in stored.casefold() for word in ("anne@", "taken", "postal"))
    assert {len(row["fields"]["failure_key"]) for row in json.loads(stored)} == {16}


@pytest.mark.submission
def test_the_pages_show_what_the_target_said_without_the_values(hub: Hub) -> None:
    refuse(hub, "ANNE", TAKEN)
    refuse(hub, "CARL", MISSING)
    refresh_failure_groups()
    support = logged_in("support")
    pages = [
        support.get(f"/admin/sync/failuregroup/{group.pk}/change/") for group in FailureGroup.objects.all()
    ]
    texts = [without_tags(page.content.decode()) for page in pages]
    assert sorted("is taken already" in text for text in texts) == [False, True]
    assert sorted(MISSING in text for text in texts) == [False, True]
    listed = without_tags(support.get("/admin/sync/failuregroup/").content.decode())
    assert "… is taken already" in listed
    assert MISSING in listed
    assert not any("anne@example.com" in text for text in (*texts, listed))
    auditor = logged_in("auditor").get("/admin/sync/failuregroup/")
    assert "is taken already" not in auditor.content.decode(), "needs view_contents"


@pytest.mark.submission
def test_a_filter_selects_the_failures_of_one_group(hub: Hub) -> None:
    taken, missing = refuse(hub, "ANNE", TAKEN), refuse(hub, "CARL", MISSING)
    refresh_failure_groups()
    for event in (taken, missing):
        group = group_of(event.deliveries.get())
        assert group is not None
        params = {"state": "dead", "code": group.code, "failure_group": str(group.pk)}
        chosen = resolve_filter(params, event.received_at)
        assert list(chosen.apply_to(Event.objects.all())) == [event]
        assert chosen.to_params() == params
    for wrong in ("0", "-1", "x", "9" * 300, "²"):
        chosen = resolve_filter({"failure_group": wrong}, taken.received_at)
        assert not chosen.apply_to(Event.objects.all()).exists()


@pytest.mark.submission
def test_more_causes_than_there_may_be_groups_share_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_groups, "MAX_GROUPS_OF_CODE", 1)
    for name, sentence in (("ANNE", TAKEN), ("BERIT", TAKEN), ("CARL", MISSING), ("DORA", "Something else")):
        refuse(hub, name, sentence)
    expected = {frozenset({"ANNE", "BERIT"}), frozenset({"CARL", "DORA"})}
    assert groups() == groups() == expected
    assert sum(FailureGroup.objects.values_list("number", flat=True)) == 4


@pytest.mark.submission
def test_a_replay_that_succeeds_shows_that_the_cause_of_its_group_has_passed(hub: Hub) -> None:
    first, second = refuse(hub, "ANNE", TAKEN), refuse(hub, "BERIT", TAKEN)
    other = refuse(hub, "CARL", MISSING)
    refresh_failure_groups()
    failed = [event.deliveries.get() for event in (second, other)]
    assert find_passed_causes(failed) == {}
    request_replay([first], by=staff_user(), reason="the address is free")
    hub.wait_until_idle()
    hub.wait_until_quiet()
    assert Event.objects.get(pk=first.pk).state == "succeeded"
    assert PersonRequest.objects.count() == 1
    assert set(find_passed_causes(failed)) == {failed[0].pk}
    page = logged_in("support").get(f"/admin/webhooks/event/{second.pk}/change/").content.decode()
    assert "Another delivery that failed for the same reason has succeeded since." in page
    assert "Replaying now will fail again." not in page
    # A failure after that success is news.
    refuse(hub, "EVA", TAKEN)
    refresh_failure_groups()
    newest = Delivery.objects.get(entity_id="EVA")
    assert find_passed_causes([newest]) == {}


@pytest.mark.submission
def test_an_attempt_that_ends_otherwise_leaves_no_key(hub: Hub) -> None:
    event = refuse(hub, "ANNE", TAKEN)
    assert event.deliveries.get().failure_key
    hub.shop.faults.add("error")
    request_replay([event], by=staff_user(), reason="once more")
    hub.wait_until_idle()
    hub.wait_until_quiet()
    delivery = event.deliveries.get()
    assert (delivery.state, delivery.failure_key) == ("retrying", "")
