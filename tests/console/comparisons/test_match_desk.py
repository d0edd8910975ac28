"""The matching desk of a comparison: both sides on request, a decision about each record, and all unique ones at once."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from console.overview.awaited import awaited_requests
from sync.models import Comparison, Difference, MatchLinking
from tests.support.builders.compared_systems import add_delivery
from tests.support.builders.differences import a_comparison, a_difference
from tests.support.builders.found_matches import KIND, links
from tests.support.builders.history import logged_in
from tests.support.builders.matched_records import a_customer, a_user
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.people import browser, entries

ADDRESS = "mary.desk@example.com"
REASON = {"reason": "she asked why"}


class Desk:
    """A comparison that found the record of MARY by her address, which is verified."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.record = a_customer(hub, ADDRESS)
        a_user(hub, (ADDRESS, True), user="MARY")
        self.comparison: Comparison = a_comparison()
        self.row: Difference = a_difference(
            self.comparison, "found-by-value", "MARY", record_id=self.record, code="verified-unique"
        )
        self.page = f"/admin/sync/comparison/{self.comparison.uuid}/match/"
        self.decide = f"{self.page}{self.row.pk}/"
        self.link_all = f"/admin/sync/comparison/{self.comparison.uuid}/links/"

    def requests(self) -> int:
        return len(self.hub.identity.read_journal()) + len(self.hub.shop.read_journal())


@pytest.fixture
def desk(hub: Hub) -> Desk:
    return Desk(hub)


@pytest.mark.parametrize("name", ["page", "decide"])
def test_both_sides_are_fetched_for_a_reason_and_shown_to_those_who_may_see_contents(
    desk: Desk, name: str
) -> None:
    """Holds that the entry is written first, without a value, that nothing is sent, and that others see masked values."""
    support, page, before = logged_in("support"), getattr(desk, name), desk.requests()
    for answer in (support.get(page), support.post(page, {"reason": ""}, follow=True)):
        assert answer.status_code == 200
        assert ADDRESS not in answer.content.decode()
    assert (desk.requests(), entries("difference.opened")) == (before, [])
    shown = support.post(page, REASON, follow=True).content.decode()
    assert shown.count(ADDRESS) == 2
    assert "(same)" in shown
    [entry] = entries("difference.opened")
    assert (entry["stream"], entry["details"]["reason"]) == (desk.comparison.stream, "she asked why")
    assert ADDRESS not in str(entry)
    masked = logged_in("administrator").post(page).content.decode()
    assert ADDRESS not in masked
    assert f"Record {desk.record}" in masked
    assert not desk.hub.writes()


def decide(visitor: Client, desk: Desk, choice: str, reason: str = "it is hers") -> Any:
    return visitor.post(desk.decide, {"decide": "1", "choice": choice, "reason": reason}, follow=True)


def test_a_decision_links_the_record_and_leads_back_to_the_desk(desk: Desk) -> None:
    support = logged_in("support")
    assert decide(support, desk, f"link:{desk.record}", "").context["match_form"].errors["reason"]
    assert not links()
    answer = decide(support, desk, f"link:{desk.record}")
    assert (links(), answer.redirect_chain[-1][0]) == ({"MARY": desk.record}, desk.page)
    assert f"Linked to record {desk.record}" in answer.content.decode()
    again = decide(support, desk, f"link:{desk.record}")
    assert "not found for the entity now" in again.content.decode()
    assert len(entries("link.created")) == 1
    assert not desk.hub.writes()


@pytest.mark.submission
@pytest.mark.parametrize(("choice", "state"), [("create", "Gets a new record"), ("leave", "Left as it is")])
def test_a_choice_without_a_record_is_shown_at_the_desk(desk: Desk, choice: str, state: str) -> None:
    answer = decide(logged_in("support"), desk, choice)
    assert state in answer.content.decode()
    assert not links()


