"""The control API below ``/_sandbox/``: faults, journal and reset.

Its requests need no token, are not recorded in the journal, and meet no fault.
"""

from collections.abc import Callable

from sandbox.base.request_journal import RequestJournal
from sandbox.faults.rules import FaultSwitches
from sandbox.http.messages import HttpError, Request, Response
from sandbox.http.router import Router


def build_control_router(faults: FaultSwitches, journal: RequestJournal, reset: Callable[[], None]) -> Router:
    """Return the routes of the control API."""

    def list_faults(request: Request) -> Response:
        return Response.from_json(200, {"faults": [fault.as_json() for fault in faults.list_active()]})

    def add_fault(request: Request) -> Response:
        return Response.from_json(201, faults.add_from_json(request.parse_json_object()).as_json())

    def clear_faults(request: Request) -> Response:
        return Response.from_json(200, {"cleared": faults.clear()})

    def clear_fault(request: Request, number: str) -> Response:
        if not faults.clear(parse_whole_number(number, "The fault's id")):
            raise HttpError(404, "There is no such fault.")
        return Response(204)

    def read_journal(request: Request) -> Response:
        since = parse_whole_number(request.query.get("since", "0"), "since")
        entries = journal.list_entries(since, only_writes=request.query.get("writes") in {"1", "true"})
        return Response.from_json(200, {"entries": entries, "last": entries[-1]["n"] if entries else since})

    def clear_journal(request: Request) -> Response:
        journal.clear()
        return Response(204)

    def reset_service(request: Request) -> Response:
        reset()
        return Response(204)

    return Router(
        ("GET", "/_sandbox/faults", list_faults),
        ("POST", "/_sandbox/faults", add_fault),
        ("DELETE", "/_sandbox/faults", clear_faults),
        ("DELETE", "/_sandbox/faults/{}", clear_fault),
        ("GET", "/_sandbox/journal", read_journal),
        ("DELETE", "/_sandbox/journal", clear_journal),
        ("POST", "/_sandbox/reset", reset_service),
    )


def parse_whole_number(text: str, name: str) -> int:
    """Return the number in ``text``.

    Raises HttpError (400), which names the parameter ``name``, if it is not a number of at most 12 digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise HttpError(400, f"{name} must be a whole number.")
    return int(text)
