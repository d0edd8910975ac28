"""A system that repeats our request: no record and no error holds the credentials of either end."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.contracts.errors import ConnectorError
from connectors.exchange import MAX_RECORDED_BODY, MAX_RECORDED_VALUE
from connectors.presets import load_preset
from connectors.values.secret_scrubber import SecretScrubber
from tests.support.http.connectors import MemoryRecorder, identity, shop
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.leaks.echoed_forms import readable_in

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PASSWORD = "pä ss/w0rd+9%41"
AUTHENTICATIONS: list[tuple[dict[str, Any], dict[str, str], list[str]]] = [
    ({"scheme": "basic"}, {"username": "hub", "password": PASSWORD}, [PASSWORD]),
    ({"scheme": "basic"}, {"username": "hub-user", "password": "abc"}, ["hub-user:abc"]),
    ({"scheme": "bearer"}, {"token": "t0ken-of-the-hub"}, ["t0ken-of-the-hub"]),
    ({"scheme": "bearer"}, {"token": "tok"}, ["Bearer tok"]),
    ({"scheme": "header", "header": "X-Api-Key"}, {"value": "k3y-of-the-hub"}, ["k3y-of-the-hub"]),
    (
        {"scheme": "header", "header": "Authorization"},
        {"value": "Token k3y-of-the-hub"},
        ["k3y-of-the-hub"],
    ),
    (
        {"scheme": "oauth2-client-credentials", "client_authentication": "body"},
        {"client_id": "echo-client", "client_secret": "s3cret-of-the-client"},
        ["s3cret-of-the-client", "issued-access-token-1"],
    ),
    (
        {"scheme": "parameter", "parameter": "key", "second": {"header": "App-Token"}},
        {"parameter_value": "p4rameter-of-the-hub", "second_value": "s3cond-of-the-hub"},
        ["p4rameter-of-the-hub", "s3cond-of-the-hub"],
    ),
    ({"scheme": "parameter", "parameter": "key"}, {"parameter_value": "abc"}, ["key=abc"]),
]


def _echo(seen: SeenRequest) -> Reply:
    """Repeat the request as a text, at the end of a long sentence, and encoded."""
    if seen.path == "/oauth/token":
        answer = {"access_token": "issued-access-token-1", "token_type": "Bearer", "expires_in": 3600}
        return Reply(200, {**answer, "seen": str(seen.body)})
    head = "\n".join(f"{name}: {value}" for name, value in {**seen.headers, "target": seen.target}.items())
    sentence = f"You sent {head}"
    fields = [{"field": head[:60], "code": "echo", "detail": base64.b64encode(head.encode()).decode()}]
    basic = seen.headers.get("authorization", "").removeprefix("Basic ")
    return Reply(
        422, {"error": {"message": f"{'x' * 285}{basic} {sentence}", "fields": fields}, "head": head}
    )


@pytest.fixture
def echoing() -> Iterator[Service]:
    with serving(_echo) as service:
        yield service


def _settings(of: str) -> dict[str, Any]:
    settings: dict[str, Any] = load_preset(of)["settings"]
    return settings


def _failure_of(url: str, recorder: MemoryRecorder, **arguments: Any) -> ConnectorError:
    settings = _settings("sandbox-shop") | {"error": {"sentence": "error.message", "fields": "error.fields"}}
    connector = shop(url, recorder, settings=settings, **arguments)
    with pytest.raises(ConnectorError) as caught:
        connector.get_record("USER", "1")
    return caught.value


@pytest.mark.promise("I6")
@pytest.mark.parametrize(("authentication", "credentials", "secrets"), AUTHENTICATIONS)
def test_echoed_credentials_are_removed_from_records_and_errors(
    echoing: Service, authentication: dict[str, Any], credentials: dict[str, str], secrets: list[str]
) -> None:
    recorder = MemoryRecorder()
    failure = _failure_of(echoing.url, recorder, authentication=authentication, credentials=credentials)
    shown = f"{failure} {failure.sentence}"
    shown += "".join(f"{one.field} {one.code} {one.detail}" for one in failure.fields)
    shown += repr(recorder.sent) + "".join(str(one.body) + str(one.headers) for one in recorder.exchanges)
    assert [secret for secret in secrets if readable_in(shown, secret)] == []
    assert failure.sentence is not None
    assert failure.fields


def test_the_secrets_of_the_other_end_are_removed_too(echoing: Service) -> None:
    scrubber, recorder = SecretScrubber(), MemoryRecorder()
    identity(echoing.url, credentials={"token": "token-of-the-identity"}, scrubber=scrubber)
    other = {"token": "token-of-the-shop"}

    def answer(_: SeenRequest) -> Reply:
        return Reply(422, {"error": {"message": "I know token-of-the-shop and token-of-the-identity"}})

    with serving(answer) as service:
        failure = _failure_of(service.url, recorder, credentials=other, scrubber=scrubber)
    assert failure.sentence == "I know *** and ***"
    assert recorder.exchanges[0].body == b'{"error": {"message": "I know *** and ***"}}'


def test_the_record_of_a_response_is_bounded() -> None:
    recorder = MemoryRecorder()
    long = Reply(
        422, raw=b"x" * (MAX_RECORDED_BODY + 1), headers={"Location": "y" * (MAX_RECORDED_VALUE + 1)}
    )
    with serving(lambda _: long) as service:
        _failure_of(service.url, recorder)
    assert recorder.exchanges[0].body == b"x" * MAX_RECORDED_BODY
    assert recorder.exchanges[0].headers["location"] == "y" * MAX_RECORDED_VALUE


@pytest.mark.parametrize("before", [MAX_RECORDED_BODY - 20, 65_530])
def test_a_secret_that_is_cut_at_the_limit_of_a_recorded_body_is_masked(before: int) -> None:
    recorder = MemoryRecorder()
    with serving(lambda _: Reply(422, raw=b"x" * before + b"t0ken-of-the-hub and more")) as service:
        _failure_of(service.url, recorder, credentials={"token": "t0ken-of-the-hub"})
    stored = recorder.exchanges[0].body[:65_536].decode()
    assert not readable_in(stored, "t0ken-of-the-hub")


@pytest.mark.parametrize("before", [275, 285, 290, 300])
def test_a_secret_that_is_cut_at_the_limit_of_an_error_message_is_masked(before: int) -> None:
    with serving(
        lambda _: Reply(422, {"error": {"message": "x" * before + "t0ken-of-the-hub and more"}})
    ) as service:
        failure = _failure_of(service.url, MemoryRecorder(), credentials={"token": "t0ken-of-the-hub"})
    assert failure.sentence is not None
    assert "t0k" not in failure.sentence


def test_a_secret_header_and_a_secret_parameter_of_older_settings_are_masked_in_the_record() -> None:
    settings = _settings("sandbox-identity") | {"headers": {"X-Api-Key": "plain-header-key"}}
    settings["entities"]["USER"]["query"] = {"api_key": "plain-query-key", "view": "full"}
    recorder = MemoryRecorder()
    with serving(lambda _: Reply(200, {"id": "a1"})) as service:
        connector = identity(service.url, recorder, settings=settings)
        assert connector.fetch_entity("USER", "a1")
        assert service.seen[0].headers["x-api-key"] == "plain-header-key"
    assert recorder.sent[0].headers["X-Api-Key"] == "***"
    assert recorder.sent[0].url.endswith("?api_key=***&view=full")
