"""Requests as bytes, by class: what a client may send over a socket, and what it must be answered."""

from tests.web_server.raw_requests import body_lengths, chunks, heads, lines, targets
from tests.web_server.raw_requests.case import Case

CASES: tuple[Case, ...] = tuple(
    case for module in (lines, heads, body_lengths, chunks, targets) for case in module.CASES
)
