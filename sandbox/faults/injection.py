"""The effect of faults on the response to a request."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sandbox.faults.alterations import (
    alter_stored_field,
    drop_filters,
    forbid_absent,
    give_numeric_ids,
    give_unverified,
)
from sandbox.faults.echoes import add_echo, build_echo_error
from sandbox.faults.rules import COMBINED, DELAYS, Fault
from sandbox.http.messages import HTML, FieldError, HttpError, Request, Response

_HTML_PAGE = b"<!doctype html><title>Maintenance</title><h1>We will be right back</h1>"
_DEFAULT_MESSAGES = {
    "error": "Something went wrong on our side.",
    "after": "Something went wrong on our side.",
    "throttle": "Too many requests.",
    "refuse": "This change is not allowed.",
    "hide": "Nothing was found at this address.",
}

RequestAction = Callable[[Request], Response]
"""Executes a request and returns the regular response."""
ErrorBuilder = Callable[[HttpError], Response]
"""Returns an error in the JSON format of the service."""


def apply_faults(
    faults: Sequence[Fault],
    request: Request,
    apply_request: RequestAction,
    build_error_response: ErrorBuilder,
) -> Response | None:
    """Return the response under these faults, after their delays; None to close the connection without a response."""

    def respond_altered() -> Response:
        return _alter_response(faults, apply_request(_alter_request(faults, request)), build_error_response)

    # An `applied` change is made before any delay: a client that stops waiting has still made it.
    response = respond_altered() if any(fault.applied for fault in faults) else None
    for fault in faults:
        if fault.kind in DELAYS:
            fault.cleared.wait(fault.seconds)
    main_fault = next((fault for fault in faults if fault.kind not in COMBINED), None)
    match main_fault:
        case None:
            return response or respond_altered()
        case Fault(kind="drip"):
            return replace(
                response or respond_altered(), drip_seconds=main_fault.seconds, drip_ended=main_fault.cleared
            )
        case Fault(kind="garbage"):
            return Response(200, _HTML_PAGE, HTML)
        case Fault(kind="echo") if response is not None:
            return add_echo(request, response, main_fault.encoding or "plain")
        case Fault(kind="drop" | "hang"):
            if main_fault.kind == "hang":
                main_fault.cleared.wait(main_fault.seconds)
            return None
    return build_error_response(_build_error(main_fault, request))


def _alter_request(faults: Sequence[Fault], request: Request) -> Request:
    for fault in faults:
        match fault:
            case Fault(kind="alter", field=str(field), stores=str(form)):
                request = alter_stored_field(request, field, form)
            case Fault(kind="unfiltered"):
                request = drop_filters(request)
    return request


def _alter_response(
    faults: Sequence[Fault], response: Response, build_error_response: ErrorBuilder
) -> Response:
    for fault in faults:
        match fault.kind:
            case "forbid":
                response = forbid_absent(response, build_error_response)
            case "numeric":
                response = give_numeric_ids(response)
            case "unverified":
                response = give_unverified(response)
    return response


def _build_error(fault: Fault, request: Request) -> HttpError:
    if fault.kind == "echo":
        return build_echo_error(request, fault.status, fault.sentence or "", fault.encoding or "plain")
    message = fault.sentence or _DEFAULT_MESSAGES[fault.kind]
    errors = (FieldError(fault.field, "refused", message),) if fault.field else ()
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return HttpError(fault.status, message, errors, headers)


def describe_faults(faults: Sequence[Fault]) -> str | None:
    """Return the kinds of the faults for the journal; None without faults."""
    return "+".join(fault.kind for fault in faults) or None
