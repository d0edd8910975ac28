"""A field in one item of a list is read and written alone: all other items stay, in their order, with all attributes."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.contracts.errors import RecordStale, UnreadableResponse
from connectors.contracts.types import Record, TargetConnector, WriteContext
from connectors.presets import load_preset
from tests.support.http.connectors import make_operations, shop
from tests.support.http.servers import Service, serving
from tests.support.rows import in_submission
from tests.support.targets.list_store import ListStore

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

WORK = {"type": "work"}
OLD, NEW, HOME = "old@example.com", "new@example.com", "home@example.org"


def settings_of(update: dict[str, Any], **item: Any) -> dict[str, Any]:
    """Return settings with one field of a list, and an update of some style."""
    email = {"list": "emails", "where": WORK, **item}
    user = make_operations("/Users", update={"path": "/Users/{id}", **update})
    return {"entities": {"USER": {**user, "list_items": {"email": email}}}}


# Every way to send a list: each style, and the presets that build their bodies themselves.
WAYS: dict[str, dict[str, Any]] = {
    "changed": settings_of({"style": "changed"}),
    "put": settings_of({"method": "PUT", "style": "replace"}),
    "merge-patch": settings_of({"style": "merge-patch"}),
    "json-patch": settings_of({"style": "json-patch"}),
    "scim-patch": settings_of({"style": "scim-patch"}),
    "body": settings_of({"style": "body", "body": {"emails": {"expression": "lists.emails"}}}),
    "null": settings_of({"style": "scim-patch"}, cleared="null"),
    **{
        name: load_preset(name)["settings"]
        for name in ("scim-put-target", "scim-patch-target", "scim-patch-etag-target")
    },
}


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[ListStore, Service]]:
    target = ListStore()
    with serving(target.answer) as service:
        yield target, service


def connect(service: Service, way: dict[str, Any]) -> TargetConnector:
    return shop(service.url, settings=way)


def selectors_of(way: dict[str, Any]) -> list[dict[str, Any]]:
    where = way["entities"]["USER"]["list_items"]["email"]["where"]
    return where if isinstance(where, list) else [where]


def read(connector: TargetConnector, user: dict[str, Any]) -> Record:
    record = connector.get_record("USER", user["id"])
    assert record is not None
    return record


def chosen_value(items: list[Any], way: dict[str, Any]) -> Any:
    """Return the value of the field, by the words of the reference."""
    chosen = [item for selector in selectors_of(way) for item in items if is_chosen(item, selector)]
    return chosen[0].get("value") if chosen else None


def is_chosen(item: Any, selector: dict[str, Any]) -> bool:
    def fold(value: Any) -> Any:
        return (type(value), value.casefold() if isinstance(value, str) else value)

    return isinstance(item, dict) and all(
        fold(item.get(name)) == fold(value) for name, value in selector.items()
    )


def expect(items: list[Any], way: dict[str, Any], value: str | None) -> list[Any]:
    """Return the list as it must be afterwards, by the words of the reference."""
    selectors, expected = selectors_of(way), deepcopy(items)
    if value is None:
        is_kept = way["entities"]["USER"]["list_items"]["email"].get("cleared") == "null"
        chosen = [any(is_chosen(item, selector) for selector in selectors) for item in expected]
        if not is_kept:
            return [item for item, is_one in zip(expected, chosen, strict=True) if not is_one]
        for item, is_one in zip(expected, chosen, strict=True):
            if is_one:
                item.pop("value", None)
        return expected
    for selector in selectors:
        for item in expected:
            if is_chosen(item, selector):
                item["value"] = value
                return expected
    return [*expected, {**selectors[0], "value": value}]


def without_nulls(items: list[Any] | None) -> list[Any]:
    """Null and a missing attribute are the same to SCIM."""
    return [
        {name: value for name, value in item.items() if name != "value" or value is not None}
        if isinstance(item, dict)
        else item
        for item in items or []
    ]


ATTRIBUTES = {
    "value": st.sampled_from([OLD, NEW, HOME, None]),
    "type": st.sampled_from(["work", "Work", "home", "other", None]),
    "primary": st.booleans(),
    "display": st.text(max_size=3),
    "verified": st.booleans(),
}
ITEMS = st.fixed_dictionaries({}, optional=ATTRIBUTES) | st.sampled_from(["plain@example.com", 7])
LISTS = st.lists(ITEMS, max_size=6) | st.none()


@pytest.mark.parametrize("way", in_submission(WAYS, but=("scim-patch-target",)))
@given(items=LISTS, later=st.lists(ITEMS, max_size=2), value=st.sampled_from([NEW, OLD, None]))
@settings(max_examples=40, deadline=None)
@example(items=[{"value": HOME, "type": "home"}], later=[], value=NEW)
@example(items=[{"value": OLD, "type": "work"}, {"value": HOME, "type": "work"}], later=[], value=None)
@example(items=[{"value": OLD, "type": "Work", "primary": False}], later=[{"value": HOME}], value=NEW)
def test_any_list_keeps_its_other_items_and_their_attributes(
    store: tuple[ListStore, Service], way: str, items: Any, later: list[Any], value: str | None
) -> None:
    """`later`: items that another client adds after the read that is compared."""
    target, service = store
    user = target.add(userName="anna", title="Boss", **({} if items is None else {"emails": items}))
    connector = connect(service, WAYS[way])
    record = read(connector, user)
    assert record.fields["email"] == chosen_value(items or [], WAYS[way])
    if record.fields["email"] == value:
        return
    user["emails"] = [*(items or []), *later]
    expected = expect(user["emails"], WAYS[way], value)
    context = WriteContext(key="a1", fields={"email": value}, current=record.fields)
    connector.update_record("USER", user["id"], {"email": value}, "k1", record.version, context)
    assert without_nulls(user.get("emails")) == without_nulls(expected)
    assert (user["userName"], user["title"]) == ("anna", "Boss")
    assert read(connector, user).fields["email"] == value, "the next delivery ends as unchanged"


STREET, CITY = "Kauppakatu 1", "Oulu"
ADDRESS = {"list": "addresses", "where": {"type": "work"}, "cleared": "null"}
TWO_FIELDS = {
    "street": {**ADDRESS, "value": "streetAddress"},
    "city": {**ADDRESS, "value": "locality"},
}


@pytest.mark.parametrize("style", ["changed", "scim-patch"])
@pytest.mark.parametrize("addresses", [[], [{"type": "work", "locality": "Turku", "country": "FI"}]])
def test_two_fields_of_one_item_are_written_together(
    store: tuple[ListStore, Service], style: str, addresses: list[Any]
) -> None:
    target, service = store
    user = target.add(userName="anna", addresses=[{"type": "home", "locality": CITY}, *addresses])
    way = settings_of({"style": style})
    way["entities"]["USER"]["list_items"] = TWO_FIELDS
    connect(service, way).update_record("USER", user["id"], {"city": CITY, "street": STREET}, "k1")
    home, work = user["addresses"]
    assert home == {"type": "home", "locality": CITY}
    assert work == {**(addresses or [WORK])[0], "locality": CITY, "streetAddress": STREET}
    connect(service, way).update_record("USER", user["id"], {"street": None}, "k2")
    assert user["addresses"][0] == home
    assert user["addresses"][1].get("streetAddress") is None
    assert {**user["addresses"][1], "streetAddress": STREET} == work


@pytest.mark.parametrize("emails", [{"work": OLD}, OLD, 1])
def test_what_is_no_list_is_not_overwritten(store: tuple[ListStore, Service], emails: Any) -> None:
    target, service = store
    user = target.add(userName="anna", emails=emails)
    with pytest.raises(UnreadableResponse, match="is not a list"):
        connect(service, WAYS["changed"]).update_record("USER", user["id"], {"email": NEW}, "k1")
    assert user["emails"] == emails


def test_an_item_that_was_removed_meanwhile_needs_no_clearing(store: tuple[ListStore, Service]) -> None:
    """The hub plans again, and finds nothing to do."""
    target, service = store
    user = target.add(userName="anna", emails=[{"value": HOME, "type": "home"}])
    written = len(target.writes)
    with pytest.raises(RecordStale):
        connect(service, WAYS["put"]).update_record("USER", user["id"], {"email": None}, "k1")
    assert len(target.writes) == written


def test_only_a_change_of_an_item_costs_another_read(store: tuple[ListStore, Service]) -> None:
    target, service = store
    user = target.add(userName="anna", emails=[])
    for fields, reads in (({"title": "Boss"}, 0), ({"email": NEW}, 1)):
        first = len(service.seen)
        connect(service, WAYS["changed"]).update_record("USER", user["id"], fields, "k1")
        assert [seen.method for seen in service.seen[first:]] == ["GET"] * reads + ["PATCH"]


@pytest.mark.parametrize("style", ["changed", "merge-patch", "json-patch"])
def test_a_list_inside_an_object_is_sent_with_the_rest_of_it(
    store: tuple[ListStore, Service], style: str
) -> None:
    """A target may replace the object as a whole."""
    target, service = store
    home = {"type": "home", "value": "Anni"}
    user = target.add(userName="anna", name={"givenName": "Anna", "aliases": [home]})
    way = settings_of({"style": style}, list="name.aliases")
    connect(service, way).update_record("USER", user["id"], {"email": NEW}, "k1")
    assert user["name"] == {"givenName": "Anna", "aliases": [home, {**WORK, "value": NEW}]}
