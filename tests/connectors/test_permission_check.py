"""The test of a connection says what the credentials may not do, and changes nothing to find out."""

import json
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from connectors.check import CheckedConnection, CheckStep, check_connection
from connectors.presets import load_preset
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.http.servers import Answering, Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

_clients = count(1)
IDS = ("1", "2", "3")


def shop(refuse: Callable[[SeenRequest], Reply | None]) -> Answering:
    """Answer as a shop with three records of each type, except where `refuse` gives another reply."""

    def answer(seen: SeenRequest) -> Reply:
        other = refuse(seen)
        if other is not None:
            return other
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": "t", "expires_in": 900})
        _, _, record_id = seen.path.removeprefix("/api/").partition("/")
        if record_id:
            is_known = record_id in IDS
            return (
                Reply(200, {"id": record_id, "external_id": f"U{record_id}"}) if is_known else Reply(404, {})
            )
        found = [{"id": key, "external_id": f"U{key}"} for key in IDS]
        wanted = seen.query.get("external_id", seen.query.get("name"))
        return Reply(200, {"items": [one for one in found if wanted in (None, one["external_id"])]})

    return answer


def connection(url: str, name: str = "sandbox-shop", **over: Any) -> CheckedConnection:
    """Return a connection whose enabled routes deliver users and groups."""
    chosen = load_preset(name)
    return CheckedConnection(
        **{
            "connector": chosen["connector"],
            "base_url": url,
            "authentication": {"scheme": "bearer"},
            "credentials": {"token": "s3cret"},
            "settings": chosen["settings"],
            "deadline": 60.0,
            "byte_cap": 1_048_576,
            "request_id": "test-1",
            "used_types": frozenset({"USER", "GROUP"}),
        }
        | over
    )


def check(refuse: Callable[[SeenRequest], Reply | None], **over: Any) -> dict[str, CheckStep]:
    """Check the shop. Returns the steps by name; asserts that nothing was written."""
    with serving(shop(refuse)) as service:
        steps = check_connection(connection(service.url, **over))
        assert {seen.method for seen in service.seen if seen.path != "/oauth/token"} <= {"GET", "OPTIONS"}
    return {step.name: step for step in steps}


def finding(steps: dict[str, CheckStep], permission: str, entity_type: str = "") -> dict[str, Any]:
    """Return the finding on a permission."""
    findings = steps["permissions"].facts["findings"]
    [found] = [
        one for one in findings if (one["permission"], one["entity_type"]) == (permission, entity_type)
    ]
    return dict(found)


def nothing(_: SeenRequest) -> None:
    """Refuse nothing."""


def test_every_permission_of_every_type_has_a_finding() -> None:
    steps = check(nothing)
    assert all(step.is_good for step in steps.values())
    assert steps["permissions"].code == "permissions-given"
    answers = {
        (found["entity_type"], found["permission"]): (found["answer"], found["status"])
        for found in steps["permissions"].facts["findings"]
    }
    read = ("granted", 200)
    expected = {"list": read, "read": read, "search": read, "write": ("unknown", 404)}
    assert answers == {
        (entity_type, permission): expected[permission]
        for entity_type in ("USER", "GROUP", "FILE")
        for permission in expected
    }
    assert json.loads(json.dumps(steps["permissions"].facts)), "it is stored as JSON"


@pytest.mark.parametrize("status", [401, 403])
def test_a_list_that_is_refused_fails_the_test_if_a_route_needs_its_type(status: int) -> None:
    def refuse(seen: SeenRequest) -> Reply | None:
        return Reply(status, {}) if seen.path == "/api/segments" and seen.method == "GET" else None

    steps = check(refuse)
    assert (steps["permissions"].is_good, steps["permissions"].code) == (False, "permissions-missing")
    assert steps["read"].is_good, "the sample call is about users"
    refused = finding(steps, "list", "GROUP")
    assert (refused["answer"], refused["status"], refused["call"]) == (
        "refused",
        status,
        "GET /api/segments",
    )
    assert refused["setting"] == "/entities/GROUP/operations/list"
    assert finding(steps, "search", "GROUP")["answer"] == "refused"
    assert finding(steps, "list", "USER")["answer"] == "granted"

    unused = check(refuse, used_types=frozenset({"USER"}))["permissions"]
    assert (unused.is_good, unused.code) == (True, "permissions-limited")


