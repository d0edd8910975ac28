"""The presets for the stand-in services, against those services."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    RequestRejected,
    RequestThrottled,
    SystemUnavailable,
    UnreadableResponse,
)
from connectors.contracts.types import FieldError, IdentityConnector, TargetConnector
from connectors.presets import load_preset
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.http.connectors import (
    PUT_CUSTOMER,
    MemoryRecorder,
    identity,
    read_list,
    shop,
    shop_settings,
)

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

ANNA = "IDNUMBER1234"
NEW = {"external_id": "NEW1", "email": "new@example.com", "first_name": "Nea", "active": True}
TAKEN = "This e-mail address already belongs to another customer."


@pytest.fixture
def aurora() -> Iterator[IdentityService]:
    with IdentityService() as service:
        yield service


@pytest.fixture
def kauppa() -> Iterator[ShopService]:
    with ShopService() as service:
        yield service


def _identity(service: IdentityService, **over: Any) -> IdentityConnector:
    return identity(service.url, credentials={"token": service.token}, **over)


def _shop(service: ShopService, notebook: MemoryRecorder | None = None, **over: Any) -> TargetConnector:
    return shop(service.url, notebook, **{"credentials": {"token": service.token}} | over)


def _customer(service: ShopService, record_id: str = "4711") -> dict[str, Any]:
    return next(one for one in service.list_records("customers") if str(one["id"]) == record_id)


@pytest.mark.parametrize(
    ("entity_type", "entity_id", "name"),
    [
        ("USER", ANNA, {"givenName": "Anna", "familyName": "Aalto"}),
        ("GROUP", "GROUPREGULARS", "Regulars"),
        ("FILE", "FILETERMS2026", "Terms of sale 2026"),
    ],
)
def test_each_kind_of_entity_is_fetched(
    aurora: IdentityService, entity_type: str, entity_id: str, name: Any
) -> None:
    entity = _identity(aurora).fetch_entity(entity_type, entity_id)
    assert entity is not None
    assert (entity.entity_type, entity.id, entity.attributes["name"]) == (entity_type, entity_id, name)
    assert entity.version == entity.attributes["meta"]["lastModified"]


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("external_id", ANNA, ["4711"]),
        ("email", "anna.aalto@example.com", ["4711"]),
        ("email", "Anna.Aalto@Example.com", ["4711"]),
        ("external_id", ANNA.lower(), []),
    ],
)
def test_a_customer_is_found_by_external_id_exactly_and_by_email_without_case(
    kauppa: ShopService, field: str, value: str, found: list[str]
) -> None:
    assert [record.id for record in _shop(kauppa).search_records("USER", field, value)] == found


def test_a_customer_is_created_read_and_deleted(kauppa: ShopService) -> None:
    connector = _shop(kauppa)
    record = connector.create_record("USER", NEW, "k1")
    assert _customer(kauppa, record.id)["email"] == "new@example.com"
    assert connector.get_record("USER", record.id) == record
    connector.delete_record("USER", record.id, "k2")
    assert connector.get_record("USER", record.id) is None
    connector.delete_record("USER", record.id, "k3")


PUT = PUT_CUSTOMER | {"omit": ["id", "created_at", "updated_at", "version"]}


@pytest.mark.parametrize(("method", "user"), [("PATCH", {}), ("PUT", {"update": PUT})])
def test_an_update_changes_the_given_fields_only(
    kauppa: ShopService, method: str, user: dict[str, Any]
) -> None:
    settings = shop_settings(**user)
    before = _customer(kauppa)
    connector = _shop(kauppa, settings=settings)
    record = connector.update_record("USER", "4711", {"email": "a.a@example.com"}, "k1")
    after = _customer(kauppa)
    assert record.fields == after
    moved = {name for name in before if before[name] != after[name]}
    assert moved - {"updated_at", "version"} == {"email"}
    assert [entry["method"] for entry in kauppa.read_journal(only_writes=True)] == [method]


def test_a_taken_email_is_refused_in_the_words_of_the_shop(kauppa: ShopService) -> None:
    with pytest.raises(RequestRejected) as caught:
        _shop(kauppa).update_record("USER", "4711", {"email": "taken@example.com"}, "k1")
    assert caught.value.sentence == TAKEN
    assert caught.value.fields == (FieldError("email", "duplicate", TAKEN),)
    assert not caught.value.maybe_applied
    assert _customer(kauppa)["email"] == "anna.aalto@example.com"


@pytest.mark.parametrize(
    ("fault", "error", "maybe_applied", "applied"),
    [
        ({"kind": "throttle", "retry_after": 7}, RequestThrottled, False, False),
        ({"kind": "error", "status": 503}, SystemUnavailable, True, False),
        ({"kind": "after"}, SystemUnavailable, True, True),
        ({"kind": "drop"}, SystemUnavailable, True, False),
        ({"kind": "drop", "applied": True}, SystemUnavailable, True, True),
        ({"kind": "garbage", "applied": True}, UnreadableResponse, True, True),
        ({"kind": "refuse", "sentence": "Not today."}, RequestRejected, False, False),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_a_fault_of_the_shop_becomes_one_of_our_errors(
    kauppa: ShopService,
    fault: dict[str, Any],
    error: type[ConnectorError],
    maybe_applied: bool,
    applied: bool,
) -> None:
    kauppa.faults.add(**fault)
    with pytest.raises(ConnectorError) as caught:
        _shop(kauppa).create_record("USER", NEW, "k1")
    assert (type(caught.value), caught.value.maybe_applied) == (error, maybe_applied)
    assert caught.value.retry_after == fault.get("retry_after")
    assert caught.value.sentence == fault.get("sentence", caught.value.sentence)
    assert any(one["external_id"] == "NEW1" for one in kauppa.list_records("customers")) is applied


def test_a_repetition_with_the_same_key_resolves_a_dropped_request(kauppa: ShopService) -> None:
    kauppa.faults.add(kind="drop", applied=True, times=1)
    connector = _shop(kauppa)
    with pytest.raises(SystemUnavailable) as caught:
        connector.create_record("USER", NEW, "k1")
    assert caught.value.maybe_applied
    record = connector.create_record("USER", NEW, "k1")
    assert [str(one["id"]) for one in kauppa.list_records("customers") if one["external_id"] == "NEW1"] == [
        record.id
    ]


def test_every_request_names_its_attempt(kauppa: ShopService) -> None:
    _shop(kauppa, request_id="attempt-9").update_record("USER", "4711", {"phone": "+358401"}, "k9")
    entry = kauppa.read_journal(only_writes=True)[-1]
    assert (entry["attempt"], entry["key"]) == ("attempt-9", "k9")


def test_the_stand_ins_list_all_their_entities_page_by_page(
    aurora: IdentityService, kauppa: ShopService
) -> None:
    """In the order of their creation, with the total on each page."""
    sides = (
        (identity, aurora, ("users", "groups", "files")),
        (shop, kauppa, ("customers", "segments", "documents")),
    )
    for make, service, collections in sides:
        preset = "sandbox-identity" if make is identity else "sandbox-shop"
        settings = load_preset(preset)["settings"]
        for entity_type, collection in zip(("USER", "GROUP", "FILE"), collections, strict=True):
            entity = settings["entities"][entity_type]
            entity.get("operations", entity)["list"]["size"] = 2
            connector: Any = make(service.url, settings=settings, credentials={"token": service.token})
            facts = connector.list_facts(entity_type)
            assert facts is not None
            assert (facts.is_complete, facts.has_whole_items) == (True, True)
            records = service.list_records(collection)
            listed = read_list(connector, entity_type)
            assert [item.id for item in listed] == [str(record["id"]) for record in records]


def test_the_stand_in_lists_only_what_changed_since_a_time(aurora: IdentityService) -> None:
    """In the order of creation: what changes meanwhile moves no other item to another page."""
    settings = load_preset("sandbox-identity")["settings"]
    for entity_type, collection in (("USER", "users"), ("GROUP", "groups"), ("FILE", "files")):
        settings["entities"][entity_type]["list"]["size"] = 2
        for place in range(6):
            meta = {"lastModified": f"2026-11-30T08:00:0{5 * place % 6}.000Z"}
            aurora.store.put_record(collection, f"n{place}", {"id": f"n{place}", "meta": meta})
        for record in aurora.list_records(collection):
            if not record["id"].startswith("n"):
                aurora.store.delete_record(collection, record["id"])
        connector = _identity(aurora, settings=settings)
        since = datetime(2026, 11, 30, 8, 0, 2, tzinfo=UTC)
        listed = read_list(connector, entity_type, modified_since=since)
        assert [(item.id, item.modified_at > since) for item in listed] == [
            (f"n{place}", True) for place in range(6) if 5 * place % 6 > 2
        ]
        page = connector.read_entity_page(entity_type, None, modified_since=since)
        assert (len(page.entities), page.total) == (2, 3)


@pytest.mark.submission
def test_ten_thousand_customers_are_listed_by_a_hundred_requests(kauppa: ShopService) -> None:
    for number in range(10_000):
        kauppa.store.put_record("customers", f"n{number}", {"id": f"n{number}", "email": f"{number}@a.test"})
    notebook = MemoryRecorder()
    ids = [record.id for record in read_list(_shop(kauppa, notebook), max_pages=200)]
    assert ids[-10_000:] == [f"n{number}" for number in range(10_000)]
    assert len(notebook.sent) == 101
