"""The header that continues a trace, on every transmission of a connector. No other test sends one."""

from itertools import count
from typing import Any

import pytest

from tests.support.http.connectors import MemoryRecorder, identity, shop, shop_settings
from tests.support.http.oauth1_server import Consumer, OAuth1Server
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


def numbered() -> Any:
    """Return a function that makes a header with a new number each time."""
    numbers = count(1)
    return lambda: f"trace-{next(numbers)}"


def test_a_token_request_a_refused_request_and_its_repetition_have_headers_of_their_own() -> None:
    tokens = count(1)

    def answer(seen: SeenRequest) -> Reply:
        if seen.path == "/oauth/token":
            return Reply(200, {"access_token": f"token-{next(tokens)}", "expires_in": 3600})
        return Reply(200 if "token-2" in seen.headers["authorization"] else 401, {"id": "a1"})

    with serving(answer) as service:
        connector = identity(
            service.url,
            authentication={"scheme": "oauth2-client-credentials", "token_path": "/oauth/token"},
            credentials={"client_id": "of traces", "client_secret": "s3cret-of-traces"},
            new_traceparent=numbered(),
        )
        assert connector.fetch_entity("USER", "a1")
        paths = [seen.path for seen in service.seen]
        assert (len(paths), paths.count("/oauth/token")) == (4, 2)
        assert [seen.headers["traceparent"] for seen in service.seen] == [f"trace-{n}" for n in range(1, 5)]


def test_a_signed_request_stays_valid() -> None:
    consumer = Consumer()
    server = OAuth1Server(lambda _: Reply(200, {"id": "1"}), consumer)
    with serving(server) as service:
        target = shop(
            service.url,
            authentication={"scheme": "oauth1"},
            credentials=consumer.credentials,
            new_traceparent=numbered(),
        )
        target.create_record("USER", {"email": "a@b.test"}, "k")
        assert [seen.headers["traceparent"] for seen in service.seen] == ["trace-1"]
    assert server.reasons == []


@pytest.mark.parametrize("name", ["traceparent", "TraceParent"])
def test_a_header_of_the_settings_is_sent_instead_and_alone(name: str) -> None:
    notebook = MemoryRecorder()
    with serving(lambda _: Reply(200, {"id": "1"})) as service:
        settings = shop_settings() | {"headers": {name: "of the settings"}}
        target = shop(service.url, notebook, settings=settings, new_traceparent=numbered())
        target.get_record("USER", "1")
        target.update_record("USER", "1", {"email": "a@b.test"}, "k")
        assert [seen.headers["traceparent"] for seen in service.seen] == ["of the settings"] * 2
    for request in notebook.sent:
        assert [name for name in request.headers if name.lower() == "traceparent"] == [name]
