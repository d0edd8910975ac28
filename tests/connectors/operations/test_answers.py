"""What answers mean: rules for the answers of real systems, and what stays as it is without one."""

from typing import Any

import pytest

from connectors.contracts.errors import (
    ConnectorError,
    CredentialsRefused,
    RecordExists,
    RecordStale,
    RequestRejected,
    RequestThrottled,
    SettingOverBudget,
    SystemUnavailable,
)
from connectors.contracts.types import Access, TargetConnector
from tests.support.http.connectors import MemoryRecorder, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def connect(
    service: Service, answers: Any, notebook: MemoryRecorder | None = None, **user: Any
) -> TargetConnector:
    return shop(service.url, notebook, settings=shop_settings(**user) | {"answers": answers})


UNIQUE = {"errors": [{"message": "Value has to be unique.", "extensions": {"code": "RECORD_NOT_UNIQUE"}}]}
# A system that answers a name that is taken with a page of its own, by the status of a crash.
CRASH = Reply(500, raw=b"<html><p>The user name <b>anna</b> is already taken</p></html>")
RULES = [
    # Directus.
    {"status": 400, "when": "body.errors[0].extensions.code == 'RECORD_NOT_UNIQUE'", "means": "exists"},
    # Canaille.
    {"status": 500, "when": "contains(body, 'already taken')", "means": "exists"},
    # Tryton.
    {"status": 400, "when": "contains(body, 'must be unique')", "means": "exists"},
    {"status": 404, "when": "contains(body, '<html')", "means": "refused"},
    # Vendure.
    {
        "status": 200,
        "when": "body.data.createCustomer.errorCode == 'EMAIL_ADDRESS_CONFLICT_ERROR'",
        "means": "exists",
    },
    {"status": 200, "when": "body.errors[0].extensions.code == 'FORBIDDEN'", "means": "credentials"},
    {"status": [200, 403], "when": "headers.\"x-rate\" == '0'", "means": "throttled"},
    {"status": "5xx", "when": "contains(body, 'version conflict')", "means": "stale"},
    {"status": 200, "when": "body.maintenance", "means": "unavailable"},
    {"status": 409, "when": "body.code == 'locked'", "means": "unavailable"},
]


def test_an_answer_to_a_write_means_what_the_rules_say() -> None:
    cases: list[tuple[Reply, type[ConnectorError], bool]] = [
        (Reply(400, UNIQUE), RecordExists, False),
        (CRASH, RecordExists, False),
        (Reply(400, raw=b"The party code must be unique."), RecordExists, False),
        (Reply(400, raw=b"Something else"), RequestRejected, False),
        (
            Reply(200, {"data": {"createCustomer": {"errorCode": "EMAIL_ADDRESS_CONFLICT_ERROR"}}}),
            RecordExists,
            False,
        ),
        (Reply(200, {"errors": [{"extensions": {"code": "FORBIDDEN"}}]}), CredentialsRefused, False),
        (Reply(403, {}, {"X-Rate": "0"}), RequestThrottled, False),
        (Reply(403, {}), CredentialsRefused, False),
        (Reply(500, raw=b"version conflict"), RecordStale, False),
        (Reply(500, raw=b"crash"), SystemUnavailable, True),
        (Reply(200, {"maintenance": True}), SystemUnavailable, True),
        (Reply(409, {"code": "locked"}), SystemUnavailable, True),
        (Reply(409, {}), RequestRejected, False),
        (Reply(422, raw=b"\xff\xfe"), RequestRejected, False),
    ]
    for reply, kind, may_have_applied in cases:
        notebook = MemoryRecorder()
        with serving(lambda _, reply=reply: reply) as service, pytest.raises(kind) as caught:
            connect(service, RULES, notebook).create_record("USER", {"email": "a@b.test"}, "k1")
        assert type(caught.value) is kind
        assert caught.value.maybe_applied is may_have_applied
        last = notebook.exchanges[-1]
        assert (last.status, last.error_code) == (reply.status, caught.value.code)


