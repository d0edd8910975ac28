"""The header that continues a trace, on every transmission of a connector. No other test sends one."""

from itertools import count

import pytest

from tests.support.http.connectors import MemoryRecorder, identity, shop, shop_settings
from tests.support.http.oauth1_server import Consumer, OAuth1Server
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


TRACE = ("4bf92f3577b34da6a3ce929d0e0e4736", "01")


def spans(seen: list[SeenRequest]) -> set[str]:
    """Return the span ids of requests of the trace."""
    parts = [request.headers["traceparent"].split("-") for request in seen]
    assert all((version, trace_id, flags) == ("00", *TRACE) for version, trace_id, _span, flags in parts)
    assert all(len(bytes.fromhex(span)) == 8 for _version, _trace, span, _flags in parts)
    return {span for _version, _trace, span, _flags in parts}


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
            trace=TRACE,
        )
        assert connector.fetch_entity("USER", "a1")
        paths = [seen.path for seen in service.seen]
        assert (len(paths), paths.count("/oauth/token")) == (4, 2)
        assert len(spans(service.seen)) == 4


def test_a_signed_request_stays_valid() -> None:
    consumer = Consumer()
    server = OAuth1Server(lambda _: Reply(200, {"id": "1"}), consumer)
    with serving(server) as service:
        target = shop(
            service.url,
            authentication={"scheme": "oauth1"},
            credentials=consumer.credentials,
            trace=TRACE,
        )
        target.create_record("USER", {"email": "a@b.test"}, "k")
        assert len(spans(service.seen)) == 1
    assert server.reasons == []


@pytest.mark.parametrize("name", ["traceparent", "TraceParent"])
def test_a_header_of_the_settings_is_sent_instead_and_alone(name: str) -> None:
    notebook = MemoryRecorder()
    with serving(lambda _: Reply(200, {"id": "1"})) as service:
        settings = shop_settings() | {"headers": {name: "of the settings"}}
        target = shop(service.url, notebook, settings=settings, trace=TRACE)
        target.get_record("USER", "1")
        target.update_record("USER", "1", {"email": "a@b.test"}, "k")
        assert [seen.headers["traceparent"] for seen in service.seen] == ["of the settings"] * 2
    for request in notebook.sent:
        assert [name for name in request.headers if name.lower() == "traceparent"] == [name]
