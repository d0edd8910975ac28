"""Routes in the console describe their steps and the version of their mapping."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sync.mappings.drafts import activate_version, current_version, open_draft, seen_versions
from sync.models import Mapping, Route
from tests.support.builders.backtests import a_draft, a_mapping_in_use, mapping_author
from tests.support.people import browser

pytestmark = pytest.mark.django_db

LIST = "/admin/sync/route/"
FIRST = {"fields": {"mail": {"path": "entity.mail"}}}
SECOND = {"fields": {"mail": {"path": "entity.email"}}}


def page(route: Route) -> str:
    return browser("support", f"reader-{route.pk}").get(f"{LIST}{route.pk}/change/").content.decode()


def test_a_route_describes_its_steps_and_the_active_version() -> None:
    mapping, route = a_mapping_in_use(FIRST)
    a_draft(mapping, SECOND)
    description = f"fetched from Aurora ID → mapped by {mapping}, version 1 → written to The shop."
    assert description in browser("support").get(LIST).content.decode()
    assert description in page(route)
    activate_version(
        open_draft(mapping),
        seen_versions(current_version(mapping), open_draft(mapping)),
        "why",
        mapping_author(),
    )  # type: ignore[arg-type]
    assert f"{mapping}, version 2" in browser("auditor").get(LIST).content.decode()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"is_enabled": False}, "The route is disabled"),
        ({"relays": True}, "Nothing is fetched from Aurora ID"),
        ({"without_match": "refuse"}, "an UPDATE event fails"),
        ({"matching": "never"}, "never linked by a value such as an address"),
        ({"matching": "hold"}, "A person decides whether a record with the same value, such as an address"),
        ({"matching": "verified"}, "Otherwise, a person decides."),
        ({"matching": "trusted"}, "such as an address, is linked, even if the value is not verified"),
        ({"when_deleted": "delete"}, "its record is deleted"),
        ({"when_deleted": "ignore"}, "its record is not changed"),
    ],
)
def test_the_description_of_a_route_contains_its_policy(values: dict[str, object], told: str) -> None:
    _, route = a_mapping_in_use(FIRST)
    Route.objects.update(**values)
    assert told in page(route)


def test_a_route_with_a_mapping_without_a_version_says_so() -> None:
    _, route = a_mapping_in_use(FIRST)
    Route.objects.update(mapping=Mapping.objects.create(name="Empty"))
    assert "no version yet: deliveries fail" in page(route)
    assert "No mapping" in browser("support").get(LIST).content.decode()


def test_the_list_costs_the_same_however_many_routes_there_are() -> None:
    client, costs = browser("support"), []
    for number in range(8):
        a_mapping_in_use(FIRST)
        if number in (0, 7):
            with CaptureQueriesContext(connection) as seen:
                client.get(LIST)
            costs.append(len(seen))
    assert costs[0] == costs[1]


@pytest.mark.one_database
@pytest.mark.parametrize("entity_type", ["bad type", "1USER", "ÄITI", "USER/1"])
def test_an_impossible_entity_type_is_refused(entity_type: str) -> None:
    _, route = a_mapping_in_use(FIRST)
    typed = {"entity_type": entity_type}
    text = browser("administrator").post(f"{LIST}{route.pk}/change/", typed).content.decode()
    assert "Start with a letter, followed by letters, digits" in text


def test_a_refused_form_describes_the_stored_route() -> None:
    _, route = a_mapping_in_use(FIRST)
    typed = {"entity_type": "GROUP", "deactivation": json.dumps([])}
    text = browser("administrator").post(f"{LIST}{route.pk}/change/", typed).content.decode()
    assert "USER events of" in text
