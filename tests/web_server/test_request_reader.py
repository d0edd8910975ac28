"""A request is read alike in whichever pieces it arrives."""

from typing import Any

import pytest
from gunicorn.config import Config

from integration_hub.web_server.refusals import RefusedRequest
from integration_hub.web_server.request_reader import RequestReader
from tests.web_server.raw_requests import CASES
from tests.web_server.raw_requests.case import PATH, WEBHOOK, Case, webhook

pytestmark = pytest.mark.pure

CONFIG = Config()
KINDS = sorted({case.kind for case in CASES})
SHORT = 2_000


def read(*pieces: bytes) -> tuple[Any, ...]:
    """Return what comes of a request: a refusal's status, the facts of a whole request and what follows, or a word."""
    reader = RequestReader(CONFIG, ("192.0.2.1", 1))
    try:
        for number, piece in enumerate(pieces):
            reader.feed(piece)
            if reader.is_complete:
                rest = bytes(reader.buffer) + b"".join(pieces[number + 1 :])
                request = reader.request
                if reader.is_cut_off:
                    return "too large", request.method, request.path
                return request.method, request.path, request.headers, request.body.getvalue(), rest
    except RefusedRequest as refusal:
        return (refusal.status,)
    return ("incomplete",)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_read_alike_in_any_pieces(kind: str) -> None:
    for case in CASES:
        if case.kind == kind and len(case.data) <= SHORT:
            whole = read(case.data)
            assert {str(case): read(*in_pieces(case.data, size)) for size in (1, 3, 50)} == {str(case): whole}


def test_a_request_is_incomplete_until_its_last_byte() -> None:
    for data in (webhook(), next(case.data for case in CASES if case.kind == "fine extension")):
        assert {read(data[:size]) for size in range(len(data))} == {("incomplete",)}
        assert read(data)[3:] == (WEBHOOK, b"")


def test_what_cannot_become_a_request_is_refused_before_its_end() -> None:
    assert read(b"\x16\x03\x01") == (400,)
    assert read(b"GET / HTTP/1.1\nHost: localhost") == (400,)
    assert read(b"A" * 5_000) == (414,)
    assert read(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 12_000) == (431,)


def test_only_forms_of_the_console_may_be_larger_than_a_webhook() -> None:
    large = webhook("Content-Length: 70000", length=False, body=b"")
    form = large.replace(PATH.encode(), b"/admin/")
    assert read(large)[0] == "too large"
    assert read(form) == ("incomplete",)
    assert read(form.replace(b"70000", b"3000000"))[0] == "too large"


def test_the_largest_form_arrives_in_whole() -> None:
    case = Case("", "", webhook(line=b"POST /admin/ HTTP/1.1", body=b"x" * 2_621_440))
    assert len(read(*in_pieces(case.data, 65_536))[3]) == 2_621_440
