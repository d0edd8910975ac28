"""Short settings stand for operations, which do the same when they are written out."""

import json
from typing import Any

import pytest

from sync.connectors.contracts.types import ABSENT_ID, Record
from sync.connectors.presets import PRESETS, load_preset
from sync.connectors.settings.operations import shorthand
from sync.connectors.settings.target import expand_operations
from tests.support.http.connectors import shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

TARGETS = [name for name in PRESETS if load_preset(name)["connector"] == "rest-target"]
RECORD = {"id": 7, "external_id": "x1", "email": "a@b.test", "phone": "1", "version": 3}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"wrap": "customer", "record": "customer"},
    {"wrap": "customer", "record": "{id: customer.id, email: customer.email}", "update": {"method": "PUT"}},
    {"update": {"method": "PUT", "omit": ["id"]}, "create": {"method": "PUT"}},
    {
        "search": {
            "path": "/s",
            "query": {"filter": "{field} eq {quoted}"},
            "results": "items",
            "fields": ["email"],
            "field_values": {"email": "[email, phone]"},
        }
    },
    {"delete": {"method": "POST"}, "version": {"read": {"path": "version"}, "send": {"field": "version"}}},
    {"version": {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}, "update": {"method": "PUT"}},
]


def written_out(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with operations in the place of the short settings."""
    short = {setting.name for setting in shorthand.SHORTHAND}
    expanded = expand_operations(settings)
    entities = {
        name: {key: value for key, value in entity.items() if key not in short} | expanded[name]
        for name, entity in settings["entities"].items()
    }
    return {**settings, "entities": json.loads(json.dumps(entities))}


def answer(seen: SeenRequest) -> Reply:
    if seen.method == "GET" and not seen.path.endswith("/7"):
        return Reply(200, {"items": [] if ABSENT_ID in seen.target else [RECORD]})
    return Reply(200, RECORD | {"customer": RECORD}, {"ETag": '"3"'})


def traffic(settings: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the requests of every operation."""
    with serving(answer) as service:
        target = shop(service.url, settings=settings)
        record = target.get_record("USER", "7")
        assert isinstance(record, Record)
        target.search_records("USER", "email", "a@b.test")
        target.create_record("USER", {"email": "a@b.test"}, "k1")
        target.update_record("USER", "7", {"email": "c@b.test"}, "k2", record.version)
        target.delete_record("USER", "7", "k3", record.version)
        target.check_access("USER", "8", [])
        target.probe_system()
        target.read_sample()
        return [(seen.method, seen.target, seen.body, {**seen.headers, "host": ""}) for seen in service.seen]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_expansion_written_out_sends_the_same_requests(variant: dict[str, Any]) -> None:
    settings = shop_settings(**variant)
    assert traffic(written_out(settings)) == traffic(settings)


def test_expanding_an_expansion_changes_nothing() -> None:
    for name in TARGETS:
        settings = load_preset(name)["settings"]
        assert expand_operations(written_out(settings)) == expand_operations(settings)


def test_the_expansion_of_the_usual_settings() -> None:
    entity = {
        "collection": "/c",
        "item": "/c/{id}",
        "wrap": "customer",
        "record": "customer",
        "update": {"method": "PUT", "omit": ["id"]},
        "search": {"path": "/c", "query": {"filter": "{field} eq {quoted}"}, "fields": ["email"]},
    }
    body = {"customer": {"expression": "sent"}}
    assert expand_operations({"entities": {"user": entity}}) == {
        "USER": {
            "operations": {
                "get": {"method": "GET", "path": "/c/{id}", "result": "customer", "raw": '"customer" || @'},
                "search": {
                    "method": "GET",
                    "path": "/c",
                    "query": {"filter": "{field} eq {value:quoted}"},
                    "fields": ["email"],
                },
                "create": {"method": "POST", "path": "/c", "body": body, "result": "customer"},
                "update": {
                    "method": "PUT",
                    "path": "/c/{id}",
                    "style": "replace",
                    "omit": ["id"],
                    "body": body,
                    "result": "customer",
                },
                "delete": {"method": "DELETE", "path": "/c/{id}"},
            }
        }
    }


def test_an_operation_replaces_the_short_setting() -> None:
    settings = shop_settings(operations={"delete": {"method": "POST", "path": "/c/{id}/anonymize"}})
    operations = expand_operations(settings)["USER"]["operations"]
    assert operations["delete"] == {"method": "POST", "path": "/c/{id}/anonymize"}
    assert operations["get"]["path"] == "/api/customers/{id}"
