"""One difference, opened: both sides fetched now, with values only for those who may see contents."""

import re

import pytest

from audit.models import Entry
from sync.models import Difference, PersonRequest, Route
from tests.console.comparisons.pages import page_of
from tests.support.builders.compared_pairs import a_comparison, a_difference
from tests.support.builders.history import logged_in
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import entries

ADDRESS = "anna.drifted@example.com"
REASON = {"reason": "she asked why"}


@pytest.fixture
def difference(hub: Hub) -> Difference:
    """Return a difference: Anna has a record, and another address since."""
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    hub.change_email(ADDRESS)
    route = Route.objects.select_related("identity", "target", "mapping").get(
        entity_type="USER", source__slug="aurora"
    )
    record_id = str(hub.customer()["id"])
    return a_difference(a_comparison(route, field_counts={"email": 1}), entity_id=ANNA, record_id=record_id)


def opened_page(difference: Difference) -> str:
    return f"/admin/sync/comparison/{difference.comparison.uuid}/difference/{difference.pk}/"


def test_the_values_are_fetched_when_they_are_revealed_and_not_before(
    hub: Hub, difference: Difference
) -> None:
    """Holds that no system is asked and nothing is shown without a reason, that the entry is written first and has no
    value, and that nothing is sent."""
    support, page, writes = logged_in("support"), opened_page(difference), len(hub.writes())
    before = str(hub.customer()["email"])
    for answer in (support.get(page), support.post(page, {"reason": ""}, follow=True)):
        assert answer.context["live"] is None
        assert ADDRESS not in answer.content.decode()
    assert not entries("difference.opened")
    shown = support.post(page, REASON, follow=True)
    [row] = shown.context["live"].change.fields
    assert (row.name, row.before, row.sent) == ("email", before, ADDRESS)
    [entry] = entries("difference.opened")
    assert entry["stream"] == difference.comparison.stream
    assert entry["details"]["reason"] == "she asked why"
    assert entry["details"]["difference"] == difference.pk
    written = " ".join(Entry.objects.filter(action="difference.opened").values_list("details", flat=True))
    assert not re.search(f"{ADDRESS}|{before}|{ANNA}", written)
    assert len(hub.writes()) == writes
    assert ADDRESS not in logged_in("support").get(page).content.decode()


@pytest.mark.parametrize("role", ["auditor", "administrator"])
def test_without_the_permission_only_names_of_fields_are_shown(
    hub: Hub, difference: Difference, role: str
) -> None:
    visitor, page = logged_in(role), opened_page(difference)
    before = str(hub.customer()["email"])
    assert visitor.get(page).context["live"] is None
    shown = visitor.post(page, REASON)
    assert shown.context["live"].fields == ("email",)
    assert shown.context["live"].change is None
    assert not re.search(f"{re.escape(ADDRESS)}|{re.escape(before)}", shown.content.decode())
    [entry] = entries("difference.opened")
    assert entry["details"]["values"] is False


def test_the_list_and_its_file_never_have_a_value(hub: Hub, difference: Difference) -> None:
    support = logged_in("support")
    support.post(opened_page(difference), REASON, follow=True)
    before = str(hub.customer()["email"])
    comparison = page_of(difference.comparison)
    for shown in (
        support.get(comparison).content,
        b"".join(support.get(f"{comparison}download/csv")),
        b"".join(support.get(f"{comparison}download/jsonl")),
    ):
        assert ANNA.encode() in shown
        assert ADDRESS.encode() not in shown
        assert before.encode() not in shown


def test_a_difference_that_is_made_equal_meanwhile_is_in_step(hub: Hub, difference: Difference) -> None:
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    shown = logged_in("support").post(opened_page(difference), REASON, follow=True)
    assert "In step now" in shown.content.decode()


def test_a_system_that_fails_is_a_sentence(hub: Hub, difference: Difference) -> None:
    fault = hub.identity.faults.add("error", status=503)
    shown = logged_in("support").post(opened_page(difference), REASON, follow=True)
    hub.identity.faults.clear(fault.id)
    assert shown.context["live"].problem.title
    assert "is unavailable" in shown.content.decode()


def test_a_record_without_an_entity_is_not_fetched(hub: Hub, difference: Difference) -> None:
    unknown = a_difference(difference.comparison, 2, kind="unknown-record", entity_id="")
    for client in (logged_in("support"), logged_in("auditor")):
        answer = client.post(opened_page(unknown), REASON, follow=True)
        assert answer.context["live"] is None
    assert not entries("difference.opened")


def test_kinds_and_rows_become_a_bulk_replay_that_is_confirmed(hub: Hub, difference: Difference) -> None:
    """Holds that the buttons lead to the confirmation of a replay of just these, that a second click selects nothing
    twice, and that another choice on the same page selects something else."""
    support, comparison = logged_in("support"), difference.comparison
    html = support.get(page_of(comparison)).content.decode()
    form = {"route": comparison.route_id, "key": re.findall(r'name="key" value="([^"]+)"', html)[0]}
    page = f"/admin/sync/comparison/{comparison.uuid}/equal/"
    answers = [support.post(page, {**form, "chosen": difference.pk}, follow=True) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    replay = PersonRequest.objects.get()
    a_difference(comparison, 2)
    support.post(page, {**form, "kinds": "differs"})
    assert PersonRequest.objects.latest("pk").total == 2
    assert (replay.comparison_id, replay.route_id, replay.total) == (comparison.pk, comparison.route_id, 1)
    assert answers[0].redirect_chain[-1][0] == f"/admin/sync/personrequest/{replay.uuid}/confirm/"