@pytest.mark.submission
def test_without_the_permission_nothing_is_decided(desk: Desk) -> None:
    auditor = logged_in("auditor")
    assert "can decide this" in auditor.get(desk.decide).content.decode()
    assert decide(auditor, desk, "leave").status_code == 403
    for page in ({"preview": "1", **REASON}, {"apply": "1"}, {"cancel": "1"}, {"approve": "1"}):
        assert auditor.post(desk.link_all, page).status_code == 403
    assert not MatchLinking.objects.exists()


@pytest.mark.submission
def test_the_desk_filters_by_certainty_and_names_a_newer_comparison(desk: Desk) -> None:
    support = logged_in("support")
    a_difference(desk.comparison, "found-by-value", "UNSURE", code="unverified")
    a_difference(desk.comparison, "found-by-value", "LATER", status="not-confirmed")
    assert [row.row.entity_id for row in support.get(desk.page).context["rows"]] == [
        "LATER",
        "UNSURE",
        "MARY",
    ]
    for evidence, entity in (("unverified", "UNSURE"), ("unknown", "LATER"), ("verified-unique", "MARY")):
        rows = support.get(desk.page, {"evidence": evidence}).context["rows"]
        assert [row.row.entity_id for row in rows] == [entity]
    a_comparison()
    assert "There is a newer comparison" in support.get(desk.page).content.decode()
    assert "There is a newer comparison" in decide(support, desk, "leave").content.decode()


def posted_run(**values: str) -> dict[str, str]:
    return {"run": str(MatchLinking.objects.latest("pk").uuid), **values}


def test_all_unique_matches_are_linked_after_a_preview(desk: Desk) -> None:
    admin = logged_in("administrator")
    assert "reason" in admin.post(desk.link_all, {"preview": "1", "reason": ""}).content.decode()
    admin.post(desk.link_all, {"preview": "1", **REASON})
    assert 'data-poll="2"' in admin.get(desk.link_all).content.decode()
    run_jobs(KIND)
    shown = admin.get(desk.link_all).content.decode()
    assert "1 record would be linked." in shown
    assert not links()
    stale = admin.post(desk.link_all, {"apply": "1", "run": "0"}, follow=True).content.decode()
    assert "has changed in the meantime" in stale
    admin.post(desk.link_all, posted_run(apply="1"))
    run_jobs(KIND)
    assert "1 record was linked." in admin.get(desk.link_all).content.decode()
    assert links() == {"MARY": desk.record}
    assert not desk.hub.writes()


@pytest.mark.submission
def test_above_the_limit_the_page_asks_for_a_second_person(desk: Desk, settings: Any) -> None:
    settings.REPLAY_LIMIT = settings.REPLAY_LIMIT_ADMIN = 0
    first, second = browser("administrator", "first"), browser("support+administrator", "second")
    first.post(desk.link_all, {"preview": "1", **REASON})
    run_jobs(KIND)
    assert "A second person must approve this." in first.get(desk.link_all).content.decode()
    first.post(desk.link_all, posted_run(apply="1"))
    waiting = first.get(desk.link_all).content.decode()
    assert "a second person must approve it" in waiting
    assert "Approve and link" not in waiting
    first.post(desk.link_all, posted_run(approve="1"))
    assert MatchLinking.objects.get().state == "awaiting"
    assert "Approve and link" in second.get(desk.link_all).content.decode()
    [awaited] = awaited_requests(User.objects.get(username="second"))
    assert awaited.link == desk.link_all
    second.post(desk.link_all, posted_run(approve="1"))
    run_jobs(KIND)
    assert links() == {"MARY": desk.record}


@pytest.mark.submission
def test_a_run_can_be_cancelled_and_a_held_delivery_is_decided_at_its_own_desk(desk: Desk) -> None:
    admin = logged_in("administrator")
    admin.post(desk.link_all, {"preview": "1", **REASON})
    answer = admin.post(desk.link_all, posted_run(cancel="1"), follow=True).content.decode()
    assert "Cancelled." in answer
    add_delivery("MARY", "held", code="unmatched")
    Difference.objects.update(delivery_state="held")
    shown = logged_in("support").get(desk.page).content.decode()
    assert "A delivery is held: decide there" in shown