def test_the_first_rule_that_fits_decides_and_those_of_an_operation_come_first() -> None:
    get = {"path": "/c/{id}", "answers": [{"status": 200, "when": "body.state == 'gone'", "means": "absent"}]}
    rules = [
        {"status": 200, "when": "body.state", "means": "refused"},
        {"status": 200, "when": "body", "means": "done"},
    ]
    with serving(lambda _: Reply(200, {"id": "7", "state": "gone"})) as service:
        assert connect(service, rules, get=get).get_record("USER", "7") is None
        with pytest.raises(RequestRejected):
            connect(service, rules).get_record("USER", "7")
        assert connect(service, rules[1:]).get_record("USER", "7") is not None


def test_an_update_without_a_matching_record_is_not_a_success() -> None:
    """Some systems answer 204 to the update of a record that they do not have."""
    update = {"path": "/c/{id}", "answers": [{"status": 204, "means": "absent"}]}
    with serving(lambda _: Reply(204)) as service:
        target = shop(service.url, settings=shop_settings(update=update))
        with pytest.raises(RequestRejected) as caught:
            target.update_record("USER", "7", {"email": "new"}, "k1")
    assert caught.value.status == 404


def test_a_404_that_means_a_refusal_is_no_absence() -> None:
    """A wrong path gives a page in HTML: no record may seem to be gone because of it."""
    with serving(lambda _: Reply(404, raw=b"<html>404 Not Found</html>")) as service:
        with pytest.raises(RequestRejected):
            connect(service, RULES).get_record("USER", "7")
        with pytest.raises(RequestRejected):
            connect(service, RULES).delete_record("USER", "7", "k1")
    with serving(lambda _: Reply(404, {})) as service:
        assert connect(service, RULES).get_record("USER", "7") is None


def test_absence_by_a_rule_alone_is_no_proof() -> None:
    """A 403 for an absent record, as some systems answer: other records have to be readable."""
    rules = [{"status": 403, "when": "body.errors[0].extensions.code == 'FORBIDDEN'", "means": "absent"}]
    forbidden = Reply(403, {"errors": [{"extensions": {"code": "FORBIDDEN"}}]})

    def one_other(seen: SeenRequest) -> Reply:
        return Reply(200, {"id": "8"}) if seen.path.endswith("/8") else forbidden

    with serving(one_other) as service:
        target = connect(service, rules, list=None)
        assert target.get_record("USER", "7") is None
        assert target.check_access("USER", "7", ["8"]) is Access.GRANTED
        assert target.check_access("USER", "7", ["9"]) is not Access.GRANTED


def test_a_probe_obeys_the_rules_of_the_connection() -> None:
    rules = [{"status": 200, "when": "body.error == 'token'", "means": "credentials"}]
    with serving(lambda _: Reply(200, {"error": "token"})) as service, pytest.raises(CredentialsRefused):
        connect(service, rules, probe={"path": "/ping"}).probe_system()


def test_a_token_is_renewed_when_a_rule_calls_it_refused() -> None:
    tokens = iter(["old-token-1", "new-token-2"])

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": next(tokens), "expires_in": 3600})
        is_new = seen.headers["authorization"] == "Bearer new-token-2"
        return Reply(200, {"id": "7"} if is_new else {"error": "token"})

    settings = shop_settings() | {
        "answers": [{"status": 200, "when": "body.error == 'token'", "means": "credentials"}]
    }
    with serving(answer) as service:
        target = shop(
            service.url,
            settings=settings,
            authentication={"scheme": "oauth2-client-credentials"},
            credentials={"client_id": "me", "client_secret": "hush-hush"},
        )
        assert target.get_record("USER", "7") is not None


def test_a_rule_over_its_budget_is_an_error_of_the_settings() -> None:
    doubled = " | ".join(["[@,@]"] * 25)
    with serving(lambda _: Reply(200, {"id": 7})) as service:
        target = connect(service, [{"status": 200, "when": doubled, "means": "refused"}])
        with pytest.raises(SettingOverBudget) as caught:
            target.create_record("USER", {"email": "a@b.test"}, "k1")
    assert caught.value.fields[0].field == "/answers/0/when"
    assert caught.value.maybe_applied
