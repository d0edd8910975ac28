"""Decide about one record that was found by a value: link it, let a new one be created later, or leave it."""

import pytest
from django.utils import timezone

from sync.comparisons.make_equal import make_equal_at_once
from sync.comparisons.match_linking.decisions import FoundDecision, decide_found
from sync.comparisons.match_linking.requests import LinkingRefused
from sync.deliveries.routes import resolved_routes
from sync.erasure.erase import run_erasure
from sync.models import Difference, Link, MatchChoice, Route
from tests.support.builders.compared_systems import (
    ComparedSystems,
    add_delivery,
    compare,
    found_rows,
    link_record,
)
from tests.support.builders.differences import a_comparison, a_difference
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.builders.found_matches import (
    add_found,
    decider,
    hold_all,
    links,
    preview,
)
from tests.support.builders.matched_records import a_customer, a_user
from tests.support.hub import Hub
from tests.support.people import entries

pytestmark = pytest.mark.concurrent


@pytest.fixture
def double(systems: ComparedSystems) -> Difference:
    """Return the difference of a person whose address two records have."""
    hold_all()
    add_found(systems, "MARY", "m1", "m2")
    comparison = compare()
    return Difference.objects.select_related("comparison__route").get(comparison=comparison)


def decide(difference: Difference, decision: str, record_id: str = "", reason: str = "she said so") -> None:
    decide_found(difference, FoundDecision(decision), decider(), reason, record_id)


def test_the_chosen_record_is_linked_with_one_entry(systems: ComparedSystems, double: Difference) -> None:
    decide(double, "link", "m2")
    assert (links(), systems.writes) == ({"MARY": "m2"}, [])
    [entry] = entries("link.created")
    assert (entry["actor"], entry["details"]["reason"]) == (decider().actor, "she said so")
    assert entry["details"]["difference"] == double.pk
    with pytest.raises(LinkingRefused, match="not found for the entity"):
        decide(double, "link", "m1")
    assert compare().counts == {"differs": 1, "unknown-record": 1}


def test_a_record_that_was_not_found_or_is_taken_is_refused(
    systems: ComparedSystems, double: Difference
) -> None:
    """Holds that the records are those which are found now, not those of the page."""
    systems.add_customer("m9", None)
    link_record("ELSEWHERE", "m1")
    for record in ("m9", "m1", ""):
        with pytest.raises(LinkingRefused, match="not found"):
            decide(double, "link", record)
    with pytest.raises(LinkingRefused, match="reason"):
        decide(double, "link", "m2", reason=" ")
    assert links() == {"ELSEWHERE": "m1"}


@pytest.mark.submission
@pytest.mark.parametrize(("state", "sentence"), [("retrying", "has not ended"), ("held", "is held")])
@pytest.mark.parametrize("decision", ["link", "create", "leave"])
def test_a_subject_in_delivery_is_left_out(
    double: Difference, state: str, sentence: str, decision: str
) -> None:
    add_delivery("MARY", state)
    with pytest.raises(LinkingRefused, match=sentence):
        decide(double, decision, "m1" if decision == "link" else "")
    assert not links()
    assert not MatchChoice.objects.exists()


def test_a_new_record_is_created_when_a_person_chose_it(systems: ComparedSystems, double: Difference) -> None:
    """Holds that the choice makes the difference a missing record, which making equal creates, also where the route
    creates none for an update; and that it counts once.
    """
    Route.objects.update(without_match="refuse")
    decide(double, "create")
    [entry] = entries("match.create-chosen")
    assert (entry["stream"], entry["details"]["difference"]) == (double.comparison.stream, double.pk)
    resolved_routes.invalidate()
    again = compare()
    assert found_rows(again) == [("missing-record", "MARY", "")]
    assert not systems.writes
    # It had a record since, which was deleted.
    link_record("MARY", "", applied_at=timezone.now())
    assert found_rows(compare())[0][:2] == ("found-by-value", "MARY")


@pytest.mark.submission
def test_making_it_equal_sends_the_creation_that_a_person_chose(hub: Hub) -> None:
    """Holds that the delivery does not bind the record. This shop refuses a second one with the same address."""
    a_customer(hub, "shared@example.com")
    a_user(hub, ("shared@example.com", True), user="MARY")
    comparison = a_comparison()
    decide(a_difference(comparison, "found-by-value", "MARY"), "create")
    make_equal_at_once(comparison.route, "MARY", "UPDATE", by=decider().user, reason="missing")
    hub.wait_until_idle()
    assert [(write["method"], write["body"]["external_id"]) for write in hub.writes()] == [("POST", "MARY")]
    assert not links()


def test_what_a_person_decided_no_run_links(systems: ComparedSystems) -> None:
    hold_all()
    for name in ("MARY", "ANN", "ZOE"):
        add_found(systems, name, f"{name.lower()}1")
    comparison = compare()
    rows = {
        row.entity_id: row
        for row in Difference.objects.filter(comparison=comparison).select_related("comparison__route")
    }
    decide(rows["MARY"], "leave")
    decide(rows["ANN"], "create")
    decide(rows["ANN"], "leave")
    assert len(entries("match.left")) == 2
    assert preview(comparison).previewed == {"chosen": 2, "verified-unique": 1}
    decide(rows["MARY"], "link", "mary1")
    assert (links(), MatchChoice.objects.count()) == ({"MARY": "mary1"}, 1)


def test_an_erasure_deletes_choices_and_refuses_further_ones(
    systems: ComparedSystems, double: Difference
) -> None:
    decide(double, "leave")
    assert run_erasure(confirmed_erasure(InventedPerson("MARY", "Name", "name@example.com")))
    assert not MatchChoice.objects.exists()
    with pytest.raises(LinkingRefused, match="no longer stored"):
        decide(double, "link", "m1")
    assert not Link.objects.exists()
