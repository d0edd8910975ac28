"""A large body is read only of a sender who may send one: the others cost the memory of a usual webhook."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.processes.hub_processes import RunningHub
from tests.web_server.conftest import StartHub
from tests.web_server.raw_client import exchange, open_link, read_answer
from tests.web_server.raw_requests.case import webhook

pytestmark = [pytest.mark.submission, pytest.mark.concurrent, pytest.mark.one_database]

LINE = b"POST /webhooks/%s HTTP/1.1"
LOGIN = b"POST /admin/login/ HTTP/1.1"
EVENT = b'{"id":"D-1","entityType":"DEVICE","eventType":"UPDATE","x":"%s"}' % (b"x" * 70_000)


@pytest.fixture(scope="module")
def hub(start_hub: StartHub) -> Iterator[RunningHub]:
    """A hub of which one source accepts large bodies. Each client is one address to it: a proxy says so."""
    with start_hub(TRUSTED_PROXIES="1") as running:
        document = json.dumps({"max_bytes": 1_048_576})
        running.write(
            f"UPDATE webhooks_source SET webhook_format = '{document}' WHERE slug = 'aurora-unsigned'"
        )
        time.sleep(1.5)  # sources are cached
        yield running


def chunked(body: bytes) -> bytes:
    return b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece)
        for piece in (body[start : start + 30_000] for start in range(0, len(body), 30_000))
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (LINE % b"aurora-unsigned", 200),
        (LINE % b"%61urora-unsigned/", 200),
        (LINE % b"aurora", 413),
        (LINE % b"nobody", 404),
        (LINE % b"%00", 404),
        (LOGIN, 403),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_is_refused_unless_its_source_accepts_it(
    hub: RunningHub, line: bytes, status: int, is_chunked: bool
) -> None:
    if is_chunked:
        request = webhook(
            "Transfer-Encoding: chunked", line=line, length=False, body=chunked(EVENT) + b"0\r\n\r\n"
        )
    else:
        request = webhook(line=line, body=EVENT)
    assert read_answer(exchange(hub.port, request))[0] == status


def test_what_may_not_be_sent_is_not_awaited(hub: RunningHub) -> None:
    """The rest of the body would be waited for until the time of the request is over."""
    for line, status in ((LINE % b"aurora", 413), (LOGIN, 403)):
        beginning = webhook("Content-Length: 100000", line=line, length=False)
        began = time.monotonic()
        assert read_answer(exchange(hub.port, beginning))[0] == status
        assert time.monotonic() - began < 5


def test_an_address_has_two_large_bodies_at_once(hub: RunningHub) -> None:
    def beginning(address: str) -> bytes:
        return webhook("Content-Length: 100000", f"X-Forwarded-For: 192.0.2.250, {address}", length=False)

    with ExitStack() as stack:
        for address in ("198.51.100.1", "198.51.100.1:4711", "198.51.100.2"):
            link = stack.enter_context(open_link(hub.port, beginning(address)))
        time.sleep(0.5)
        status, headers, _ = read_answer(exchange(hub.port, beginning("198.51.100.1")))
        assert (status, headers["Retry-After"]) == (429, "5")
        for _ in range(2):
            large = webhook("X-Forwarded-For: 198.51.100.2", body=EVENT)
            assert read_answer(exchange(hub.port, large))[0] == 200
        assert link.fileno() > 0
