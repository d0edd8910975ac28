"""Each field that a mapping fills is sent, or neither route, mapping nor connection is saved; what is not read is said."""

from typing import Any

import pytest

from connectors.presets import load_preset
from sync.mappings.configuration_gaps import connection_gaps, mapping_gaps, route_gaps
from sync.mappings.field_gaps import unread_warnings
from sync.models import Connection, MappingVersion, Route
from tests.support.hub import Hub
from tests.support.pages import typed_form, visible_text
from tests.support.people import browser

pytestmark = pytest.mark.one_database

FIELDS = {
    "externalId": {"path": "entity.id"},
    "userName": {"path": "entity.username", "required": True},
    "email": {"path": "entity.emails[0].address"},
}
NICK_NAME = {"nickName": {"path": "entity.nick"}}
CREATED = (
    "The settings of The shop (entities.USER.operations.create) do not send these fields of the mapping when a record is "
    "created: nickName."
)
UNCLEARED = (
    "The settings of The shop (entities.USER.operations.update) do not send these fields of the mapping when they are "
    "cleared: nickName. Send them whenever `changed` has them, or set `when_absent` of the fields to `keep`."
)
UPDATED = CREATED.replace("created: nickName", "updated: nickName").replace(
    "operations.create", "operations.update"
)
CREATION, UPDATE = "entities.USER.operations.create", "entities.USER.operations.update"


def use(settings: dict[str, Any], fields: dict[str, Any], **route: Any) -> Route:
    """Let the route of users write these fields to a target with these settings."""
    Connection.objects.filter(slug="shop").update(settings=settings)
    user_route = Route.objects.get(source__slug="aurora", entity_type="USER")
    declaration = {"fields": fields, "match": {"external_id": "externalId"}}
    MappingVersion.objects.filter(mapping=user_route.mapping).update(declaration=declaration)
    Route.objects.filter(pk=user_route.pk).update(**{"when_deleted": "ignore", "deactivation": {}, **route})
    return Route.objects.get(pk=user_route.pk)


def scim(kind: str = "patch") -> dict[str, Any]:
    return load_preset(f"scim-{kind}-target")["settings"]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("kind", "sentences"), [("patch", [CREATED]), ("patch-etag", [CREATED]), ("put", [CREATED, UPDATED])]
)
def test_a_field_that_a_preset_does_not_send_is_refused(hub: Hub, kind: str, sentences: list[str]) -> None:
    route = use(scim(kind), FIELDS)
    assert list(route_gaps(route)) == []
    route = use(scim(kind), FIELDS | NICK_NAME)
    assert list(route_gaps(route)) == [("mapping", sentence) for sentence in sentences]
    assert mapping_gaps(route.mapping, {"fields": FIELDS | NICK_NAME}).enabled_routes
    assert any(sentences[0] in gap for gap in connection_gaps(route.target))


def test_a_field_that_was_added_to_the_bodies_is_accepted_and_said_to_be_unread(hub: Hub) -> None:
    settings = scim()
    create = settings["entities"]["USER"]["operations"]["create"]
    create["body"]["nickName"] = {"expression": "sent.nickName", "optional": True}
    route = use(settings, FIELDS | NICK_NAME)
    assert list(route_gaps(route)) == []
    declaration = route.mapping.versions.get().declaration
    [warning] = unread_warnings(route, declaration)
    assert "(entities.USER.operations.get.result) do not read these fields back: nickName." in warning
    assert mapping_gaps(route.mapping, declaration).warnings
    page = browser("administrator").get(f"/admin/sync/route/{route.pk}/change/")
    assert warning in visible_text(page)


def body(expression: str, **more: Any) -> dict[str, Any]:
    return {"a": {"expression": expression, **more}}


