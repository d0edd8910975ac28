"""The JSON Schemas accept what the hub accepts, and refuse what it refuses."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config_schema.errors import SettingsInvalid
from connectors.presets import PRESETS, load_preset
from connectors.registry import validate_connection
from connectors.settings.authentication import AUTHENTICATION
from console.reference.json_schemas import DOCUMENTS, make_schema
from console.reference.pages import PAGES
from devtools.sandbox_setup import MAPPINGS
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from tests.config_documents.schema_coverage import measure
from tests.support.http.connectors import make_operations
from webhooks.protocol.schemes import SCHEMES, check_settings

pytestmark = pytest.mark.pure

# In a hundred documents that the reader refuses. `python -m tests.config_documents` measures 10,000 changes.
LEAST_PER_CENT = 95

TARGET, IDENTITY = "settings-rest-target", "settings-rest-identity"
MINIMAL_TARGET = make_operations()


def hub_accepts(name: str, document: Any) -> bool:
    """Return True if the hub accepts a document where a person enters it."""
    kind, _, rest = name.partition("-")
    try:
        if kind == "mapping":
            parse_mapping(document)
        elif kind in ("webhook", "handshake", "response"):
            DOCUMENTS[name][1].read(document, ())
        elif kind == "authentication":
            validate_connection(
                "rest-identity", {"entities": {"A": {"path": "/{id}"}}}, document, "https://a.test"
            )
        elif kind == "settings":
            validate_connection(rest, document, {}, "https://a.test")
        else:
            check_settings(rest, document)
    except (SettingsInvalid, InvalidMapping, ValueError):
        return False
    return True


def target(**settings: Any) -> dict[str, Any]:
    """Return the settings of a target whose only entity type has these settings too."""
    return {"entities": {"USER": MINIMAL_TARGET | settings}}


def identity(**settings: Any) -> dict[str, Any]:
    """Return the settings of an identity service whose only entity type has these settings too."""
    return {"entities": {"USER": {"path": "/users/{id}"} | settings}}


def field(**rule: Any) -> dict[str, Any]:
    """Return a mapping with one field."""
    return {"fields": {"x": rule}}


def search(**settings: Any) -> dict[str, Any]:
    """Return the settings of a target with a search."""
    return operations(search={"path": "/c", "query": {"q": "{value}"}} | settings)


def operations(**given: Any) -> dict[str, Any]:
    """Return the settings of a target with these operations, replaced or added."""
    return target(**make_operations(**given))


OPERATIONS = {
    "get": {"path": "/c('{id:odata}')", "raw": "data", "result": "data.{id: id}"},
    "search": {
        "method": "POST",
        "path": "/s",
        "body": {
            "q": {"template": '{field}:"{value:json}"'},
            "v": [{"expression": "value", "optional": True}, 1],
        },
        "fields": ["email"],
        "answers": [{"status": ["4xx", 500], "when": "body", "means": "refused"}],
    },
    "create": {"path": "/c", "encoding": "form", "headers": {"X-Ref": "{key}"}},
    "update": [
        {"method": "PUT", "path": "/c/{id}", "style": "replace", "omit": ["id"]},
        {"path": "/a/{address}", "values": {"address": "raw.address"}, "when": "changed.city"},
    ],
    "delete": {"method": "POST", "path": "/c/{id}/anonymize", "encoding": "none"},
    "list": {"path": "/c", "query": {"limit": "5"}},
}
VERSION = {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}

# In a body, at any depth.
UNKNOWN_PHONE = (
    {"a": {"expression": "entitty.phone"}},
    {"a": {"expression": "entity.phone", "when": "chanegd.phone"}},
    {"a": [{"b": {"expression": "entitty.phone", "optional": True}}]},
    {"expression": "phone"},
)

TLS_CLIENT = {"scheme": "oauth2-client-credentials", "client_authentication": "tls_client_auth"}
SESSION = {
    "scheme": "session",
    "log_in": {
        "path": "/login",
        "body": {"user": {"expression": "username"}, "password": {"expression": "password"}},
    },
    "token": {"path": "token"},
}

RIGHT = [
    ("settings-rest-identity", identity(path="/g", method="POST", body={"id": {"expression": "id"}})),
    ("settings-rest-identity", identity(path="/g", query={"filter": 'id eq "{id}"'})),
    (
        "settings-rest-identity",
        identity(list={"path": "/u", "paging": "cursor", "next": "next", "count": None}),
    ),
    *((f"settings-{load_preset(name)['connector']}", load_preset(name)["settings"]) for name in PRESETS),
    *(("authentication", load_preset(name)["authentication"]) for name in PRESETS),
    *(("mapping", declaration) for _name, declaration in MAPPINGS.values()),
    *((f"verification-{name}", scheme.example) for name, scheme in SCHEMES.items()),
    *(
        (page.schemas[0], page.example)
        for page in (make() for make in PAGES.values())
        if page.schemas and page.example
    ),
    *(("authentication", variant.example) for variant in AUTHENTICATION.variants.values()),
    (TARGET, target()),
    (TARGET, target(version=VERSION | {"stale": [{"status": 422, "when": "body.code == 'version'"}]})),
    (TARGET, target(version=VERSION | {"send": {"field": 'meta."@etag"', "query": "version"}})),
    (TARGET, target(**make_operations(search=None), probe=None)),
    (TARGET, search(query={"{field}": "{value}", "filter": "{field} eq {value:quoted}"})),
    (TARGET, search(fields=["email"], field_values={"email": "emails[].value"})),
    (TARGET, target(list_items={"email": {"list": "emails", "where": [{"type": "work"}, {"type": None}]}})),
    (TARGET, operations(**OPERATIONS)),
    (TARGET, search(answers=[{"status": [204], "means": "absent"}])),
    (TARGET, search(method="POST", query={}, body={"a": [{"b": {"template": "x:{value}"}}]})),
    (TARGET, search(path="/{mine}", query={}, values={"mine": "upper(value)"})),
    (TARGET, operations(update={"path": "/c/{id}", "style": "body", "encoding": "none"})),
    (
        TARGET,
        {"entities": {"USER": {"operations": OPERATIONS, "id_may_change": True}}, "id_characters": " /"},
    ),
    (
        TARGET,
        operations(update={"path": "/c/{id}", "style": "scim-patch"})
        | {"answers": [{"status": 400, "means": "exists"}]},
    ),
    (IDENTITY, identity(path="/a/b.c/{id}/d:e")),
    (IDENTITY, identity() | {"networks": ["10.0.0.0/8", "fd00::/8"], "headers": {"Accept": "text/json"}}),
    ("authentication", {}),
    ("authentication", {"scheme": "header", "header": "Authorization"}),
    ("authentication", {"scheme": "oauth2-client-credentials", "client_authentication": "private_key_jwt"}),
    ("authentication", {**TLS_CLIENT, "client_certificate": True}),
    ("authentication", {"scheme": "none", "client_certificate": True, "csrf": {"path": "/"}}),
    ("authentication", {"scheme": "oauth1", "algorithm": "HMAC-SHA1", "realm": "1234567_SB1"}),
    ("authentication", {"scheme": "oauth1", "consumer_only": True, "client_certificate": True}),
    ("authentication", {**SESSION, "template": "Session {base64:{username}:{token}}"}),
    ("authentication", {**SESSION, "token": {"cookie": "sid"}, "cookie": "sid"}),
    ("authentication", {**SESSION, "values": {"id": "user.id"}, "template": "{id} {token}"}),
    ("authentication", {"scheme": "oauth2-jwt-bearer", "token_ca": None}),
    ("mapping", field(constant=None)),
    ("mapping", field(path="entity.a") | {"match": {"external_id": None}}),
    ("webhook-format", {}),
    ("webhook-format", {"when": None, "entity_types": None, "id": {"constant": ""}, "drop": ["a.b[].c"]}),
]

WRONG = [
    ("settings-rest-identity", identity(path="/users")),
    ("settings-rest-identity", identity(path="/users", query={"id": "x"})),
    ("settings-rest-identity", identity(query={"id": "{field}"})),
    ("settings-rest-identity", identity(body={"a": {"expression": "id"}})),
    ("settings-rest-identity", identity(method="DELETE")),
    ("settings-rest-identity", identity(answers=[{"status": 409, "means": "exists"}])),
    ("settings-rest-identity", identity(answers=[{"status": 200, "means": "absent"}])),
    ("settings-rest-identity", identity(list={"path": "/u", "paging": "cursor"})),
    ("settings-rest-identity", identity(list={"path": "/u", "body": {"a": {"expression": "start"}}})),
    ("settings-rest-identity", identity(list={"path": "/u", "method": "POST", "paging": "link"})),
    ("settings-rest-identity", identity(list={"path": "/u", "modified_since": {"query": {"a": "b"}}})),
    (IDENTITY, []),
    (IDENTITY, {}),
    (IDENTITY, {"entities": {"1USER": {"path": "/users/{id}"}}}),
    (IDENTITY, {"entities": {"USER": {}}}),
    (IDENTITY, identity(colour="red")),
    (IDENTITY, identity(id="a" * 1001)),
    (IDENTITY, identity(list={"path": "/users/{id}"})),
    (IDENTITY, identity(list={"path": "/u", "complete": "yes"})),
    (IDENTITY, identity() | {"headers": {"Content-Length": "1"}}),
    (IDENTITY, identity() | {"ca": "no certificate"}),
    (TARGET, target(collection="/c", item="/c/{id}")),
    (TARGET, {"entities": {"USER": {"collection": "/c", "item": "/c/{id}"}}}),
    (TARGET, operations(delete={"method": "GET", "path": "/c/{id}"})),
    (TARGET, search(query={"q": "x"})),
    (TARGET, search(query={"{value}": "x"})),
    (TARGET, search(query={"q": "{value} {other}"})),
    (TARGET, search(method="POST", query={}, body={"a": [{"b": {"expression": "field"}}]})),
    (TARGET, search(body={"a": {"expression": "value"}})),
    (TARGET, search(field_values={"email": "emails"})),
    (TARGET, search(fields=["email"], field_values={"email": ""})),
    (TARGET, target(list_items={"email": {"list": "emails", "where": {"type": {"is": "work"}}}})),
    (TARGET, operations(get={"path": "/c/{key}"})),
    (TARGET, operations(create={"path": "/c/{id:shout}"})),
    (TARGET, operations(create={"path": "/c/../d"})),
    (TARGET, operations(create={"path": "/c", "encoding": "none", "body": {"a": 1}})),
    (TARGET, operations(create={"path": "/c", "encoding": "form", "body": [1]})),
    (TARGET, operations(create={"path": "/c", "values": {"key": "id"}})),
    (TARGET, operations(create={"path": "/c", "body": {"a": {"expression": 1}}})),
    (TARGET, operations(create={"path": "/c", "headers": {"X-A": "ä"}})),
    (TARGET, operations(update={"path": "/c/{id}", "style": "body"})),
    (TARGET, operations(update={"path": "/c/{id}", "style": "json-patch", "encoding": "form"})),
    (TARGET, operations(list={"path": "/c", "paging": "link", "method": "POST"})),
    (TARGET, operations(list={"path": "/c", "whole_items": None})),
    (TARGET, target(**make_operations(update={"path": "/c/{id}", "when": "id"}), version=VERSION)),
    (TARGET, target() | {"caseless": "email"}),
    (TARGET, target() | {"idempotency_header": "Host"}),
    (TARGET, target(version=VERSION | {"read": {"header": "ETag", "path": "version"}})),
    (TARGET, target(version=VERSION | {"read": {"path": "items[0]"}})),
    (TARGET, target(version=VERSION | {"send": {"header": "If-Match", "query": "version"}})),
    (TARGET, target(version=VERSION | {"stale": [{"status": 404}]})),
    (TARGET, target(version=VERSION | {"stale": [{"status": 422}]})),
    (TARGET, {"entities": {"USER": {"operations": {"get": {"path": "/c/{id}"}}}}}),
    (TARGET, operations(get={"method": "DELETE", "path": "/c/{id}"})),
    (TARGET, operations(create={"path": "/c", "body": "fields"})),
    (TARGET, operations(create={"path": "/c", "headers": {"Host": "x"}})),
    (TARGET, operations(update=[{"path": "/c/{id}"}] * 4)),
    (TARGET, operations(update={"path": "/c/{id}", "style": "shout"})),
    (TARGET, target() | {"id_characters": "%"}),
    (TARGET, target() | {"answers": [{"status": 400, "means": "maybe"}]}),
    ("authentication", {"scheme": "digest"}),
    ("authentication", TLS_CLIENT),
    ("authentication", {"scheme": "none", "csrf": {"path": "/"}}),
    ("authentication", {"scheme": "oauth1", "algorithm": "PLAINTEXT"}),
    ("authentication", {"scheme": "oauth1", "realm": 'a"b'}),
    ("authentication", {"scheme": "bearer", "header": "X-Api-Key"}),
    ("authentication", {"scheme": "header", "header": "Cookie"}),
    ("authentication", {"scheme": "oauth2-client-credentials", "token_path": "token"}),
    ("authentication", {"scheme": "oauth2-client-credentials", "token_url": "https://u@a.test/"}),
    ("authentication", {"scheme": "oauth2-client-credentials", "parameters": {"scope": "x"}}),
    ("authentication", {"scheme": "jwt", "algorithm": "none"}),
    ("authentication", {"scheme": "jwt", "algorithm": "ES256", "encoding": "hex"}),
    ("authentication", {"scheme": "jwt", "template": "Bearer {username}"}),
    ("authentication", {**SESSION, "token": {"path": "a", "header": "X-B"}}),
    (
        "authentication",
        {
            **SESSION,
            "log_in": {"path": "/x", "encoding": "form", "body": {"p": {"expression": "password"}, "n": 1}},
        },
    ),
    ("authentication", {**SESSION, "refused": [{"status": 200}]}),
    ("authentication", {**SESSION, "template": "{id} {token}"}),
    ("authentication", {**SESSION, "more_cookies": ["sid"]}),
    ("authentication", {**SESSION, "token": {"path": "a["}}),
    (
        "authentication",
        {
            **SESSION,
            "log_in": {"path": "/x", "encoding": "form", "body": {"expression": "{a: password}"}},
        },
    ),
    ("authentication", {**SESSION, "values": {"token": "a"}}),
    *((TARGET, operations(create={"path": "/c", "body": body})) for body in UNKNOWN_PHONE),
    (TARGET, operations(create={"path": "/c", "values": {"a": "id"}, "query": {"a": "{a}"}})),
    (TARGET, operations(update={"path": "/c/{id}", "values": {"a": "entitty.a"}, "query": {"a": "{a}"}})),
    (TARGET, operations(update={"path": "/c/{id}", "when": "chanegd.phone"})),
    (TARGET, operations(update={"path": "/c/{id}", "when": "sent.phone"})),
    (TARGET, operations(delete={"path": "/c/{id}", "values": {"a": "value"}})),
    (TARGET, operations(get={"path": "/c/{id}", "values": {"a": "key"}})),
    (TARGET, operations(list={"path": "/c", "method": "POST", "body": {"a": {"expression": "pages"}}})),
    (TARGET, search(method="POST", body={"a": {"expression": "id"}})),
    (TARGET, target() | {"answers": [{"status": 400, "when": "code == `1`", "means": "exists"}]}),
    (
        IDENTITY,
        identity(method="POST", path="/a", body={"a": {"expression": "key"}, "b": {"template": "{id}"}}),
    ),
    (
        IDENTITY,
        identity(
            list={"path": "/a", "method": "POST", "body": {"a": [{"expression": "pages", "when": "page"}]}}
        ),
    ),
    ("authentication", {"scheme": "bearer", "csrf": {"path": "/", "token": "crumb"}}),
    (
        "authentication",
        {
            **SESSION,
            "log_in": {"path": "/x", "body": {"p": {"expression": "password"}, "u": {"expression": "user"}}},
        },
    ),
    ("handshake", {"from": "body", "when": "type", "challenge": "body.challenge"}),
    ("webhook-format", {"id": "data.id"}),
    ("webhook-format", {"events": "event.items"}),
    ("webhook-format", {"when": "evnt.outcome == 'SUCCESS'"}),
    ("mapping", {"fields": {}}),
    ("mapping", {"fields": {str(number): {"constant": 1} for number in range(201)}}),
    ("mapping", field(path="entity.a", constant=1)),
    ("mapping", field(path="a" * 501)),
    ("mapping", field(path="entitty.a")),
    ("mapping", field(path="a")),
    ("mapping", field(path="entity.a", default=1)),
    ("mapping", field(path="entity.a", apply=["shout"])),
    ("mapping", field(path="entity.a") | {"more": 1}),
    ("mapping", field(path="entity.a") | {"match": {"previous": {"x": ""}}}),
    ("mapping", field(path="entity.a") | {"match": {"verified": {"new": {"x": {"constant": 1}}}}}),
    ("mapping", field(path="entity.a") | {"match": {"verified": {"old": {}}}}),
    ("mapping", field(path="entity.a", only_on_create=True, not_compared=True)),
    ("mapping", field(path="entity.a", when_missing="fail")),
    *(
        ("verification-hmac", {"header": "X"} | settings)
        for settings in (
            {"signed": ["{time}", "{body}"]},
            {"signed": ["{body}", "{body}"]},
            {"signed": ["{time}", "{body}", "{time}"], "time": "t"},
            {"signed": ["{url}", "/", "{body}"]},
            {"signed": ["."]},
            {"time": "t"},
            {"id_header": "X-Id"},
            {"query": "a=b"},
        )
    ),
    *(
        ("verification-jwt", {"algorithm": algorithm} | settings)
        for algorithm, settings in (
            ("HS256", {"jwks_url": "https://a.test/"}),
            ("RS256", {}),
            ("RS256", {"jwks_url": "https://a.test/?b"}),
            ("RS256", {"public_keys": ["x"]}),
            ("HS256", {"digest_claim": "d"}),
            ("HS256", {"header": "X", "field": "token"}),
            ("HS256", {"detached": True}),
            ("HS256", {"detached": True, "header": "X", "issuer": "a"}),
        )
    ),
    ("handshake", {"from": "query", "name": "a", "as": "text", "hmac": {"field": "b"}}),
    ("handshake", {"from": "origin", "name": "a"}),
    ("response-format", {"format": "custom", "answers": [{"status": 302}]}),
    ("response-format", {"format": "scim", "prefix": "a"}),
    ("verification-standard-webhooks", {"header": "X"}),
    ("verification-body-hmac", {}),
    ("verification-body-hmac", {"header": "X", "prefix": "a b"}),
    ("verification-body-hmac", {"header": "X", "algorithm": "md5"}),
    ("verification-timestamped-hmac", {"header": "X", "unit": "minutes"}),
    ("webhook-format", []),
    ("webhook-format", {"identifier": "body.id"}),
    ("webhook-format", {"id": {"constant": 1}}),
    ("webhook-format", {"when": "a" * 1001}),
    ("webhook-format", {"entity_types": {"x": "no type"}}),
    ("webhook-format", {"event_types": {"x": "CHANGE"}}),
    ("webhook-format", {"content_types": ["Text/JSON"]}),
    ("webhook-format", {"drop": ["items[]"]}),
    ("webhook-format", {"batch_response": "entity"}),
]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_accepts_and_refuses_what_the_hub_does(name: str) -> None:
    schema = make_schema(name)
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    is_valid = Draft202012Validator(schema).is_valid
    for document in (document for of, document in RIGHT if of == name):
        assert (hub_accepts(name, document), is_valid(document)) == (True, True), document
    for document in (document for of, document in WRONG if of == name):
        assert (hub_accepts(name, document), is_valid(document)) == (False, False), document


def test_every_document_is_tried() -> None:
    assert {name for name, _document in RIGHT + WRONG} <= set(DOCUMENTS)


@pytest.mark.submission
@pytest.mark.parametrize("number", [510, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_the_schemas_refuse_most_of_what_the_reader_refuses_and_nothing_else(number: int) -> None:
    coverage = measure(number)
    assert coverage.wrongly_refused == []
    assert coverage.made - coverage.refused > number // 10
    assert coverage.per_cent >= LEAST_PER_CENT, coverage.accepted.most_common(20)
