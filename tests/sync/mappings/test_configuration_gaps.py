"""A setting that is missing is found when connection, mapping and route are saved against each other."""

import json
import re
from typing import Any

import pytest
from django.core.management.base import CommandError

from devtools.sandbox_setup import SandboxSystems, seed_configuration
from sync.mappings.configuration_gaps import (
    connection_gaps,
    delivery_conflicts,
    link_conflicts,
    naming_conflicts,
    route_gaps,
)
from sync.models import Connection, Mapping, MappingDraft, MappingVersion, Route
from tests.support.builders.backtests import a_draft
from tests.support.builders.settings_rows import connection_form
from tests.support.connections import copy_connection
from tests.support.hub import ANNA, SIGNING_SECRET, Hub
from tests.support.pages import typed_form, visible_text
from tests.support.people import browser, entries
from webhooks.models import Source

BY_PHONE = {"fields": {"phone": {"path": "entity.phone"}}, "match": {"new": ["phone"]}}
GAP = (
    "The mapping finds records by phone, which the settings of The shop do not list under "
    "entities.USER.operations.search.fields"
)


def forget_type(slug: str, entity_type: str = "USER") -> Connection:
    """Remove an entity type from the settings of a connection, without saving it."""
    connection = Connection.objects.get(slug=slug)
    del connection.settings["entities"][entity_type]
    return connection


def user_route() -> Route:
    return Route.objects.get(source__slug="aurora", entity_type="USER")


def post_update(hub: Hub) -> tuple[int, dict[str, Any]]:
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    return answer.status_code, answer.json()


def test_gaps_are_found_by_the_entity_types_of_the_connections(hub: Hub) -> None:
    assert [gap for route in Route.objects.all() for gap in route_gaps(route)] == []
    for slug in ("aurora", "shop"):
        assert len(connection_gaps(forget_type(slug))) == 2, "both sources have a route"
    route = user_route()
    route.identity_entity, route.target_entity = "HUMAN", "CUSTOMER"
    assert list(route_gaps(route)) == [
        ("identity", "The settings of Aurora ID have no entity type HUMAN: entities.HUMAN is missing."),
        (
            "target",
            "The settings of The shop have no entity type CUSTOMER: entities.CUSTOMER is missing.",
        ),
    ]
    route.target.settings["entities"]["CUSTOMER"] = route.target.settings["entities"].pop("USER")
    route.target.settings["entities"]["CUSTOMER"]["operations"]["search"]["fields"] = ["email"]
    [_, (field, sentence)] = route_gaps(route)
    assert field == "mapping"
    assert "under entities.CUSTOMER.operations.search.fields." in sentence


def test_one_entity_type_has_one_name_at_each_connection(hub: Hub) -> None:
    """Subjects and links are keyed by the type of the event: else two kinds of records would share a link."""
    route = user_route()
    assert list(naming_conflicts(route)) == []
    route.identity_entity, route.target_entity = "HUMAN", "CUSTOMER"
    assert [field for field, _ in naming_conflicts(route)] == ["identity_entity", "target_entity"]
    Route.objects.filter(entity_type="USER").exclude(pk=route.pk).update(
        identity_entity="HUMAN", target_entity="CUSTOMER"
    )
    assert list(naming_conflicts(route)) == []
    assert post_update(hub)[0] == 200
    [(field, sentence)] = naming_conflicts(route)
    assert (field, sentence) == (
        "target_entity",
        "Entities of this route already have records of USER. Create another route instead.",
    )
    # The same word, written out, is no change.
    Route.objects.filter(entity_type="USER").update(identity_entity="", target_entity="")
    route.identity_entity, route.target_entity = "USER", "USER"
    assert list(naming_conflicts(route)) == []


def save_route(route: Route, **changed: Any) -> Any:
    """Change fields of a stored route on its page. Returns the answer."""
    client, address = browser("administrator"), f"/admin/sync/route/{route.pk}/change/"
    return client.post(address, typed_form(client, address) | {"reason": "moved"} | changed)


def a_copy_of(slug: str) -> Connection:
    return copy_connection(Connection.objects.get(slug=slug), f"second-{slug}")


@pytest.mark.submission
def test_a_route_with_deliveries_keeps_its_events_and_its_target(hub: Hub) -> None:
    """Replays of its events go to the old target, with the mapping that was meant for the new one."""
    route, second_shop = user_route(), a_copy_of("shop")
    route.entity_type, route.source = "OTHER", Source.objects.get(slug="aurora-unsigned")
    route.target = second_shop
    assert list(delivery_conflicts(route)) == []
    assert post_update(hub)[0] == 200
    assert [field for field, _ in delivery_conflicts(route)] == ["source", "entity_type", "target"]
    assert list(delivery_conflicts(user_route())) == []
    page = save_route(route, target=second_shop.pk)
    assert set(page.context["adminform"].form.errors) == {"target"}