def test_refused_records_are_distinguished_from_refused_credentials() -> None:
    steps = check(lambda seen: Reply(403, {}) if seen.path.startswith("/api/customers/") else None)
    assert steps["credentials"].is_good, "the list is given to them"
    assert (steps["read"].is_good, steps["read"].code) == (False, "read-refused")
    refused = finding(steps, "read", "USER")
    assert (refused["answer"], refused["status"]) == ("refused", 403)
    assert refused["setting"] == "/entities/USER/operations/get"
    assert finding(steps, "search", "USER")["answer"] == "granted"


def test_one_refused_record_of_a_list_is_no_missing_permission() -> None:
    steps = check(lambda seen: Reply(403, {}) if seen.path == "/api/segments/1" else None)
    partly = finding(steps, "read", "GROUP")
    assert (partly["answer"], partly["status"]) == ("partly", 403)
    assert (steps["permissions"].is_good, steps["permissions"].code) == (True, "permissions-limited")


def test_items_that_are_listed_and_not_found_fail_the_test() -> None:
    steps = check(lambda seen: Reply(404, {}) if seen.path.startswith("/api/segments/") else None)
    failed = finding(steps, "read", "GROUP")
    assert (failed["answer"], failed["status"]) == ("failed", 404)
    assert steps["permissions"].is_good is False


def test_a_wrong_path_fails_the_sample_call_and_the_rest_is_still_tested() -> None:
    steps = check(lambda seen: Reply(404, {}) if seen.path.startswith("/api/customers/") else None)
    assert (steps["read"].is_good, steps["read"].code) == (False, "target-garbled")
    assert finding(steps, "read", "USER")["answer"] == "failed"
    assert finding(steps, "read", "GROUP")["answer"] == "granted"


def test_an_empty_system_shows_no_permission_to_read_and_passes() -> None:
    steps = check(lambda seen: Reply(200, {"items": []}) if seen.path.count("/") == 2 else None)
    empty = finding(steps, "read", "USER")
    assert (empty["answer"], empty["status"]) == ("unknown", 404)
    assert all(step.is_good for step in steps.values())


def options(headers: dict[str, str], status: int = 204) -> Callable[[SeenRequest], Reply | None]:
    return lambda seen: Reply(status, {}, headers) if seen.method == "OPTIONS" else None


@pytest.mark.parametrize("status", [204, 405])
def test_a_method_that_the_system_does_not_accept_is_named(status: int) -> None:
    steps = check(options({"Allow": "get, HEAD,DELETE , POST"}, status))
    write = finding(steps, "write", "USER")
    assert (write["answer"], write["missing"]) == ("not-accepted", ("PATCH /api/customers/{id}",))
    assert (write["call"], write["status"]) == ("OPTIONS /api/customers/{id}", status)
    assert steps["permissions"].code == "permissions-limited"


@pytest.mark.parametrize(
    ("headers", "status", "is_declared"),
    [
        ({"Allow": "GET, POST, PATCH, DELETE"}, 204, True),
        ({}, 204, False),
        ({"Allow": ""}, 200, False),
        ({"Allow": "GET"}, 404, False),
        ({"Allow": "GET"}, 500, False),
        ({"Allow": "<script>, s3cret-answer " + "x" * 5000}, 200, False),
    ],
)
def test_a_write_is_never_reported_as_permitted(
    headers: dict[str, str], status: int, is_declared: bool
) -> None:
    steps = check(options(headers, status))
    write = finding(steps, "write", "USER")
    assert (write["answer"], write["missing"], write["is_declared"]) == ("unknown", (), is_declared)
    assert all(step.is_good for step in steps.values()), "what the system says of a path is information only"
    assert "s3cret-answer" not in json.dumps(steps)


OAUTH = {"scheme": "oauth2-client-credentials", "token_path": "/oauth/token", "scope": "read write erase"}


def token(**fields: Any) -> Callable[[SeenRequest], Reply | None]:
    reply = Reply(200, {"access_token": "t", "expires_in": 900} | fields)
    return lambda seen: reply if seen.path == "/oauth/token" else None


def oauth(**over: Any) -> dict[str, Any]:
    """Return an authentication whose token no other test has."""
    client = {"client_id": f"permissions {next(_clients)}", "client_secret": "s3cret"}
    return {"authentication": OAUTH | over, "credentials": client}


