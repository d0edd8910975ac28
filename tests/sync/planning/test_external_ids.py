"""No record is created that a search for the entity's id would not find again."""

from typing import Any

import pytest

from sync.models import MappingVersion
from tests.support.hub import Hub

pytestmark = pytest.mark.one_database

GRACE = "GRACE1"
CREATION = {"id": GRACE, "entityType": "USER", "eventType": "CREATE"}


@pytest.fixture(autouse=True)
def _a_new_user(hub: Hub) -> None:
    emails = [{"address": "grace.new@example.com", "verified": True}]
    hub.identity.directory.create_record("users", {"id": GRACE, "username": "grace", "emails": emails})


def outcome(answer: Any) -> tuple[int, str]:
    """Return the HTTP status, and the action or the code of the failure."""
    document = answer.json()
    return answer.status_code, document.get("code") or document["results"][0]["action"]


def map_external_id(rule: Any) -> None:
    """Give the mapping of users another rule for the external id; None removes it."""
    version = MappingVersion.objects.filter(declaration__fields__has_key="email").latest("pk")
    fields = {name: value for name, value in version.declaration["fields"].items() if name != "external_id"}
    declaration = {**version.declaration, "fields": fields | ({"external_id": rule} if rule else {})}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=declaration)


@pytest.mark.parametrize(
    "rule",
    [
        {"path": "entity.uuid"},
        {"path": "entity.username"},
        {"constant": ""},
    ],
)
def test_a_mapping_without_the_id_of_the_entity_creates_nothing(hub: Hub, rule: dict[str, Any]) -> None:
    map_external_id(rule)
    answer = hub.post_signed(CREATION)
    assert outcome(answer) == (422, "unmappable")
    assert [error["field"] for error in answer.json()["errors"]] == ["external_id"]
    assert hub.writes() == []


def test_a_mapping_that_would_clear_the_id_of_a_record_changes_nothing(hub: Hub) -> None:
    assert outcome(hub.post(CREATION)) == (200, "created")
    map_external_id({"path": "entity.uuid"})
    writes = len(hub.writes())
    assert outcome(hub.post(CREATION | {"eventType": "UPDATE"})) == (422, "unmappable")
    assert len(hub.writes()) == writes


def test_a_linked_record_with_another_id_is_updated(hub: Hub) -> None:
    assert outcome(hub.post(CREATION)) == (200, "created")
    map_external_id({"path": "entity.username"})
    assert outcome(hub.post(CREATION | {"eventType": "UPDATE"})) == (200, "updated")


def test_a_field_that_the_mapping_leaves_to_the_target_is_not_required(hub: Hub) -> None:
    map_external_id(None)
    assert outcome(hub.post(CREATION)) == (200, "created")