@pytest.mark.submission
def test_a_route_with_linked_records_keeps_its_identity_connection(hub: Hub) -> None:
    """Each entity of another identity connection would get a second record."""
    route, second = user_route(), a_copy_of("aurora")
    route.identity = second
    assert list(link_conflicts(route)) == []
    assert post_update(hub)[0] == 200
    assert [field for field, _ in link_conflicts(route)] == ["identity"]
    assert list(link_conflicts(user_route())) == []
    page = save_route(route, identity=second.pk)
    assert set(page.context["adminform"].form.errors) == {"identity"}


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("when_deleted", "send", "method", "is_gap"),
    [
        ("delete", {"field": "version"}, "DELETE", True),
        ("delete", {"field": "version"}, "POST", False),
        ("delete", {"field": "version", "query": "version"}, "DELETE", False),
        ("deactivate", {"field": "version"}, "DELETE", False),
    ],
)
def test_a_deletion_that_cannot_name_its_version_is_a_gap(
    hub: Hub, when_deleted: str, send: dict[str, str], method: str, is_gap: bool
) -> None:
    Route.objects.update(when_deleted=when_deleted)
    shop = Connection.objects.get(slug="shop")
    version = {"read": {"path": "version"}, "send": send}
    users = shop.settings["entities"]["USER"]
    users["version"] = version
    users["operations"]["delete"]["method"] = method
    assert any("version.send.query" in gap for gap in connection_gaps(shop)) is is_gap
    shop.save()
    assert [name for name, _ in route_gaps(user_route())] == (["target"] if is_gap else [])


@pytest.mark.submission
@pytest.mark.parametrize("delete", [None, {"method": "POST", "path": "/c/{id}/anonymize"}])
def test_a_deletion_that_no_operation_describes_is_a_gap(hub: Hub, delete: dict[str, Any] | None) -> None:
    Route.objects.update(when_deleted="delete")
    shop = Connection.objects.get(slug="shop")
    operations = {
        "get": {"path": "/c/{id}"},
        "create": {"path": "/c"},
        "update": {"path": "/c/{id}"},
        "search": {"path": "/c", "query": {"q": "{value}"}, "fields": ["external_id", "email"]},
        "delete": delete,
    }
    shop.settings["entities"]["USER"] = {"operations": operations}
    shop.full_clean()
    assert [gap for gap in connection_gaps(shop) if "operations.delete" not in gap] == []
    assert bool(connection_gaps(shop)) is (delete is None)
    operations["search"]["fields"].remove("email")  # type: ignore[index]
    assert any("email" in gap for gap in connection_gaps(shop))


@pytest.mark.parametrize(
    "match", [{"new": ["phone"]}, {"verified": {"new": {"phone": {"path": "entity.phones[?verified]"}}}}]
)
def test_a_mapping_that_searches_another_field_is_a_gap(hub: Hub, match: dict[str, Any]) -> None:
    mapping = Mapping.objects.create(name="By phone")
    declaration = {"fields": {"phone": {"path": "entity.phone"}}, "match": match}
    MappingVersion.objects.create(mapping=mapping, number=1, declaration=declaration)
    route = user_route()
    route.mapping = mapping
    [(field, sentence)] = route_gaps(route)
    assert field == "mapping"
    assert re.search(r"finds records by phone\b.*search\.fields", sentence)


@pytest.mark.submission
def test_the_form_of_a_route_refuses_what_its_connections_lack(hub: Hub) -> None:
    forget_type("shop", "FILE").save()
    client = browser("administrator")
    route = Route.objects.get(source__slug="aurora", entity_type="FILE")
    form = typed_form(client, f"/admin/sync/route/{route.pk}/change/") | {"reason": "it joins"}
    Route.objects.filter(entity_type="FILE").delete()
    page = client.post("/admin/sync/route/add/", form)
    assert "have no entity type FILE" in page.content.decode()
    assert not Route.objects.filter(entity_type="FILE").exists()