def test_scopes_that_were_requested_and_not_granted_fail_the_test() -> None:
    steps = check(token(scope="read s3cret-answer"), **oauth())
    scope = finding(steps, "scope")
    assert (scope["answer"], scope["missing"]) == ("refused", ("write", "erase"))
    assert scope["setting"] == "/authentication/scope"
    assert (steps["permissions"].is_good, steps["permissions"].code) == (False, "permissions-missing")
    assert "s3cret-answer" not in json.dumps(list(steps.values()))


@pytest.mark.parametrize("granted", [{}, {"scope": "erase write read more"}, {"scope": ""}, {"scope": 7}])
def test_a_token_response_that_names_no_fewer_scopes_grants_all(granted: dict[str, Any]) -> None:
    """RFC 6749, 5.1: without `scope`, the token has the scope that was requested."""
    steps = check(token(**granted), **oauth())
    assert finding(steps, "scope")["answer"] == "granted"
    assert steps["permissions"].is_good


def test_without_a_requested_scope_there_is_no_finding_on_it() -> None:
    steps = check(token(scope="read"), **oauth(scope=None))
    assert all(found["permission"] != "scope" for found in steps["permissions"].facts["findings"])


PLAIN = {"entities": {"USER": {"path": "/users/{id}"}}}
PROBED = {"entities": {"USER": {"path": "/users/{id}", "probe": {"path": "/whoami"}}}}


def test_a_dead_token_that_is_answered_with_404_passes_no_test() -> None:
    def hide(_: SeenRequest) -> Reply:
        return Reply(404, {})

    for name in ("trivore", "sandbox-shop"):
        steps = check(hide, **(of_preset(name)))
        assert steps["read"].is_good is False, "its list is not found"
    without_proof = check(hide, **of_preset("trivore") | {"settings": PLAIN})
    assert (without_proof["read"].code, without_proof["credentials"].code) == ("read-unproved", "not-proved")
    assert without_proof["credentials"].is_good is None
    assert check(hide, **of_preset("trivore") | {"settings": PROBED})["read"].is_good is False


def of_preset(name: str) -> dict[str, Any]:
    chosen = load_preset(name)
    return {"connector": chosen["connector"], "settings": chosen["settings"]}


def test_a_probe_proves_the_credentials_where_nothing_is_listed() -> None:
    def answer(seen: SeenRequest) -> Reply:
        return Reply(200, {}) if seen.path == "/whoami" else Reply(404, {})

    steps = check(answer, **of_preset("trivore") | {"settings": PROBED})
    assert (steps["read"].code, steps["read"].facts["call"]) == ("probe-answered", "GET /whoami")
    assert all(step.is_good for step in steps.values())


@pytest.mark.nightly
def test_a_slow_system_is_tested_as_far_as_the_time_allows() -> None:
    def wait(seen: SeenRequest) -> None:
        if seen.path.startswith("/api/segments"):
            time.sleep(3)

    with serving(shop(wait)) as service:
        started = time.monotonic()
        steps = check_connection(connection(service.url), max_seconds=2.0)
        assert time.monotonic() - started < 6, "one of these requests alone takes 3 s"
    last = steps[-1]
    assert (last.is_good, last.code) == (None, "permissions-incomplete")
    assert last.facts["left_out"] == 12 - len(last.facts["findings"]) > 0
    assert all(found["answer"] in ("granted", "unknown") for found in last.facts["findings"])


def test_both_stand_in_systems_say_what_they_refuse() -> None:
    with IdentityService() as identity, ShopService() as kauppa:
        for service, name in ((identity, "sandbox-identity"), (kauppa, "sandbox-shop")):
            subject = connection(service.url, name, credentials={"token": service.token})
            assert [step.is_good for step in check_connection(subject)] == [True] * 5
            path = "/api/(groups|segments)"
            service.faults.add("refuse", status=403, path=path, methods=["GET"])
            steps = {step.name: step for step in check_connection(subject)}
            assert steps["read"].is_good
            assert steps["permissions"].code == "permissions-missing"
            assert finding(steps, "list", "GROUP")["status"] == 403
        write = finding(steps, "write", "USER")
        assert (write["answer"], write["status"], write["is_declared"]) == ("unknown", 405, True)
