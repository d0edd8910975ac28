"""The effect of faults on the response to a request."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sandbox.faults.rules import Fault
from sandbox.http.messages import HTML, FieldError, HttpError, Response

_HTML_PAGE = b"<!doctype html><title>Maintenance</title><h1>We will be right back</h1>"
_DEFAULT_MESSAGES = {
    "error": "Something went wrong on our side.",
    "after": "Something went wrong on our side.",
    "throttle": "Too many requests.",
    "refuse": "This change is not allowed.",
}

RequestAction = Callable[[], Response]
"""Executes the request and returns the regular response."""


def apply_faults(
    faults: Sequence[Fault],
    apply_request: RequestAction,
    build_error_response: Callable[[HttpError], Response],
) -> Response | None:
    """Return the response under these faults, after their delays; None to close the connection without a response."""
    # An `applied` change is made before any delay: a client that stops waiting has still made it.
    response = apply_request() if any(fault.applied for fault in faults) else None
    for fault in faults:
        if fault.kind == "slow":
            fault.cleared.wait(fault.seconds)
    main_fault = next((fault for fault in faults if fault.kind != "slow"), None)
    match main_fault:
        case None:
            return response or apply_request()
        case Fault(kind="drip"):
            return replace(
                response or apply_request(), drip_seconds=main_fault.seconds, drip_ended=main_fault.cleared
            )
        case Fault(kind="garbage"):
            return Response(200, _HTML_PAGE, HTML)
        case Fault(kind="drop"):
            return None
        case Fault(kind="hang"):
            main_fault.cleared.wait(main_fault.seconds)
            return None
    return build_error_response(_build_error(main_fault))


def _build_error(fault: Fault) -> HttpError:
    message = fault.sentence or _DEFAULT_MESSAGES[fault.kind]
    errors = (FieldError(fault.field, "refused", message),) if fault.field else ()
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return HttpError(fault.status, message, errors, headers)


def describe_faults(faults: Sequence[Fault]) -> str | None:
    """Return the kinds of the faults for the journal; None without faults."""
    return "+".join(fault.kind for fault in faults) or None
