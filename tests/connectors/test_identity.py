"""Entities are fetched by a request of any form, and answers mean what the settings say."""

from typing import Any

import pytest

from connectors.contracts.errors import (
    CredentialsRefused,
    RequestRejected,
    RequestThrottled,
    SettingOverBudget,
    SystemUnavailable,
    UnsafeRequest,
)
from connectors.contracts.types import Access, IdentityConnector
from tests.support.http.connectors import MemoryRecorder, identity
from tests.support.http.servers import Answering, Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PEOPLE = {"u1": {"id": "u1", "name": "Ada"}, "u2": {"id": "u2", "name": "Bob"}}
QUERY = "query($id: ID!) { user(id: $id) {id name} }"
GRAPHQL: dict[str, Any] = {
    "method": "POST",
    "path": "/graphql",
    "headers": {"X-Schema": "2"},
    "body": {"query": QUERY, "variables": {"id": {"expression": "id"}}},
    "record": "data.user",
    "answers": [
        {"when": "body.errors[0].extensions.code == 'FORBIDDEN'", "means": "credentials"},
        {"when": "body.errors[0].extensions.code == 'SLOW_DOWN'", "means": "throttled"},
        {"when": "body.errors[0].extensions.code == 'DOWN'", "means": "unavailable"},
        {"when": "body.errors", "means": "refused"},
        {"when": "body.data && body.data.user == `null`", "means": "absent"},
    ],
}


def settings(**entity: Any) -> dict[str, Any]:
    return {"entities": {"USER": entity}, "error": {"sentence": "errors[0].message"}}


def connect(url: str, notebook: MemoryRecorder | None = None, **entity: Any) -> IdentityConnector:
    return identity(url, notebook, settings=settings(**entity), deadline=60.0)


def graphql(seen: SeenRequest) -> Reply:
    """Answer as GraphQL APIs do: each status is 200."""
    document = seen.json()
    assert (seen.target, document["query"], seen.headers["x-schema"]) == ("/graphql", QUERY, "2")
    wanted = document["variables"]["id"]
    if wanted.startswith("code-"):
        error = {"message": "No.", "extensions": {"code": wanted.removeprefix("code-")}}
        return Reply(200, {"errors": [error], "data": None})
    return Reply(200, {"data": {"user": PEOPLE.get(wanted)}})


def test_an_entity_of_a_graphql_api_is_fetched_absent_or_refused() -> None:
    with serving(graphql) as service:
        connector = connect(service.url, **GRAPHQL)
        entity = connector.fetch_entity("USER", "u1")
        assert entity is not None
        assert entity.attributes == PEOPLE["u1"]
        assert connector.fetch_entity("USER", "u9") is None
        for code, kind, status in (
            ("FORBIDDEN", CredentialsRefused, 401),
            ("SLOW_DOWN", RequestThrottled, 429),
            ("DOWN", SystemUnavailable, 503),
            ("OTHER", RequestRejected, 422),
        ):
            with pytest.raises(kind) as caught:
                connector.fetch_entity("USER", f"code-{code}")
            assert (caught.value.sentence, caught.value.status) == ("No.", status)
        assert connector.check_access("USER", "u9", ["u1"]) == Access.GRANTED
        assert connector.read_sample().is_proof is False


def test_an_entity_is_found_by_a_filter_in_the_query() -> None:
    def search(seen: SeenRequest) -> Reply:
        wanted = seen.query["filter"].removeprefix('id eq "').removesuffix('"')
        return Reply(200, {"items": [PEOPLE[wanted]] if wanted in PEOPLE else []})

    entity = {
        "path": "/search",
        "query": {"filter": 'id eq "{id}"', "fields": "all"},
        "record": "items[0]",
        "answers": [{"status": 200, "when": "body.items == `[]`", "means": "absent"}],
    }
    with serving(search) as service:
        found = connect(service.url, **entity).fetch_entity("USER", "u2")
        assert found is not None
        assert found.id == "u2"
        assert connect(service.url, **entity).fetch_entity("USER", "u3") is None
        for hostile in ('u1" or id eq "u2', "../u1", "u1\n", "", "x" * 200):
            with pytest.raises(UnsafeRequest):
                connect(service.url, **entity).fetch_entity("USER", hostile)
        assert len(service.seen) == 2


def forbidding(token: str) -> Answering:
    """Answer as Directus does: 403 for an absent id, and for everything without a valid token."""

    def answer(seen: SeenRequest) -> Reply:
        entity_id = seen.path.rpartition("/")[2]
        is_known = seen.headers["authorization"] == f"Bearer {token}"
        if is_known and seen.path == "/users":
            return Reply(200, list(PEOPLE.values()))
        if is_known and entity_id in PEOPLE:
            return Reply(200, PEOPLE[entity_id])
        return Reply(403, {"errors": [{"message": "No.", "extensions": {"code": "FORBIDDEN"}}]})

    return answer


FORBIDDING: dict[str, Any] = {
    "path": "/users/{id}",
    "list": {"path": "/users"},
    "answers": [{"status": 403, "when": "body.errors[0].extensions.code == 'FORBIDDEN'", "means": "absent"}],
}


@pytest.mark.promise("I24")
def test_a_403_that_means_absent_is_no_proof_of_absence() -> None:
    with serving(forbidding("s3cret-token")) as service:
        connector = connect(service.url, **FORBIDDING)
        assert connector.fetch_entity("USER", "u9") is None
        assert connector.check_access("USER", "u9", ["u1"]) == Access.GRANTED
        assert connector.check_access("USER", "u9", []) == Access.GRANTED
    with serving(forbidding("another token")) as service:
        connector = connect(service.url, **FORBIDDING)
        assert connector.fetch_entity("USER", "u1") is None, "the answer alone says that it is absent"
        assert connector.check_access("USER", "u1", ["u2"]) == Access.REFUSED
        with pytest.raises(CredentialsRefused):
            connector.read_sample()


def test_a_rule_can_give_a_404_another_meaning() -> None:
    entity = {
        "path": "/users/{id}",
        "answers": [{"status": 404, "when": "body.error == 'maintenance'", "means": "unavailable"}],
    }
    answers = iter([Reply(404, {"error": "maintenance"}), Reply(404, {"error": "not found"}), Reply(404)])
    notebook = MemoryRecorder()
    with serving(lambda _: next(answers)) as service:
        connector = connect(service.url, notebook, **entity)
        with pytest.raises(SystemUnavailable):
            connector.fetch_entity("USER", "u1")
        assert connector.fetch_entity("USER", "u1") is None
        assert connector.fetch_entity("USER", "u1") is None
    codes = [exchange.error_code for exchange in notebook.exchanges]
    assert codes == ["identity-unavailable", None, None]


def test_a_rule_that_costs_too_much_names_its_setting() -> None:
    entity = {
        "path": "/users/{id}",
        "answers": [{"status": 200, "when": "|".join(["[@,@]"] * 25), "means": "absent"}],
    }
    with serving(lambda _: Reply(200, PEOPLE["u1"])) as service, pytest.raises(SettingOverBudget) as caught:
        connect(service.url, **entity).fetch_entity("USER", "u1")
    assert caught.value.fields[0].field == "/entities/USER/answers/0/when"
