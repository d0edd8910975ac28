"""The form of a route tries a condition, and saves it with the number of those who leave."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from sync.models import ConditionTry, JobState, Route, TriedEntity
from tests.support.condition_tries import ADULTS, a_finished_try
from tests.support.hub import Hub
from tests.support.pages import text_of, typed_form, visible_text
from tests.support.people import browser, entries

MANY = {"counts": {"leave": 300, "stay": 100, "cannot-say": 2}, "read_linked": 400, "linked_count": 400}
FEW = {"counts": {"leave": 2, "stay": 398}, "read_linked": 400, "linked_count": 400}


@pytest.fixture
def route(hub: Hub) -> Route:
    return Route.objects.select_related("source", "identity", "target").get(slug="aurora-user-shop")


@pytest.fixture
def client(route: Route) -> Client:
    return browser("administrator")


def page_of(route: Route, end: str = "change/") -> str:
    return f"/admin/sync/route/{route.pk}/{end}"


def save(client: Client, route: Route, **changed: Any) -> Any:
    """Send the form of a route. Returns the page that comes then: the confirmation, or the form with errors."""
    form = typed_form(client, page_of(route))
    return client.post(page_of(route), {**form, **changed}, follow=True)


def confirm(client: Client, shown: Any, **entered: Any) -> Any:
    address = shown.redirect_chain[-1][0]
    return client.post(
        address, {"seen": shown.context["seen"], "reason": "fewer people", **entered}, follow=True
    )


def stored_condition(route: Route) -> str:
    route.refresh_from_db()
    return route.condition


def test_the_button_of_the_form_leads_to_a_try_that_needs_a_reason(client: Client, route: Route) -> None:
    page = client.get(page_of(route))
    assert f'formaction="{page_of(route, "condition/")}"' in text_of(page)
    typed = typed_form(client, page_of(route)) | {"condition": ADULTS}
    asked = client.post(page_of(route, "condition/"), typed)
    assert asked.context["form"]["condition"].value() == ADULTS
    assert not ConditionTry.objects.exists()
    refused = client.post(page_of(route, "condition/"), {"condition": ADULTS, "begin": "1"})
    assert list(refused.context["form"].errors) == ["reason"]
    answer = client.post(
        page_of(route, "condition/"),
        {"condition": ADULTS, "reason": "fewer people", "begin": "1"},
        follow=True,
    )
    row = ConditionTry.objects.get()
    assert answer.redirect_chain[-1][0] == page_of(route, f"condition/{row.uuid}/")
    assert "A worker starts it within seconds" in visible_text(answer)
    assert (row.condition, row.reason, row.state) == (ADULTS, "fewer people", "waiting")


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [("entity.", "not valid"), ("webhook.id", "not valid"), ("x" * 2_001, "at most 2000")],
)
def test_what_is_no_condition_is_refused_at_its_field(
    client: Client, route: Route, condition: str, sentence: str
) -> None:
    values = {"condition": condition, "reason": "fewer people", "begin": "1"}
    answer = client.post(page_of(route, "condition/"), values)
    assert sentence in str(answer.context["form"].errors["condition"])
    assert not ConditionTry.objects.exists()


def test_a_condition_that_was_not_tried_is_not_saved(client: Client, route: Route) -> None:
    answer = save(client, route, condition=ADULTS)
    assert "Try this condition first" in visible_text(answer)
    assert stored_condition(route) == ""


def test_few_who_leave_are_named_and_saved_with_a_reason(client: Client, route: Route) -> None:
    row = a_finished_try(route, **FEW)
    shown = save(client, route, condition=ADULTS)
    assert "2 of 400 linked entities leave the scope." in visible_text(shown)
    assert "leaving" not in shown.context["reason_form"].fields
    confirm(client, shown)
    assert stored_condition(route) == ADULTS
    (entry,) = entries("route.condition-changed")
    assert entry["stream"] == f"route:{route.pk}"
    assert entry["details"]["after"] == {"condition": ADULTS, "on_leaving": "leave"}
    assert (entry["details"]["try"], entry["details"]["leaving"]) == (str(row.uuid), 2)
    assert entry["details"]["reason"] == "fewer people"


@pytest.mark.parametrize(
    ("entered", "is_saved"),
    [({}, False), ({"leaving": "299"}, False), ({"leaving": "yes"}, False), ({"leaving": " 300"}, True)],
)
def test_many_who_leave_are_saved_only_with_their_number(
    client: Client, route: Route, entered: dict[str, str], is_saved: bool
) -> None:
    a_finished_try(route, **MANY)
    shown = save(client, route, condition=ADULTS)
    text = visible_text(shown)
    assert "300 of 400 linked entities leave the scope." in text
    assert "Enter 300 to confirm." in text
    assert "For 2 entities the condition cannot be evaluated" in text
    assert entries("route.condition-changed") == []
    confirm(client, shown, **entered)
    assert (stored_condition(route) == ADULTS) is is_saved
    assert [one["details"]["confirmed"] for one in entries("route.condition-changed")] == [300] * is_saved


def test_a_newer_try_with_another_number_asks_again(client: Client, route: Route) -> None:
    a_finished_try(route, **MANY)
    shown = save(client, route, condition=ADULTS)
    a_finished_try(route, **{**MANY, "counts": {"leave": 310, "stay": 90}})
    again = confirm(client, shown, leaving="300")
    assert "310" in str(again.context["reason_form"].errors["leaving"])
    assert stored_condition(route) == ""
    ConditionTry.objects.update(state=JobState.FAILED)
    assert "no longer possible" in visible_text(confirm(client, shown, leaving="310"))
    assert stored_condition(route) == ""


def test_a_policy_that_removes_records_counts_who_left_before(client: Client, route: Route) -> None:
    Route.objects.filter(pk=route.pk).update(condition=ADULTS)
    a_finished_try(route, counts={"stay": 90, "left": 60}, read_linked=90, linked_count=90)
    shown = save(client, route, on_leaving="delete")
    text = visible_text(shown)
    assert "60 linked entities left before. They are counted too" in text
    assert "Enter 60 to confirm." in text
    confirm(client, shown, leaving="60")
    route.refresh_from_db()
    assert route.on_leaving == "delete"


def test_removing_a_condition_needs_no_try_and_says_so(client: Client, route: Route) -> None:
    Route.objects.filter(pk=route.pk).update(condition=ADULTS)
    shown = save(client, route, condition="")
    assert "Nobody leaves the scope, so nothing has to be tried." in visible_text(shown)
    confirm(client, shown)
    assert stored_condition(route) == ""
    assert [one["details"]["before"]["condition"] for one in entries("route.condition-changed")] == [ADULTS]


def test_a_tried_condition_is_filled_in_and_saved_from_its_result(client: Client, route: Route) -> None:
    row = a_finished_try(route, **FEW)
    result = client.get(page_of(route, f"condition/{row.uuid}/"))
    address = result.context["use_url"].partition("#")[0]
    assert f"{address}#" in text_of(result)
    form = client.get(address)
    assert "is filled in below" in visible_text(form)
    assert form.context["adminform"].form["condition"].value() == ADULTS
    assert stored_condition(route) == ""
    old = a_finished_try(route, ended_at="2020-01-01T00:00:00Z", condition="entity.age > `1`")
    text = visible_text(client.get(page_of(route, f"condition/{old.uuid}/")))
    assert "older than an hour" in text
    assert "Use this condition" not in text


def test_ids_of_those_who_leave_are_shown_as_those_of_comparisons_are(client: Client, route: Route) -> None:
    row = a_finished_try(route, **MANY)
    TriedEntity.objects.create(condition_try=row, outcome="leave", entity_id="U-leaves")
    why = "the condition gives null, neither true nor false"
    TriedEntity.objects.create(condition_try=row, outcome="cannot-say", entity_id="U-odd", detail=why)
    page = page_of(route, f"condition/{row.uuid}/")
    for reader in (client, browser("auditor"), browser("support")):
        text = visible_text(reader.get(page))
        assert "300 of 400" in text
        assert "U-leaves" in text
        assert f"U-odd {why}" in text
    differences = Permission.objects.get(codename="view_differences")
    Group.objects.get(name="support").permissions.remove(differences)
    text = visible_text(browser("support", "another").get(page))
    assert "300 of 400" in text
    assert "U-leaves" not in text


def test_only_who_may_change_a_route_tries_and_cancels(route: Route) -> None:
    row = a_finished_try(route, state=JobState.RUNNING, ended_at=None)
    for role in ("auditor", "support"):
        reader = browser(role)
        assert reader.get(page_of(route, "condition/")).status_code == 403
        assert reader.post(page_of(route, "condition/"), {"begin": "1"}).status_code == 403
        assert reader.post(page_of(route, f"condition/{row.uuid}/")).status_code == 403
    assert ConditionTry.objects.get().is_open


def test_a_running_try_is_cancelled_and_a_failed_one_says_why(client: Client, route: Route) -> None:
    running = a_finished_try(
        route, state=JobState.RUNNING, ended_at=None, read_count=1_200, total_count=5_000
    )
    page = page_of(route, f"condition/{running.uuid}/")
    assert "1,200 entities read" in visible_text(client.get(page))
    assert "was cancelled" in visible_text(client.post(page, follow=True))
    running.refresh_from_db()
    assert running.state == JobState.CANCELLED
    failed = a_finished_try(route, state=JobState.FAILED, failure="identity-unavailable")
    text = visible_text(client.get(page_of(route, f"condition/{failed.uuid}/")))
    assert "Aurora ID" in text
    assert "Use this condition" not in text


@pytest.mark.parametrize(
    ("values", "sentences"),
    [
        (FEW, ["2 of 400 linked entities leave the scope."]),
        (
            {"counts": {"stay": 4}, "read_linked": 4, "linked_count": 4},
            ["No linked entity leaves the scope."],
        ),
        (
            {"counts": {"leave": 1, "stay": 9}, "read_linked": 10, "linked_count": 100, "is_complete": False},
            ["About 10 of 100 linked", "90 linked entities were not read", "not known to be complete"],
        ),
        (
            {"linked_count": 7, "is_complete": False, "reads": "stored"},
            ["About 7 of 7 linked", "None of the 7 linked entities was read", "have no list of this type"],
        ),
    ],
)
def test_the_result_says_what_it_rests_on(
    client: Client, route: Route, values: dict[str, Any], sentences: list[str]
) -> None:
    row = a_finished_try(route, **values)
    text = visible_text(client.get(page_of(route, f"condition/{row.uuid}/")))
    assert [sentence for sentence in sentences if sentence not in text] == []
