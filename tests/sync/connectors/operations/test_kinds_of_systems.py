"""Records of a GraphQL shop, a JSON-RPC ERP, a form-encoded biller and a SCIM service, by operations alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sync.connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    RecordExists,
    RecordStale,
    RequestRejected,
)
from sync.connectors.contracts.types import Access, FieldError, TargetConnector
from sync.connectors.registry import validate_connection
from tests.support.http.connectors import MemoryRecorder, shop
from tests.support.http.servers import Service, serving
from tests.support.targets import form_biller, graphql_shop, json_rpc_erp, scim_service
from tests.support.targets.form_biller import FormBiller
from tests.support.targets.graphql_shop import PREFIX, GraphqlShop
from tests.support.targets.json_rpc_erp import JsonRpcErp
from tests.support.targets.scim_service import ScimService

pytestmark = pytest.mark.pure

# For each system: its state, its settings, a record, the field that identifies it, and a field that changes.
SYSTEMS: list[Any] = [
    pytest.param(GraphqlShop, graphql_shop.settings, {"email": "a@b.test", "name": "A", "external_id": "x1"}, "email", "name", id="graphql"),
    pytest.param(JsonRpcErp, json_rpc_erp.settings, {"code": "x1", "name": "A"}, "code", "name", id="json-rpc"),
    pytest.param(FormBiller, form_biller.settings, {"email": "a@b.test", "name": "A"}, "email", "name", id="form"),
    pytest.param(ScimService, scim_service.settings, {"userName": "anna", "displayName": "A", "externalId": "x1"}, "userName", "displayName", id="scim"),
]  # fmt: skip
every_system = pytest.mark.parametrize(("system", "settings", "fields", "key", "changing"), SYSTEMS)
Settings = Callable[[], dict[str, Any]]


def connect(
    service: Service, settings: Any, notebook: MemoryRecorder | None = None, **over: Any
) -> TargetConnector:
    validate_connection("rest-target", settings, {"scheme": "bearer"}, "https://a.test")
    return shop(service.url, notebook, settings=settings, **over)


@every_system
def test_a_record_is_created_found_updated_and_deleted(
    system: Any, settings: Settings, fields: dict[str, Any], key: str, changing: str
) -> None:
    with serving(system().answer) as service:
        target = connect(service, settings())
        made = target.create_record("USER", fields, "k1")
        found = target.get_record("USER", made.id)
        assert found is not None
        assert {name: found.fields[name] for name in fields} == fields
        assert [hit.id for hit in target.search_records("USER", key, fields[key])] == [made.id]
        assert target.search_records("USER", key, "nobody@b.test") == ()
        updated = target.update_record("USER", made.id, {changing: "B"}, "k2", found.version)
        assert updated.id == made.id
        again = target.get_record("USER", made.id)
        assert again is not None
        assert {**fields, changing: "B"} == {name: again.fields[name] for name in fields}
        target.delete_record("USER", made.id, "k3", again.version)
        assert target.get_record("USER", made.id) is None


@every_system
def test_wrong_credentials_are_distinguished_from_other_failures(
    system: Any, settings: Settings, fields: dict[str, Any], key: str, changing: str
) -> None:
    with serving(system().answer) as service:
        target = connect(service, settings(), credentials={"token": "expired-token"})
        calls: list[Callable[[], Any]] = [
            lambda: target.get_record("USER", "1"),
            lambda: target.search_records("USER", key, fields[key]),
            lambda: target.create_record("USER", fields, "k"),
            target.read_sample,
            target.probe_system,
        ]
        for call in calls:
            with pytest.raises(CredentialsRefused):
                call()


@every_system
def test_the_connection_test_and_the_proof_of_absence_work(
    system: Any, settings: Settings, fields: dict[str, Any], key: str, changing: str
) -> None:
    with serving(system().answer) as service:
        target = connect(service, settings())
        assert target.check_access("USER", "gone", []) != Access.GRANTED
        made = target.create_record("USER", fields, "k1")
        assert target.check_access("USER", "999", []) is Access.GRANTED
        sample = target.read_sample()
        assert (sample.item_count, sample.is_proof) == (1, True)
        target.probe_system()
        answers = {one: target.check_permission("USER", one).answer for one in ("list", "read", "search")}
        assert set(answers.values()) == {"granted"}
        assert target.check_permission("USER", "write").answer != "granted"
        assert made.id in sample.request_label or sample.request_label


@pytest.mark.parametrize(
    ("system", "settings", "first", "sentence"),
    [
        (GraphqlShop, graphql_shop.settings, {"email": "a@b.test"}, "Email has already been taken"),
        (JsonRpcErp, json_rpc_erp.settings, {"code": "x1"}, "The code of the party must be unique."),
        (ScimService, scim_service.settings, {"userName": "anna"}, "User already exists in the database."),
    ],
)
def test_an_existing_record_is_reported_with_the_message_of_the_system(
    system: Any, settings: Settings, first: dict[str, Any], sentence: str
) -> None:
    notebook = MemoryRecorder()
    with serving(system().answer) as service:
        target = connect(service, settings(), notebook)
        target.create_record("USER", first, "k1")
        with pytest.raises(RecordExists) as caught:
            target.create_record("USER", first, "k2")
    assert (caught.value.sentence, caught.value.code) == (sentence, "target-rejected")
    assert not caught.value.maybe_applied
    assert notebook.exchanges[-1].error_code == "target-rejected"


@pytest.mark.parametrize(
    ("system", "settings", "fields", "sentence", "errors"),
    [
        (
            GraphqlShop,
            graphql_shop.settings,
            {"email": "nonsense"},
            "Email is invalid",
            (FieldError("email", "INVALID", "Email is invalid"),),
        ),
        (
            FormBiller,
            form_biller.settings,
            {"email": "nonsense"},
            "Invalid email address: nonsense",
            (FieldError("email", "email_invalid", "Invalid email address: nonsense"),),
        ),
    ],
)
def test_a_refusal_names_sentence_and_fields_whatever_its_status(
    system: Any, settings: Settings, fields: dict[str, Any], sentence: str, errors: tuple[FieldError, ...]
) -> None:
    with serving(system().answer) as service, pytest.raises(RequestRejected) as caught:
        connect(service, settings()).create_record("USER", fields, "k1")
    assert type(caught.value) is RequestRejected
    assert (caught.value.sentence, caught.value.fields) == (sentence, errors)


@pytest.mark.parametrize("value", ['a" or "1"="1', "back\\slash", "O'Neil", "ä ö", '\\"'])
@pytest.mark.parametrize(
    ("system", "settings", "field"),
    [
        (GraphqlShop, graphql_shop.settings, "external_id"),
        (ScimService, scim_service.settings, "externalId"),
    ],
)
def test_no_value_breaks_a_filter(system: Any, settings: Settings, field: str, value: str) -> None:
    others = {"email": "a@b.test", "userName": "anna"}
    with serving(system().answer) as service:
        target = connect(service, settings())
        made = target.create_record("USER", {**others, field: value}, "k1")
        assert [hit.id for hit in target.search_records("USER", field, value)] == [made.id]
        assert target.search_records("USER", field, f"{value}x") == ()


def test_an_absent_record_is_never_a_success_of_an_update() -> None:
    for system, settings in ((GraphqlShop, graphql_shop.settings), (JsonRpcErp, json_rpc_erp.settings)):
        with serving(system().answer) as service:  # type: ignore[operator]
            target = connect(service, settings())
            with pytest.raises(RequestRejected) as caught:
                target.update_record("USER", "7", {"name": "B"}, "k1")
            assert caught.value.status == 404
            target.delete_record("USER", "7", "k2")


def test_a_form_has_nested_names_and_a_repeated_key_counts_once() -> None:
    biller = FormBiller()
    with serving(biller.answer) as service:
        target = connect(service, form_biller.settings())
        fields = {"email": "a&b=c@d.test", "metadata": {"ref": "x 1", "tags": [1, True, None]}}
        made = target.create_record("USER", fields, "k1")
        assert target.create_record("USER", fields, "k1").id == made.id
        assert biller.forms == [
            [
                ("email", "a&b=c@d.test"),
                ("metadata[ref]", "x 1"),
                ("metadata[tags][0]", "1"),
                ("metadata[tags][1]", "true"),
                ("metadata[tags][2]", ""),
            ]
        ]
        assert service.seen[0].headers["content-type"] == "application/x-www-form-urlencoded"


def test_a_scim_patch_names_each_change_and_the_version() -> None:
    scim = ScimService()
    with serving(scim.answer) as service:
        target = connect(service, scim_service.settings())
        made = target.create_record("USER", {"userName": "anna", "title": "Dr"}, "k1")
        target.update_record("USER", made.id, {"name.givenName": "Anna", "title": None}, "k2", made.version)
        write = service.seen[-1]
        with pytest.raises(RecordStale):
            target.update_record("USER", made.id, {"title": "Prof"}, "k3", made.version)
    assert write.headers["content-type"] == "application/scim+json"
    assert write.headers["if-match"] == 'W/"1"'
    assert write.json()["Operations"] == [
        {"op": "replace", "path": "name.givenName", "value": "Anna"},
        {"op": "remove", "path": "title"},
    ]
    assert scim.users[made.id]["name"] == {"givenName": "Anna"}


def test_an_update_may_change_two_records_and_leaves_out_what_is_not_needed() -> None:
    erp, notebook = JsonRpcErp(), MemoryRecorder()
    with serving(erp.answer) as service:
        target = connect(service, json_rpc_erp.settings(), notebook)
        made = target.create_record("USER", {"code": "x1", "name": "A"}, "k1")
        target.update_record("USER", made.id, {"name": "B", "city": "Turku"}, "k2")
        target.update_record("USER", made.id, {"city": "Espoo"}, "k3")
    writes = [(one.idempotency_key, one.body) for one in notebook.sent if one.is_write][1:]
    assert [key for key, _ in writes] == ["k2", "k2-2", "k3-2"]
    assert [row["city"] for row in erp.addresses.values()] == ["Espoo"]
    assert erp.parties[int(made.id)]["name"] == "B"
    assert [name for name, _ in erp.calls if name.endswith("write")] == [
        "model.party.party.write",
        "model.party.address.write",
        "model.party.address.write",
    ]


def test_a_second_request_that_fails_says_that_the_first_was_applied() -> None:
    erp = JsonRpcErp()
    with serving(erp.answer) as service:
        target = connect(service, json_rpc_erp.settings())
        made = target.create_record("USER", {"code": "x1", "name": "A"}, "k1")
        erp.addresses.clear()
        with pytest.raises(ConnectorError) as caught:
            target.update_record("USER", made.id, {"city": "Turku"}, "k2")
        assert not caught.value.maybe_applied
        with pytest.raises(ConnectorError) as caught:
            target.update_record("USER", made.id, {"name": "B", "city": "Turku"}, "k3")
        assert caught.value.maybe_applied


def test_an_id_with_slashes_is_sent_and_accepted_only_where_the_settings_allow_it() -> None:
    settings = graphql_shop.settings()
    with serving(GraphqlShop().answer) as service:
        target = connect(service, settings)
        assert target.create_record("USER", {"email": "a@b.test"}, "k").id == f"{PREFIX}1"
        del settings["id_characters"]
        with pytest.raises(ConnectorError) as caught:
            connect(service, settings).create_record("USER", {"email": "c@b.test"}, "k")
    assert (caught.value.code, caught.value.maybe_applied) == ("target-unsafe-id", True)


def test_the_example_of_the_manual_does_what_it_says() -> None:
    text = (Path(__file__).parents[4] / "docs" / "connect.md").read_text("utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    [settings] = [json.loads(block) for block in blocks if '"/graphql"' in block]
    with serving(GraphqlShop().answer) as service:
        target = connect(service, settings)
        made = target.create_record("USER", {"email": "a@b.test"}, "k1")
        with pytest.raises(RecordExists):
            target.create_record("USER", {"email": "a@b.test"}, "k2")
        with pytest.raises(RequestRejected) as caught:
            target.update_record("USER", made.id, {"email": "nonsense"}, "k3")
        assert caught.value.sentence == "Email is invalid"
        assert target.update_record("USER", made.id, {"email": "c@b.test"}, "k4").id == made.id
        assert [hit.id for hit in target.search_records("USER", "email", "c@b.test")] == [made.id]
        assert target.get_record("USER", f"{PREFIX}9") is None
