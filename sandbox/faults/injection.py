"""What a fault does to an answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sandbox.faults.rules import Fault
from sandbox.http.messages import HTML, Answer, FieldError, Problem

_GARBAGE = b"<!doctype html><title>Maintenance</title><h1>We will be right back</h1>"
_SENTENCES = {
    "error": "Something went wrong on our side.",
    "after": "Something went wrong on our side.",
    "throttle": "Too many requests.",
    "refuse": "This change is not allowed.",
}

Apply = Callable[[], Answer]
"""Does what the request asks and gives the honest answer."""


def disturb(faults: Sequence[Fault], apply: Apply, explain: Callable[[Problem], Answer]) -> Answer | None:
    """The answer under these faults; None to close the connection without one. Waits as long as they say."""
    applied = apply() if any(fault.applied for fault in faults) else None
    for fault in faults:
        if fault.kind == "slow":
            fault.cleared.wait(fault.seconds)
    last = next((fault for fault in faults if fault.kind != "slow"), None)
    match last:
        case None:
            return applied or apply()
        case Fault(kind="drip"):
            return replace(applied or apply(), drip=last.seconds, released=last.cleared)
        case Fault(kind="garbage"):
            return Answer(200, _GARBAGE, HTML)
        case Fault(kind="drop"):
            return None
        case Fault(kind="hang"):
            last.cleared.wait(last.seconds)
            return None
    return explain(_problem(last))


def _problem(fault: Fault) -> Problem:
    sentence = fault.sentence or _SENTENCES[fault.kind]
    errors = (FieldError(fault.field, "refused", sentence),) if fault.field else ()
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return Problem(fault.status, sentence, errors, headers)


def journal_words(faults: Sequence[Fault]) -> str | None:
    """The kinds, for the journal; None where there was no fault."""
    return "+".join(fault.kind for fault in faults) or None
