"""Records of a GraphQL shop and of a JSON-RPC ERP, by operations alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    RecordExists,
    RequestRejected,
)
from connectors.contracts.types import Access, TargetConnector
from connectors.registry import validate_connection
from tests.support.http.connectors import MemoryRecorder, shop
from tests.support.http.servers import Service, serving
from tests.support.targets import graphql_shop, json_rpc_erp
from tests.support.targets.graphql_shop import PREFIX, GraphqlShop
from tests.support.targets.json_rpc_erp import JsonRpcErp

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

Settings = Callable[[], dict[str, Any]]


def connect(
    service: Service, settings: Any, notebook: MemoryRecorder | None = None, **over: Any
) -> TargetConnector:
    validate_connection("rest-target", settings, {"scheme": "bearer"}, "https://a.test")
    return shop(service.url, notebook, settings=settings, **over)


@pytest.mark.parametrize(
    ("system", "settings", "fields", "key"),
    [
        (
            GraphqlShop,
            graphql_shop.settings,
            {"email": "a@b.test", "name": "A", "external_id": "x1"},
            "email",
        ),
        (JsonRpcErp, json_rpc_erp.settings, {"code": "x1", "name": "A"}, "code"),
    ],
)
def test_a_record_is_created_found_updated_and_deleted(
    system: Any, settings: Settings, fields: dict[str, Any], key: str
) -> None:
    with serving(system().answer) as service:
        target = connect(service, settings())
        assert target.check_access("USER", "gone", []) != Access.GRANTED
        made = target.create_record("USER", fields, "k1")
        found = target.get_record("USER", made.id)
        assert found is not None
        assert {name: found.fields[name] for name in fields} == fields
        assert target.check_access("USER", "999", []) is Access.GRANTED
        sample = target.read_sample()
        assert (sample.item_count, sample.is_proof) == (1, True)
        assert [hit.id for hit in target.search_records("USER", key, fields[key])] == [made.id]
        assert target.search_records("USER", key, "nobody@b.test") == ()
        updated = target.update_record("USER", made.id, {"name": "B"}, "k2", found.version)
        assert updated.id == made.id
        again = target.get_record("USER", made.id)
        assert again is not None
        assert {**fields, "name": "B"} == {name: again.fields[name] for name in fields}
        target.delete_record("USER", made.id, "k3", again.version)
        assert target.get_record("USER", made.id) is None
        expired = connect(service, settings(), credentials={"token": "expired-token"})
        with pytest.raises(CredentialsRefused):
            expired.create_record("USER", fields, "k")


@pytest.mark.parametrize("value", ['a" or "1"="1', "back\\slash", "O'Neil", '\\"'])
def test_no_value_breaks_a_filter(value: str) -> None:
    with serving(GraphqlShop().answer) as service:
        target = connect(service, graphql_shop.settings())
        made = target.create_record("USER", {"email": "a@b.test", "external_id": value}, "k1")
        assert [hit.id for hit in target.search_records("USER", "external_id", value)] == [made.id]
        assert target.search_records("USER", "external_id", f"{value}x") == ()


def test_an_absent_record_is_never_a_success_of_an_update() -> None:
    for system, settings in ((GraphqlShop, graphql_shop.settings), (JsonRpcErp, json_rpc_erp.settings)):
        with serving(system().answer) as service:  # type: ignore[operator]
            target = connect(service, settings())
            with pytest.raises(RequestRejected) as caught:
                target.update_record("USER", "7", {"name": "B"}, "k1")
            assert caught.value.status == 404
            target.delete_record("USER", "7", "k2")


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
    text = (Path(__file__).parents[3] / "docs" / "connect.md").read_text("utf-8")
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