@pytest.mark.parametrize(
    ("part", "rule", "is_gap"),
    [
        ({"expression": "changed.nickName", "optional": True}, {}, False),
        ({"expression": "lower(changed.nickName || '')", "when": "changed.nickName"}, {}, True),
        ({"expression": "changed.nickName && {value: changed.nickName}", "optional": True}, {}, True),
        ({"expression": "changed.nickName", "when": "changed.nickName"}, {"when_absent": "keep"}, False),
        ({"expression": "changed.nickName", "when": "changed.nickName"}, {"required": True}, False),
        ({"expression": "changed.nickName", "when": "contains(keys(changed), 'nickName')"}, {}, False),
        ({"expression": "changed.nickName && [current.nick_id]", "optional": True}, {}, False),
    ],
)
def test_a_field_whose_clearing_is_not_sent_is_refused(
    hub: Hub, part: dict[str, Any], rule: dict[str, Any], is_gap: bool
) -> None:
    settings = scim("put")
    operations = settings["entities"]["USER"]["operations"]
    operations["create"]["body"]["nickName"] = {"expression": "sent.nickName", "optional": True}
    operations["update"] |= {"body": {"nick": part, "all": {"expression": "changed.{a: userName, b: email}"}}}
    route = use(settings, {**FIELDS, "nickName": NICK_NAME["nickName"] | rule})
    assert [sentence for _, sentence in route_gaps(route)] == [UNCLEARED] * is_gap


@pytest.mark.parametrize(
    ("sent", "is_gap"),
    [
        (None, False),
        (body("sent"), False),
        (body("sent.nickName"), False),
        (body("to_number(sent.nickName)"), False),
        (body("sent.{name: nickName}"), False),
        (body("merge(current || `{}`, changed).{nickName: nickName}"), False),
        (body("items(changed)[?key != 'userName']"), False),
        (body("items(changed)[?key == 'nickName'].value[].{value: @}"), False),
        (body("entity"), False),
        (body("key"), True),
        (body("sent.userName"), True),
        (body("items(changed)[?key != 'nickName']"), True),
        (body("merge(sent, {nickName: `null`}).{nickName: nickName}"), True),
        (body("merge(raw, sent.{userName: userName})"), True),
        ({"a": {"nickName": "nickName"}}, True),
    ],
    ids=str,
)
def test_what_a_body_sends_is_known(hub: Hub, sent: Any, is_gap: bool) -> None:
    """Fields that it names, and those that it sends with all others."""
    settings = scim()
    operations = settings["entities"]["USER"]["operations"]
    for name in ("create", "update"):
        operations[name].pop("body", None)
        operations[name] |= {"style": "changed"} if name == "update" else {}
        if sent is not None:
            operations[name]["body"] = sent
    route = use(settings, NICK_NAME)
    found = [sentence for _, sentence in route_gaps(route)]
    assert found == ([CREATED, UPDATED] if is_gap else [])


def test_only_what_an_update_may_change_has_to_be_in_it(hub: Hub) -> None:
    """The external id never changes, nor does a field that is written on creation only."""
    settings = scim()
    operations = settings["entities"]["USER"]["operations"]
    operations["create"].pop("body")
    operations["update"] |= {"style": "body", "body": {"name": {"expression": "changed.userName"}}}
    fields = {name: FIELDS[name] for name in ("externalId", "userName")}
    assert (
        list(
            route_gaps(
                use(settings, fields | {"nickName": {**NICK_NAME["nickName"], "only_on_create": True}})
            )
        )
        == []
    )
    assert list(route_gaps(use(settings, fields | NICK_NAME))) == [("mapping", UPDATED)]


def test_the_fields_that_deactivate_a_record_have_to_be_sent(hub: Hub) -> None:
    policy = {"when_deleted": "deactivate", "deactivation": {"active": False}}
    assert list(route_gaps(use(scim("put"), FIELDS, **policy))) == []
    policy["deactivation"] = {"active": False, "nickName": "left"}
    [(field, sentence)] = route_gaps(use(scim("put"), FIELDS, **policy))
    assert field == "deactivation"
    assert sentence.endswith(f"({UPDATE}) do not send these fields when the entity is deleted: nickName.")


@pytest.mark.submission
def test_the_form_of_a_route_refuses_a_field_that_is_not_sent(hub: Hub) -> None:
    route = use(scim(), FIELDS | NICK_NAME)
    client, address = browser("administrator"), f"/admin/sync/route/{route.pk}/change/"
    page = client.post(address, typed_form(client, address) | {"reason": "moved", "max_attempts": "7"})
    assert page.context["adminform"].form.errors["mapping"] == [CREATED]
    Route.objects.filter(pk=route.pk).update(is_enabled=False)
    page = client.post(
        address, typed_form(client, address) | {"reason": "moved", "max_attempts": "7"}, follow=True
    )
    assert f"The route cannot be enabled yet: {CREATED}" in visible_text(page)
