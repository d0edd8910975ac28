"""The test of a connection: its steps, with the hub's own texts, within a deadline, against real servers."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.check import CheckedConnection, CheckStep, check_connection
from connectors.presets import load_preset
from tests.support.http.certificates import ISSUER, issue_certificate
from tests.support.http.client_certificates import Authority, Issued
from tests.support.http.connectors import shop_settings
from tests.support.http.passing_deadlines import PassingDeadlines
from tests.support.http.servers import Reply, SeenRequest, dripping, raw_serving, serving
from tests.support.processes.file_descriptors import without_free_descriptors

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

HOUR = timedelta(hours=1)
TOKEN = "s3cret-token"
CLIENT = {"client_id": "hub", "client_secret": "s3cret-client"}
OAUTH = {"scheme": "oauth2-client-credentials", "token_path": "/oauth/token"}


def subject(url: str, name: str = "sandbox-shop", **over: Any) -> CheckedConnection:
    chosen = load_preset(name)
    return CheckedConnection(
        **{
            "connector": chosen["connector"],
            "base_url": url,
            "authentication": {"scheme": "bearer"},
            "credentials": {"token": TOKEN},
            "settings": chosen["settings"],
            "deadline": 60.0,
            "byte_cap": 1_048_576,
            "request_id": "test-1",
        }
        | over
    )


def settings(**over: Any) -> dict[str, Any]:
    return {**load_preset("sandbox-shop")["settings"], **over}


def shop(seen: SeenRequest) -> Reply:
    if seen.headers.get("authorization") != f"Bearer {TOKEN}":
        return Reply(401, {"message": "who are you?"})
    return Reply(200, {"items": []})


def codes(steps: tuple[CheckStep, ...]) -> list[str]:
    return [step.code for step in steps]


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> PassingDeadlines:
    return PassingDeadlines(monkeypatch)


NOT_REACHED = "not-reached"
NOTHING_MORE = [NOT_REACHED] * 3
GIVEN = "permissions-given"


def test_all_steps_of_a_plain_system_with_a_token() -> None:
    with serving(shop) as service:
        steps = check_connection(subject(service.url))
    assert [step.name for step in steps] == ["name", "transport", "credentials", "read", "permissions"]
    assert codes(steps) == ["name-known", "transport-plain", "shown-by-read", "read", GIVEN]
    assert all(step.is_good for step in steps)
    assert steps[0].facts == {"addresses": ["127.0.0.1"], "more": 0}
    assert steps[3].facts == {"call": "GET /api/customers", "status": 200, "found": 0}
    assert [step.seconds is None for step in steps] == [False, False, True, False, False]
    assert {request.method for request in service.seen} == {"GET", "OPTIONS"}, "nothing is changed"


def test_an_identity_service_is_asked_for_one_of_a_list() -> None:
    with serving(identity_service) as service:
        steps = check_connection(
            subject(service.url, "trivore", authentication={"scheme": "none"}, credentials={})
        )
    assert codes(steps) == ["name-known", "transport-plain", "none-needed", "read", GIVEN]
    assert service.seen[0].query == {"startIndex": "0", "count": "1"}
    assert service.seen[1].path.endswith("/U1"), "the entity is read by its own path"
    assert steps[3].facts["found"] == 1


def identity_service(seen: SeenRequest) -> Reply:
    """Answer as a service with one listed user of 90, whose own path is that of the preset."""
    if seen.query:
        return Reply(200, {"resources": [{"id": "U1"}], "totalResults": 90})
    return Reply(200, {"id": "U1"}) if seen.path.endswith("/U1") else Reply(404, {})


CUSTOMERS = [{"id": 7, "external_id": "U1", "email": "a@x.test"}, {"id": 8, "external_id": "U2"}]


def customers(seen: SeenRequest) -> Reply:
    """Answer as a shop with two customers."""
    name, _, key = seen.path.removeprefix("/api/").partition("/")
    if key:
        found = [customer for customer in CUSTOMERS if str(customer["id"]) == key]
        return Reply(200, found[0]) if found and name == "customers" else Reply(404, {})
    wanted = [
        customer
        for customer in CUSTOMERS
        if all(
            str(customer.get(field)) == value
            for field, value in seen.query.items()
            if field not in ("offset", "limit")
        )
    ]
    return Reply(200, {"items": wanted})


def read_step(respond: Callable[[SeenRequest], Reply], **settings_of_users: Any) -> CheckStep:
    """Check a shop with these settings of users. Returns the step of the sample call."""
    changed = shop_settings(**settings_of_users)
    with serving(respond) as service:
        return check_connection(subject(service.url, settings=changed))[3]


def ignore_filters(seen: SeenRequest) -> Reply:
    return customers(seen) if "/customers/" in seen.path else Reply(200, {"items": CUSTOMERS})


def find_nothing(seen: SeenRequest) -> Reply:
    is_search = not seen.query.keys() <= {"offset", "limit"}
    return Reply(200, {"items": []}) if is_search else customers(seen)


def test_a_listed_record_is_read_by_its_own_path_and_searched() -> None:
    step = read_step(customers)
    assert (step.is_good, step.facts["call"], step.facts["found"]) == (True, "GET /api/customers/{id}", 2)


@pytest.mark.parametrize(
    ("respond", "users", "message"),
    [
        (customers, {"get": {"path": "/api/customerz/{id}"}}, "not found by its own path"),
        (ignore_filters, {}, "ignores the filter"),
        (find_nothing, {}, "does not find a record that has the value"),
    ],
)
def test_a_listed_record_that_is_not_found_again_fails_the_test(
    respond: Callable[[SeenRequest], Reply], users: dict[str, Any], message: str
) -> None:
    step = read_step(respond, **users)
    assert (step.is_good, step.code) == (False, "target-garbled")
    assert message in step.facts["message"]


@pytest.mark.parametrize(("path", "is_good"), [("meta.version", True), ("version", False)])
def test_a_record_without_the_version_that_writes_name_fails_the_test(path: str, is_good: bool) -> None:
    def respond(seen: SeenRequest) -> Reply:
        reply = customers(seen)
        return Reply(200, reply.value | {"meta": {"version": 3}}) if "/customers/" in seen.path else reply

    step = read_step(respond, version={"read": {"path": path}, "send": {"header": "If-Match"}})
    assert (step.is_good, step.code) == (is_good, "read" if is_good else "target-garbled")
    assert is_good or "the record has no version at the configured place" in step.facts["message"]


def check_identity(url: str, user: dict[str, Any]) -> tuple[CheckStep, ...]:
    """Check an identity service without authentication, with these settings of users."""
    settings_of_users = {"entities": {"USER": user}}
    return check_connection(
        subject(url, "trivore", settings=settings_of_users, authentication={}, credentials={})
    )


LISTING = {"path": "/users", "results": "resources"}


def test_a_wrong_path_of_entities_fails_the_test() -> None:
    def respond(seen: SeenRequest) -> Reply:
        return identity_service(seen) if seen.path in ("/users", "/users/U1") else Reply(404, {})

    with serving(respond) as service:
        steps = check_identity(service.url, {"path": "/userz/{id}", "list": LISTING})
    assert (steps[3].is_good, steps[3].code) == (False, "identity-garbled")


def test_a_system_with_numeric_ids_passes_the_test() -> None:
    """Its own ids are numbers in JSON too, and it fails on others."""

    def respond(seen: SeenRequest) -> Reply:
        key = seen.path.rpartition("/")[2]
        if seen.path == "/users":
            return Reply(200, {"resources": [{"id": 7}, {"id": 8}]})
        return Reply(200, {"id": int(key)}) if key.isdigit() else Reply(500, {})

    with serving(respond) as service:
        steps = check_identity(service.url, {"path": "/users/{id}", "list": LISTING})
    assert all(step.is_good for step in steps)
    assert steps[3].facts["call"] == "GET /users/{id}"


def test_a_system_that_fails_on_other_ids_than_numbers_does_not_fail_the_test() -> None:
    def respond(seen: SeenRequest) -> Reply:
        return Reply(404 if seen.path.rpartition("/")[2].isdigit() else 500, {})

    with serving(respond) as service:
        steps = check_identity(service.url, {"path": "/users/{id}"})
    assert (steps[3].is_good, steps[3].code) == (None, "read-unproved"), "there is no list to read from"


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_without_a_list_an_unknown_id_is_fetched(status: int) -> None:
    with serving(lambda _: Reply(status, {})) as service:
        steps = check_identity(service.url, {"path": "/users/{id}"})
    assert service.seen[0].path == "/users/hub-connection-test"
    assert steps[3].facts == {"call": "GET /users/{id}", "status": status, "found": None}


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_fail_the_credentials_and_not_the_read(status: int) -> None:
    with serving(lambda _: Reply(status, {"message": f"your {TOKEN} is bad"})) as service:
        steps = check_connection(subject(service.url))
    last = NOT_REACHED if status == 401 else "permissions-missing"
    assert codes(steps) == ["name-known", "transport-plain", "target-credentials", NOT_REACHED, last]
    assert steps[2].facts["status"] == status
    assert steps[2].is_good is False


def test_a_new_token_is_fetched_and_its_lifetime_is_shown() -> None:
    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": f"t{len(service.seen)}", "expires_in": 900})
        return Reply(200, {"items": []})

    with serving(answer) as service:
        for _ in range(2):
            steps = check_connection(subject(service.url, authentication=OAUTH, credentials=CLIENT))
    assert codes(steps) == ["name-known", "transport-plain", "token-given", "read", GIVEN]
    assert steps[2].facts["good_for"] == 900
    assert [request.path for request in service.seen].count("/oauth/token") == 2, (
        "a kept token proves nothing"
    )


def test_a_token_endpoint_that_refuses_is_reported() -> None:
    with serving(lambda _: Reply(400, {"error": "invalid_client"})) as service:
        steps = check_connection(subject(service.url, authentication=OAUTH, credentials=CLIENT))
    assert codes(steps) == ["name-known", "transport-plain", "target-credentials", NOT_REACHED, NOT_REACHED]


def test_a_valid_certificate_is_shown_with_issuer_and_expiry(tmp_path: Path) -> None:
    context, pem = issue_certificate(tmp_path, begins=-HOUR, ends=timedelta(days=12, hours=1))
    with serving(shop, context) as service:
        steps = check_connection(subject(service.url, settings=settings(ca=pem)))
    assert codes(steps) == ["name-known", "transport-encrypted", "shown-by-read", "read", GIVEN]
    assert steps[1].facts["issuer"] == ISSUER
    assert (datetime.fromisoformat(steps[1].facts["ends_at"]) - datetime.now(UTC)).days == 12


@pytest.mark.parametrize(
    ("begins", "ends", "address", "trusted", "code"),
    [
        (-3 * HOUR, -HOUR, "127.0.0.1", True, "certificate-expired"),
        (HOUR, 3 * HOUR, "127.0.0.1", True, "certificate-not-yet-valid"),
        (-HOUR, HOUR, "127.0.0.9", True, "certificate-of-another-name"),
        (-HOUR, HOUR, "127.0.0.1", False, "certificate-untrusted"),
    ],
)
def test_an_invalid_certificate_is_reported_and_nothing_is_sent(
    tmp_path: Path, begins: timedelta, ends: timedelta, address: str, trusted: bool, code: str
) -> None:
    context, pem = issue_certificate(tmp_path, begins=begins, ends=ends, address=address)
    with serving(shop, context) as service:
        steps = check_connection(subject(service.url, settings=settings(**({"ca": pem} if trusted else {}))))
        assert not service.seen
    assert codes(steps) == ["name-known", code, *NOTHING_MORE]
    assert steps[1].facts["issuer"] == ISSUER


MUTUAL = {"scheme": "bearer", "client_certificate": True}


def check_with_certificate(url: str, ca: Authority, client: Issued | None) -> tuple[CheckStep, ...]:
    credentials = {"token": TOKEN, **(client.credentials if client else {})}
    authentication = MUTUAL if client else {"scheme": "bearer"}
    return check_connection(
        subject(url, settings=settings(ca=ca.pem), authentication=authentication, credentials=credentials)
    )


@pytest.mark.parametrize(("days", "code"), [(400, "transport-encrypted"), (12, "client-certificate-ending")])
def test_the_client_certificate_is_shown_with_its_expiry(tmp_path: Path, days: int, code: str) -> None:
    ca = Authority()
    client = ca.issue("hub", ends=timedelta(days=days, hours=1))
    with serving(shop, ca.server_context(tmp_path, ca)) as service:
        steps = check_with_certificate(service.url, ca, client)
        assert {seen.client for seen in service.seen} == {"hub"}
    assert codes(steps) == ["name-known", code, "shown-by-read", "read", GIVEN]
    assert steps[1].is_good
    assert steps[1].facts["client"] == "hub"
    assert (datetime.fromisoformat(steps[1].facts["client_ends_at"]) - datetime.now(UTC)).days == days


def test_an_expired_client_certificate_is_named_before_a_connection_is_made(tmp_path: Path) -> None:
    ca = Authority()
    client = ca.issue("hub", begins=-3 * HOUR, ends=-HOUR)
    with serving(shop, ca.server_context(tmp_path, ca)) as service:
        steps = check_with_certificate(service.url, ca, client)
        assert not service.seen
    assert codes(steps) == ["name-known", "client-certificate-expired", *NOTHING_MORE]


def test_a_refused_client_certificate_is_a_failure_of_the_credentials(tmp_path: Path) -> None:
    ca, stranger = Authority(), Authority("Another Authority").issue("stranger")
    context = ca.server_context(tmp_path, ca)
    with serving(shop, context) as service:
        # In TLS 1.3 a client learns it only once it has sent a request.
        assert codes(check_with_certificate(service.url, ca, stranger))[1:3] == [
            "transport-encrypted",
            "target-credentials",
        ]
        assert codes(check_with_certificate(service.url, ca, None))[2] == "target-credentials"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(shop, context) as service:
        assert codes(check_with_certificate(service.url, ca, stranger))[1] == "client-certificate-refused"
        assert codes(check_with_certificate(service.url, ca, None))[1] == "tls-refused"


def test_a_missing_key_of_the_client_certificate_is_named(tmp_path: Path) -> None:
    ca = Authority()
    client = Issued(ca.issue("hub").certificate, "")
    with serving(shop, ca.server_context(tmp_path, ca)) as service:
        steps = check_with_certificate(service.url, ca, client)
    assert steps[1].code == "credential-missing"
    assert steps[1].facts == {"credential": "client_key"}


def test_an_unknown_host_name_ends_the_check() -> None:
    steps = check_connection(subject("https://hub-test.invalid"))
    assert codes(steps) == ["name-unknown", NOT_REACHED, *NOTHING_MORE]
    assert [step.is_good for step in steps] == [False, None, None, None, None]


def test_an_address_that_the_connection_may_not_use_is_not_connected_to() -> None:
    for host in ("169.254.169.254", "[fe80::1]", "100.100.100.200"):
        assert codes(check_connection(subject(f"http://{host}")))[0] == "address-forbidden"
    with serving(shop) as service:
        steps = check_connection(subject(service.url, settings=settings(networks=["10.0.0.0/8"])))
        assert not service.seen
    assert codes(steps)[0] == "address-forbidden"


def test_a_closed_port_and_a_server_without_tls_are_reported() -> None:
    with serving(shop) as service:
        steps = check_connection(subject(service.url.replace("http:", "https:")))
    assert codes(steps)[1] == "no-tls"
    # Nobody listens there any more.
    assert codes(check_connection(subject(service.url)))[1] == "connection-refused"


def test_a_handshake_that_stalls_ends_at_the_deadline(deadlines: PassingDeadlines) -> None:
    def stall(connection: socket.socket) -> None:
        connection.recv(1)
        deadlines.pass_now()
        connection.recv(65_536)
        connection.recv(1)

    with raw_serving(stall) as url:
        steps = check_connection(subject(url.replace("http:", "https:"), deadline=60.0))
    assert codes(steps)[1] == "no-answer"


@pytest.mark.nightly
def test_a_server_that_sends_slowly_ends_at_the_deadline_of_all_steps() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with raw_serving(dripping(b" ", head)) as url:
        started = time.monotonic()
        steps = check_connection(subject(url, deadline=30.0), max_seconds=1.0)
        assert time.monotonic() - started < 20
    assert codes(steps) == ["name-known", "transport-plain", "not-known", "target-timeout", NOT_REACHED]


def test_a_hanging_token_endpoint_skips_the_read_step(deadlines: PassingDeadlines) -> None:
    may_answer = threading.Event()

    def answer(seen: SeenRequest) -> Reply:
        deadlines.pass_now()
        may_answer.wait(60)
        return Reply()

    with serving(answer) as service:
        steps = check_connection(
            subject(service.url, authentication=OAUTH, credentials=CLIENT, deadline=60.0)
        )
        may_answer.set()
    assert codes(steps)[2:] == ["target-timeout", NOT_REACHED, NOT_REACHED]


def test_a_redirect_is_not_followed() -> None:
    with serving(lambda _: Reply(302, {}, {"Location": "http://169.254.169.254/"})) as service:
        assert codes(check_connection(subject(service.url)))[3] == "target-garbled"


def test_a_missing_credential_is_reported() -> None:
    steps = check_connection(subject("http://127.0.0.1:9", credentials={}))
    assert codes(steps)[1] == "connection-refused"
    with serving(shop) as service:
        steps = check_connection(subject(service.url, credentials={}))
        invalid = check_connection(subject(service.url, credentials={"token": "line\nbreak"}))
    assert codes(steps)[2] == "credential-missing"
    assert steps[2].facts == {"credential": "token"}
    assert codes(invalid)[2] == "settings-invalid"


def test_unreadable_certificates_are_reported() -> None:
    unreadable = "-----BEGIN CERTIFICATE----- MIIBszCCAVmg -----END CERTIFICATE-----"
    steps = check_connection(subject("https://127.0.0.1:9", settings=settings(ca=unreadable)))
    assert codes(steps) == ["settings-invalid", NOT_REACHED, *NOTHING_MORE]
    assert steps[0].facts["sentence"].startswith("/ca: ")


@pytest.mark.parametrize("reply", [Reply(200, {"items": "no list"}), Reply(500, {"message": TOKEN})])
def test_the_result_contains_no_secret_and_no_part_of_an_answer(reply: Reply) -> None:
    with serving(lambda _: reply) as service:
        steps = check_connection(subject(service.url))
        shown = json.dumps(steps) + repr(subject(service.url))
    assert steps[3].is_good is False
    assert TOKEN not in shown
    assert "no list" not in shown


@pytest.mark.parametrize("has_certificate", [True, False])
def test_a_hub_without_file_descriptors_is_no_fault_of_the_system(
    tmp_path: Path, has_certificate: bool
) -> None:
    authority = Authority()
    issued = authority.issue("hub")
    presented: dict[str, Any] = {
        "authentication": {"scheme": "none", "client_certificate": True},
        "credentials": issued.credentials,
    }
    with serving(shop, authority.server_context(tmp_path)) as service:
        checked = subject(
            service.url, settings=settings(ca=authority.pem), **(presented if has_certificate else {})
        )
        with without_free_descriptors():
            steps = check_connection(checked)
    assert [step.code for step in steps if step.is_good is False] == ["hub-exhausted"]