@pytest.mark.submission
def test_a_route_that_cannot_work_is_disabled_with_a_warning_and_not_enabled_again(hub: Hub) -> None:
    forget_type("shop").save()
    route, client = user_route(), browser("administrator")
    address = f"/admin/sync/route/{route.pk}/change/"
    form = typed_form(client, address) | {"reason": "it cannot work"}
    off = {name: value for name, value in form.items() if name != "is_enabled"}
    confirmation = client.post(address, off, follow=True)
    assert "cannot be enabled yet: The settings of The shop have no entity type USER" in visible_text(
        confirmation
    )
    seen = {"seen": confirmation.context["seen"], "reason": "it cannot work"}
    client.post(confirmation.redirect_chain[-1][0], seen)
    assert not user_route().is_enabled
    assert "have no entity type USER" in visible_text(client.post(address, form, follow=True))
    assert not user_route().is_enabled


@pytest.mark.submission
def test_the_confirmation_of_a_connection_warns_of_what_its_routes_lack(hub: Hub) -> None:
    connection = forget_type("shop")
    address = f"/admin/sync/connection/{connection.pk}/change/"
    page = browser("administrator").post(address, connection_form(connection), follow=True)
    assert "have no entity type USER" in visible_text(page)


def draft_by_phone() -> MappingDraft:
    """Save a draft that finds people by a field for which the shop has no search."""
    return a_draft(user_route().mapping, BY_PHONE)


def activate(draft: MappingDraft, number: int = 0) -> str:
    """Activate a draft, or restore a version, on the page of the console. Returns the page that follows."""
    of = draft.mapping
    address = f"/admin/sync/mapping/{of.pk}/activate/" + (f"?version={number}" if number else "")
    latest = of.current_version().number
    is_open = MappingDraft.objects.filter(pk=draft.pk, state="open").exists()
    seen = {"seen_version": latest, "seen_draft": draft.pk if is_open else 0, "reason": "phones are unique"}
    return visible_text(browser("administrator", f"admin-{latest}").post(address, seen, follow=True))


@pytest.mark.submission
def test_a_draft_with_which_an_enabled_route_cannot_work_is_not_activated(hub: Hub) -> None:
    draft = draft_by_phone()
    of = draft.mapping
    review = browser("support", "reader")
    assert review.get(f"/admin/sync/mapping/{of.pk}/activate/").status_code == 403
    question = visible_text(browser("administrator").get(f"/admin/sync/mapping/{of.pk}/activate/"))
    assert "It cannot be activated yet" in question
    assert GAP in question

    page = activate(draft)
    assert f"Not activated, because deliveries would fail: Aurora ID: USER → The shop: {GAP}" in page
    assert (of.current_version().number, entries("mapping.activated")) == (1, [])
    draft.refresh_from_db()
    assert draft.state == "open"
    assert post_update(hub)[0] == 200, "the version in force still delivers"


@pytest.mark.submission
def test_an_earlier_version_with_which_an_enabled_route_cannot_work_is_not_restored(hub: Hub) -> None:
    draft = draft_by_phone()
    of = draft.mapping
    of.routes.update(is_enabled=False)
    activate(draft)
    activate(a_draft(of, of.versions.get(number=1).declaration))
    of.routes.update(is_enabled=True)
    assert GAP in activate(draft, number=2)
    assert of.current_version().number == 3


def test_the_seed_of_the_sandbox_refuses_what_its_routes_lack(hub: Hub) -> None:
    MappingVersion.objects.create(mapping=user_route().mapping, number=2, declaration=BY_PHONE)
    before = json.dumps(Connection.objects.get(slug="shop").settings)
    urls = (hub.identity.url, "identity-token", "http://127.0.0.1:9", "shop-token")
    with pytest.raises(CommandError, match="finds records by phone"):
        seed_configuration(SandboxSystems(*urls, SIGNING_SECRET))
    shop = Connection.objects.get(slug="shop")
    assert (json.dumps(shop.settings), shop.base_url) == (before, hub.shop.url), "nothing was changed"


def test_each_gap_names_its_setting_by_path_as_the_settings_write_it(hub: Hub) -> None:
    route = user_route()
    entities = route.target.settings["entities"]
    entities["user"] = entities.pop("USER")
    operations = entities["user"]["operations"]
    operations["search"]["fields"] = []
    route.when_deleted = Route.DeletionPolicy.DELETE
    entities["user"]["version"] = {"read": {"path": "rev"}, "send": {"field": "rev"}}
    paths = [re.findall(r"entities\.[\w.]+\w", sentence) for _field, sentence in route_gaps(route)]
    assert paths == [["entities.user.operations.search.fields"], ["entities.user.version.send.query"]]
    del operations["delete"]
    paths = [re.findall(r"entities\.[\w.]+\w", sentence) for _field, sentence in route_gaps(route)]
    assert paths == [["entities.user.operations.search.fields"], ["entities.user.operations.delete"]]
