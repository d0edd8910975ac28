"""Whatever expression an administrator enters, a delivery, a preview and a back-test end, and name the field or setting
that costs too much (I25).
"""

from collections.abc import Callable
from typing import Any

import pytest

from sync.mappings.backtests import MAX_OVER_BUDGET, request_backtest, run_in_request
from sync.models import Connection, Delivery, MappingVersion, Route
from tests.support.builders.backtests import a_draft, a_mapped_event, a_mapping_in_use, mapping_author
from tests.support.builders.history import NOON
from tests.support.hostile.expressions import piped
from tests.support.hub import ANNA, Hub
from webhooks.models import State

BOMB = piped("[@,@][]", 40)
USERS = "/entities/USER"


def use_mapping(change: Callable[[dict[str, Any]], None]) -> None:
    """Change the declaration of the mapping of users."""
    version = MappingVersion.objects.get(
        mapping=Route.objects.get(source__slug="aurora", entity_type="USER").mapping
    )
    change(version.declaration)
    MappingVersion.objects.filter(pk=version.pk).update(declaration=version.declaration)


def use_setting(slug: str, pointer: str, value: Any) -> None:
    """Set one setting of a connection."""
    connection = Connection.objects.get(slug=slug)
    *parents, name = pointer.strip("/").split("/")
    place = connection.settings
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
    connection.save()


def post(hub: Hub) -> tuple[int, str, list[str]]:
    """Post a webhook. Returns the status, the code, and the fields that the errors name."""
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    document = answer.json()
    return (
        answer.status_code,
        document.get("code", "done"),
        [error["field"] for error in document.get("errors", [])],
    )


def newest_delivery() -> Delivery:
    return Delivery.objects.latest("pk")


@pytest.mark.promise("I25")
def test_a_mapping_over_budget_ends_the_delivery_and_names_the_field(hub: Hub) -> None:
    use_mapping(lambda declared: declared["fields"].update(bomb={"path": BOMB}))
    assert post(hub) == (424, "mapping-over-budget", ["bomb"])
    assert newest_delivery().state == State.DEAD
    assert hub.writes() == []


def test_a_verified_value_over_budget_is_named_by_its_path(hub: Hub) -> None:
    use_mapping(
        lambda declared: declared["match"].update(
            verified={"previous": {"email": {"path": BOMB}}}, external_id=None
        )
    )
    answer = hub.post_signed(
        {"id": ANNA, "entityType": "USER", "eventType": "UPDATE", "previous": {"emails": []}}
    )
    document = answer.json()
    assert (document["code"], document["errors"][0]["field"]) == (
        "mapping-over-budget",
        "match.verified.previous.email",
    )


@pytest.mark.promise("I25")
def test_all_expressions_of_a_mapping_have_a_budget_together(hub: Hub) -> None:
    # Each makes 4,096 items and stays within its own budget.
    rules = {f"field{number}": {"path": piped("[@,@][]", 12) + "|length(@)"} for number in range(150)}
    use_mapping(lambda declared: declared["fields"].update(rules))
    status, code, _fields = post(hub)
    assert (status, code) == (424, "mapping-over-budget")


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("slug", "code", "pointer", "name"),
    [
        ("aurora", "identity-over-budget", f"{USERS}/record", ""),
        ("aurora", "identity-over-budget", f"{USERS}/id", ""),
        ("aurora", "identity-over-budget", f"{USERS}/answers", "/0/when"),
        ("shop", "target-over-budget", f"{USERS}/operations/search/result", ""),
        ("shop", "target-over-budget", "/answers", "/0/when"),
    ],
)
def test_a_setting_over_budget_ends_the_delivery_and_is_named(
    hub: Hub, slug: str, code: str, pointer: str, name: str
) -> None:
    hub.change_email("anna.new@example.com")
    use_setting(slug, pointer, [{"status": "2xx", "when": BOMB, "means": "refused"}] if name else BOMB)
    assert post(hub) == (424, code, [pointer + name])
    assert newest_delivery().state == State.DEAD


def test_an_error_message_expression_over_budget_keeps_the_code_and_is_named(hub: Hub) -> None:
    use_setting("shop", "/error/sentence", BOMB)
    hub.change_email("anna.new@example.com")
    hub.shop.faults.add("refuse")
    assert post(hub) == (422, "target-rejected", ["/error/sentence"])


@pytest.mark.submission
def test_a_back_test_ends_when_a_draft_keeps_exceeding_its_budget(db: None) -> None:
    mapping, route = a_mapping_in_use({"fields": {"mail": {"path": "entity.mail"}}})
    for number in range(MAX_OVER_BUDGET + 5):
        a_mapped_event(route, {"mail": "a@x"}, number, received_at=NOON)
    draft = a_draft(mapping, {"fields": {"mail": {"path": BOMB}}})
    backtest = request_backtest(draft, MAX_OVER_BUDGET + 5, mapping_author(), "a test")
    run_in_request(backtest)
    backtest.refresh_from_db()
    assert (backtest.state, backtest.ended_by) == ("done", "over-budget")
    assert (backtest.tested_count, backtest.fields) == (MAX_OVER_BUDGET, {"mail": MAX_OVER_BUDGET})
