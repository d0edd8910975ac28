"""``/_sandbox/``: faults, journal and reset by JSON. No token, no fault and no journal entry here."""

from collections.abc import Callable

from sandbox.base.request_log import Journal
from sandbox.faults.rules import Faults
from sandbox.http.messages import Answer, Problem, Request
from sandbox.http.router import Router


def control_routes(faults: Faults, journal: Journal, start_over: Callable[[], None]) -> Router:
    def list_faults(request: Request) -> Answer:
        return Answer.of_json(200, {"faults": [fault.as_json() for fault in faults.active()]})

    def add_fault(request: Request) -> Answer:
        return Answer.of_json(201, faults.add_json(request.json_object()).as_json())

    def clear_faults(request: Request) -> Answer:
        return Answer.of_json(200, {"cleared": faults.clear()})

    def clear_fault(request: Request, number: str) -> Answer:
        if not faults.clear(whole_number(number, "The fault's id")):
            raise Problem(404, "There is no such fault.")
        return Answer(204)

    def read_journal(request: Request) -> Answer:
        since = whole_number(request.query.get("since", "0"), "since")
        entries = journal.entries(since, writes=request.query.get("writes") in {"1", "true"})
        return Answer.of_json(200, {"entries": entries, "last": entries[-1]["n"] if entries else since})

    def clear_journal(request: Request) -> Answer:
        journal.clear()
        return Answer(204)

    def reset(request: Request) -> Answer:
        start_over()
        return Answer(204)

    return Router(
        ("GET", "/_sandbox/faults", list_faults),
        ("POST", "/_sandbox/faults", add_fault),
        ("DELETE", "/_sandbox/faults", clear_faults),
        ("DELETE", "/_sandbox/faults/{}", clear_fault),
        ("GET", "/_sandbox/journal", read_journal),
        ("DELETE", "/_sandbox/journal", clear_journal),
        ("POST", "/_sandbox/reset", reset),
    )


def whole_number(text: str, name: str) -> int:
    """The number.

    Raises Problem (400) where it is not one of at most 12 digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Problem(400, f"{name} must be a whole number.")
    return int(text)
