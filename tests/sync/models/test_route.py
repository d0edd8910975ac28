"""The slug of a route: its name on the command line and in files, for ever.

No other test holds that each route has one, and that no two have the same.
"""

import pytest

from sync.models import Route
from tests.support.builders.history import a_route, a_source

pytestmark = pytest.mark.django_db


def slug_of(source: str, entity_type: str) -> str:
    return a_route(a_source(source), entity_type=entity_type).slug


def test_a_route_gets_the_slug_of_its_source_type_and_target_with_a_number_where_it_is_taken() -> None:
    slugs = [
        slug_of("hr", "USER"),
        slug_of("hr-org", "UNIT"),
        slug_of("hr", "ORG.UNIT"),
        slug_of("hr", "ORG:UNIT"),
    ]
    assert slugs == ["hr-user-shop", "hr-org-unit-shop", "hr-org-unit-shop-2", "hr-org-unit-shop-3"]


def test_the_slug_of_a_route_never_changes() -> None:
    route = a_route(a_source("hr"))
    route.source = a_source("payroll")
    route.save()
    assert Route.objects.get().slug == "hr-user-shop"
