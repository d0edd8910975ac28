"""A field whose path has found no value in any entity is left out of writes: the path may be mistyped, and must clear
nothing. No other test holds what is written before and after a field has had its first value.
"""

import json
from typing import Any

import pytest

from sync.deliveries.routes import resolved_routes
from sync.models import Attempt, AttemptCause, Finding, Link, MappingVersion
from sync.planning.first_values import find_unseen_fields, look_up_unseen
from sync.planning.mapping_declaration import parse_mapping
from sync.rechecks import due_first_values
from tests.support.builders.references import add_user, record_of, run_rounds, set_field, tell
from tests.support.hub import ANNA, Hub
from tests.support.pages import text_of
from tests.support.people import browser
from webhooks.models import Event

pytestmark = pytest.mark.concurrent

NAME = {"givenName": "Ben", "familyName": "Ash"}


def version() -> MappingVersion:
    return MappingVersion.objects.get(mapping__name="Person to customer")


def read_phone_from(path: str, *, has_had_value: bool = False) -> None:
    """Put a path in force that was never evaluated, as the first version of a mapping is."""
    set_field("USER", "phone", {"path": path})
    names = [name for name in version().fields_with_value if name != "phone" or has_had_value]
    MappingVersion.objects.filter(pk=version().pk).update(fields_with_value=names, fields_to_complete={})
    resolved_routes.invalidate()


def phone_of(hub: Hub, key: str = ANNA) -> Any:
    record = record_of(hub, "customers", key)
    assert record is not None
    return record["phone"]


def last_change() -> dict[str, Any]:
    """Return the change of the newest attempt, as it is stored."""
    change: dict[str, Any] = Attempt.objects.latest("pk").stored_finding(Finding.CHANGE) or {}
    return change


def link_with_phone(hub: Hub, *keys: str) -> None:
    """Create users with a phone, and their records."""
    for number, key in enumerate(keys):
        add_user(hub, key, name=NAME, locale="en", mobiles=[{"number": f"+35840{number}"}])
        assert tell(hub, "USER", key) == "done"


def test_a_mistyped_path_clears_nothing(hub: Hub) -> None:
    link_with_phone(hub, "BEN")
    assert "phone" in version().fields_with_value
    read_phone_from("entity.mobilez[0].number")
    assert tell(hub, "USER", "BEN") == "done"
    assert phone_of(hub, "BEN") == "+358400"
    assert last_change()["withheld"] == ["phone"]
    assert json.loads(Link.objects.get(entity_id="BEN").withheld_fields or "") == ["phone"]
    # A creation leaves it out as well.
    add_user(hub, "CLEO")
    assert tell(hub, "USER", "CLEO") == "done"
    assert "phone" not in {field["name"] for field in last_change()["fields"]}
    assert "phone" not in version().fields_with_value


@pytest.mark.submission
def test_the_page_of_the_event_names_the_fields_that_were_left_out(hub: Hub) -> None:
    link_with_phone(hub, "BEN")
    read_phone_from("entity.mobilez[0].number")
    assert tell(hub, "USER", "BEN") == "done"
    event = Event.objects.latest("pk")
    page = text_of(browser("support").get(f"/admin/webhooks/event/{event.pk}/change/"))
    assert "Not sent, because the mapping has never found a value for these fields: phone." in page


@pytest.mark.parametrize(("stored", "written"), [(None, None), ("", "")])
def test_null_and_empty_values_are_written_from_the_beginning(hub: Hub, stored: Any, written: Any) -> None:
    """The path is right, and the identity service says that there is no value."""
    link_with_phone(hub, "BEN")
    hub.identity.directory.update_record("users", "BEN", {"locale": stored}, replaces=False)
    read_phone_from("entity.locale")
    assert tell(hub, "USER", "BEN") == "done"
    assert phone_of(hub, "BEN") == written
    assert "phone" not in version().fields_with_value


def test_an_expression_gives_a_value_even_if_that_is_null(hub: Hub) -> None:
    link_with_phone(hub, "BEN")
    read_phone_from("entity.nick || entity.mobilez[0].number")
    assert tell(hub, "USER", "BEN") == "done"
    assert phone_of(hub, "BEN") is None


def test_a_missing_value_is_cleared_once_the_field_has_had_one(hub: Hub) -> None:
    link_with_phone(hub, "BEN")
    hub.identity.directory.update_record("users", "BEN", {"mobiles": []}, replaces=False)
    assert tell(hub, "USER", "BEN") == "done"
    assert phone_of(hub, "BEN") is None
    assert "withheld" not in last_change()


