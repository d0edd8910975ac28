"""A version of a mapping is evaluated over stored entities before it is activated: a person confirms, by its name, each
field that gets no value, or loses one. No other test holds that a mistyped path is found before a delivery uses it.
"""

from typing import Any

import pytest

from sync.mappings.activation_check import check_activation
from sync.mappings.drafts import (
    FieldsUnconfirmed,
    activate_version,
    current_version,
    open_draft,
    seen_versions,
)
from sync.models import Mapping, MappingVersion
from sync.planning.mapping_declaration import parse_mapping
from tests.support.builders.backtests import (
    a_draft,
    a_mapped_event,
    a_mapping_in_use,
    mapping_author,
)
from tests.support.people import entries

# With real commits: within the transaction of a test, an entry that lacks one of its own would not be noticed.
pytestmark = pytest.mark.usefixtures("database")

ENTITIES: list[dict[str, Any]] = [
    {"id": "1", "name": {"given": "Anna"}, "phone": "1", "mobile": "2", "nick": None},
    {"id": "2", "name": {"given": "Ben"}, "phone": "1"},
    {"id": "3", "name": {}, "phone": ""},
]
ACTIVE = {
    "given": {"path": "entity.name.given"},
    "phone": {"path": "entity.phone"},
    "active": {"constant": True},
}


def mapping_with(entities: list[dict[str, Any]], fields: Any = ACTIVE) -> Mapping:
    """Return a mapping in use whose route has delivered these entities, the newest one first."""
    mapping, route = a_mapping_in_use({"fields": fields})
    for number, entity in enumerate(entities):
        a_mapped_event(route, entity, number, entity_id=entity["id"])
    return mapping


def activate(mapping: Mapping, fields: Any, *confirmed: str) -> MappingVersion:
    draft = a_draft(mapping, {"fields": fields})
    seen = seen_versions(current_version(mapping), open_draft(mapping))
    return activate_version(draft, seen, "as reviewed", mapping_author(), confirmed)


def changed(**rules: Any) -> dict[str, Any]:
    return {name: rule for name, rule in {**ACTIVE, **rules}.items() if rule}


@pytest.mark.submission_rows(6)
@pytest.mark.parametrize(
    ("rules", "without", "losing"),
    [
        ({}, (), ()),
        ({"given": {"path": "entity.givn"}}, ("given",), ()),
        ({"given": {"path": "entity.name.givn"}}, ("given",), ()),
        ({"given": {"path": "entity.name.given", "apply": ["lower"]}}, (), ()),
        ({"given": {"path": "lower(entity.givn)"}, "phone": None}, ("given",), ()),
        ({"nick": {"path": "entity.nick"}}, ("nick",), ()),
        ({"phone": {"path": "entity.mobile"}}, (), ("phone",)),
        ({"phone": {"path": "entity.mobile || entity.phone"}}, (), ()),
        ({"phone": {"constant": None}}, (), ()),
        ({"given": {"path": "entity.givn", "required": True}}, ("given",), ()),
        ({"given": {"path": "entity.name.given", "required": True}}, (), ()),
    ],
)
def test_fields_without_a_value_are_found(
    rules: Any, without: tuple[str, ...], losing: tuple[str, ...]
) -> None:
    mapping = mapping_with(ENTITIES)
    check = check_activation(
        mapping, parse_mapping({"fields": ACTIVE}), parse_mapping({"fields": changed(**rules)})
    )
    assert (check.entity_count, check.without_value, check.losing_value) == (3, without, losing)


@pytest.mark.submission
def test_a_field_without_a_value_is_confirmed_by_its_name() -> None:
    """The typo of the must-show."""
    mapping = mapping_with(ENTITIES)
    mistyped = changed(given={"path": "entity.givn"})
    for confirmed in ((), ("",), ("phone", "Given")):
        with pytest.raises(FieldsUnconfirmed) as caught:
            activate(mapping, mistyped, *confirmed)
        assert caught.value.check.fields_to_confirm == ("given",)
        mapping.drafts.update(state="discarded")
    assert mapping.versions.count() == 1
    assert entries("mapping.unconfirmed")[0]["details"] | {"address": ""} == {
        "fields": ["given"],
        "entities": 3,
        "reason": "as reviewed",
        "address": "",
    }
    version = activate(mapping, mistyped, "given")
    assert version.fields_with_value == ["phone"]
    assert entries("mapping.activated")[0]["details"]["confirmed"] == ["given"]


def test_no_confirmation_is_needed_without_stored_entities() -> None:
    """A new route: the field is left out of writes until it has had a value."""
    assert activate(mapping_with([]), changed(given={"path": "entity.givn"})).fields_with_value == []


def test_a_version_inherits_the_fields_that_have_had_a_value_by_the_same_path() -> None:
    mapping = mapping_with([])
    since = {"given": "2026-12-01T12:00:00+00:00", "phone": "2026-12-01T12:00:00+00:00"}
    mapping.versions.update(fields_with_value=["given", "phone"], fields_to_complete=since)
    rules = {"given": {"path": "entity.name.given", "apply": ["trim"]}, "phone": {"path": "entity.telephone"}}
    second = activate(mapping, rules)
    assert (second.fields_with_value, second.fields_to_complete) == (["given"], {"given": since["given"]})
    # Back to the path that had one, in a later version.
    assert activate(mapping, changed()).fields_with_value == ["given", "phone"]


def test_records_are_completed_whose_field_finds_its_first_value_at_the_activation() -> None:
    mapping = mapping_with(ENTITIES, changed(phone={"path": "entity.fone"}))
    mapping.versions.update(fields_with_value=["given"])
    version = activate(mapping, ACTIVE)
    assert version.fields_with_value == ["given", "phone"]
    assert list(version.fields_to_complete) == ["phone"]


def test_an_entity_counts_once_with_its_newest_state() -> None:
    older = {"id": "1", "name": {"given": "Anna"}, "phone": "1", "fax": "3"}
    mapping = mapping_with([*ENTITIES, *[older | {"id": "1"} for _ in range(60)]])
    check = check_activation(
        mapping,
        parse_mapping({"fields": ACTIVE}),
        parse_mapping({"fields": changed(fax={"path": "entity.fax"})}),
    )
    assert (check.entity_count, check.without_value) == (3, ("fax",))
