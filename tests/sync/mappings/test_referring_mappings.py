"""Before a route ends, the mappings that refer to its records are named."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from sync.mappings.referring_mappings import ending_warning, referring_mappings
from sync.models import Route
from tests.support.builders.references import MEMBERS, OWNER, set_field
from tests.support.hub import Hub
from tests.support.pages import typed_form
from tests.support.people import browser
from webhooks.models import Source

WARNING = "These mappings refer to records of USER: “File to document”, “Group to segment”."


@pytest.fixture
def route(hub: Hub) -> Route:
    """Return the only route of users, to whose records groups and files refer."""
    set_field("GROUP", "members", MEMBERS)
    set_field("FILE", "owner", OWNER)
    Route.objects.filter(source__slug="aurora-unsigned").delete()
    return Route.objects.get(entity_type="USER")


def shown(client: Client, address: str, **typed: Any) -> str:
    answer = client.post(address, typed, follow=True) if typed else client.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", unescape(answer.content.decode()))


def test_the_mappings_of_other_enabled_routes_that_refer_to_a_type_are_found(route: Route) -> None:
    assert [str(mapping) for mapping in referring_mappings(route)] == ["File to document", "Group to segment"]
    assert ending_warning(route).startswith(WARNING)
    Route.objects.filter(entity_type="FILE").update(is_enabled=False)
    assert [str(mapping) for mapping in referring_mappings(route)] == ["Group to segment"]


def test_another_route_of_the_same_systems_leaves_nothing_to_warn_of(route: Route) -> None:
    Route.objects.filter(pk=route.pk).update(is_enabled=False)
    twin = Route.objects.get(pk=route.pk)
    twin.pk, twin.slug = None, ""
    twin.is_enabled, twin.source = True, Source.objects.exclude(pk=route.source_id)[0]
    twin.save()
    assert ending_warning(route) == ""
    assert referring_mappings(route)


@pytest.mark.submission
def test_the_warning_is_on_every_page_that_ends_a_route(route: Route) -> None:
    client, page = browser("administrator"), f"/admin/sync/route/{route.pk}"
    form = typed_form(client, f"{page}/change/")
    off = {name: value for name, value in form.items() if name != "is_enabled"}
    renamed = {"entity_type": "PERSON", "identity_entity": "USER", "target_entity": "USER"}
    assert WARNING in shown(client, f"{page}/change/", **off), "the confirmation"
    assert WARNING in shown(client, f"{page}/change/", **form | renamed, _check="1"), "the check"
    assert WARNING in shown(client, f"{page}/delete/")
    assert WARNING not in shown(client, f"{page}/change/")
    Route.objects.filter(pk=route.pk).update(is_enabled=False)
    assert WARNING in shown(client, f"{page}/change/"), "the page of the disabled route"