@pytest.mark.submission
def test_the_first_value_makes_the_subjects_due_that_lack_the_field(hub: Hub) -> None:
    """Each once: those that were left out, and no others."""
    link_with_phone(hub, "BEN", "CLEO", "DAN")
    read_phone_from("entity.nick")
    hub.identity.directory.update_record("users", "CLEO", {"nick": ""}, replaces=False)
    for key in ("BEN", "CLEO", "DAN"):
        assert tell(hub, "USER", key) == "done"
    assert (phone_of(hub, "BEN"), phone_of(hub, "CLEO"), phone_of(hub, "DAN")) == ("+358400", "", "+358402")
    assert run_rounds(hub) == 0
    add_user(hub, "EVE", name=NAME, locale="en", nick="eve")
    assert tell(hub, "USER", "EVE") == "done"
    assert list(version().fields_to_complete) == ["phone"]
    attempts = Attempt.objects.count()
    assert run_rounds(hub) == 2
    assert (phone_of(hub, "BEN"), phone_of(hub, "CLEO"), phone_of(hub, "DAN")) == (None, "", None)
    rechecks = Attempt.objects.filter(cause=AttemptCause.RECHECK)
    assert {attempt.delivery.entity_id for attempt in rechecks} == {"BEN", "DAN"}
    assert Attempt.objects.count() == attempts + 2
    assert not Link.objects.exclude(withheld_fields=None).exists()


@pytest.mark.submission
def test_the_search_for_subjects_ends_after_the_last_attempts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that began before the first value leaves the field out until it ends."""
    link_with_phone(hub, "BEN")
    assert version().fields_to_complete
    run_rounds(hub)
    assert version().fields_to_complete, "an attempt may be running still"
    monkeypatch.setattr(due_first_values, "_LAST_ATTEMPTS_END", -due_first_values._LAST_ATTEMPTS_END)
    run_rounds(hub)
    assert version().fields_to_complete == {}


@pytest.mark.submission
def test_a_field_that_an_earlier_version_completes_is_not_due_under_a_later_one(hub: Hub) -> None:
    """It is left out again and again."""
    link_with_phone(hub, "BEN")
    earlier = version()
    assert "phone" in earlier.fields_to_complete
    declaration = {
        **earlier.declaration,
        "fields": {**earlier.declaration["fields"], "phone": {"path": "entity.nick"}},
    }
    MappingVersion.objects.create(mapping=earlier.mapping, number=2, declaration=declaration)
    resolved_routes.invalidate()
    assert tell(hub, "USER", "BEN") == "done"
    assert "phone" in str(Link.objects.get(entity_id="BEN").withheld_fields)
    assert run_rounds(hub) == 0


@pytest.mark.submission
def test_a_disabled_connection_completes_its_records_later(hub: Hub) -> None:
    link_with_phone(hub, "BEN")
    read_phone_from("entity.nick")
    assert tell(hub, "USER", "BEN") == "done"
    add_user(hub, "EVE", name=NAME, locale="en", nick="eve")
    assert tell(hub, "USER", "EVE") == "done"
    route = Link.objects.get(entity_id="BEN").target
    type(route).objects.filter(pk=route.pk).update(is_enabled=False)
    assert run_rounds(hub) == 0
    type(route).objects.filter(pk=route.pk).update(is_enabled=True)
    assert run_rounds(hub) == 1
    assert phone_of(hub, "BEN") is None


@pytest.mark.parametrize(
    ("path", "entity", "absent", "found"),
    [
        ("entity.givn", {"given": "Anna"}, True, False),
        ("entity.given", {"given": "Anna"}, False, True),
        ("entity.given", {"given": None}, False, False),
        ("entity.given", {"given": ""}, False, False),
        ("entity.given", {"given": 0}, False, True),
        ("entity.given", {"given": False}, False, True),
        ("entity.name.given", {"name": None}, True, False),
        ("entity.name.given", {"name": "Anna"}, True, False),
        ("entity.mails[0].value", {"mails": []}, True, False),
        ("entity.mails[-1].value", {"mails": [{"value": "a"}]}, False, True),
        ("entity.mails[1]", {"mails": ["a"]}, True, False),
        ('entity."given name"', {"given name": "Anna"}, False, True),
        ('entity."given  name"', {"given name": "Anna"}, True, False),
    ],
)
def test_absent_and_null_are_told_apart_by_a_plain_path(
    path: str, entity: Any, absent: bool, found: bool
) -> None:
    mapping = parse_mapping({"fields": {"x": {"path": path}, "y": {"constant": None}}})
    unseen = find_unseen_fields(mapping, ())
    assert unseen == {"x"}
    looked_up = look_up_unseen(mapping, unseen, entity, {})
    assert (looked_up.absent == {"x"}, looked_up.found == {"x"}) == (absent, found)
    assert find_unseen_fields(mapping, ["x"]) == frozenset()


@pytest.mark.parametrize(
    "path", ["lower(entity.a)", "entity.a || entity.b", "entity.*", "entity.a[*]", "@", "'x'"]
)
def test_other_expressions_are_never_unseen(path: str) -> None:
    assert find_unseen_fields(parse_mapping({"fields": {"x": {"path": path}}}), ()) == frozenset()
