"""Find out what credentials may do, by requests that change nothing. So a permission to write is never proved."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from connectors.client.http_client import HttpClient
from connectors.client.probe_requests import read_allowed_methods
from connectors.contracts.errors import ConnectorError, CredentialsRefused
from connectors.contracts.permissions import PermissionAnswer, PermissionFinding
from connectors.contracts.types import ABSENT_ID
from connectors.http.placeholders import find_placeholders

# With the request for the list, at most four requests for one permission.
MAX_READS = 3


def check_call(finding: PermissionFinding, send: Callable[[], Any]) -> PermissionFinding:
    """Return the finding of a request: granted if it succeeds."""
    try:
        send()
    except ConnectorError as error:
        return _finding_of_error(finding, error)
    return replace(finding, answer=PermissionAnswer.GRANTED)


def check_items(
    finding: PermissionFinding,
    list_ids: Callable[[], Sequence[str] | None],
    is_readable: Callable[[str], bool],
    request_absent_item: Callable[[], None],
) -> PermissionFinding:
    """Return the finding of reading listed items by their own path, up to the first that can be read.

    Where nothing is listed, an id that does not exist is requested: a refusal of it shows something, any other answer
    does not.
    """
    refusal: ConnectorError | None = None
    item_ids = _list_if_possible(list_ids)[:MAX_READS]
    for item_id in item_ids:
        try:
            if is_readable(item_id):
                answer = PermissionAnswer.PARTLY if refusal else PermissionAnswer.GRANTED
                return replace(finding, answer=answer, status=refusal.status if refusal else None)
        except CredentialsRefused as error:
            refusal = error
        except ConnectorError as error:
            return _finding_of_error(finding, error)
    if refusal is not None:
        return _finding_of_error(finding, refusal)
    if item_ids:
        # Listed, and not found by their own path.
        return replace(finding, answer=PermissionAnswer.FAILED)
    try:
        request_absent_item()
    except ConnectorError as error:
        return _finding_of_error(finding, error)
    return finding


def check_methods(
    finding: PermissionFinding,
    client: HttpClient,
    calls: Sequence[tuple[str, str]],
) -> PermissionFinding:
    """Return the finding of asking which methods are accepted, for `calls`: methods with their path templates.

    Never granted: the system says what a path accepts, and only a write would show what these credentials may do.
    """
    accepted: dict[str, frozenset[str]] = {}
    for path in dict.fromkeys(path for _, path in calls):
        # A system that knows its paths answers for any id.
        values = dict.fromkeys(find_placeholders(path), ABSENT_ID)
        try:
            accepted[path] = read_allowed_methods(client, path, values)
        except ConnectorError:
            return finding
    missing = tuple(
        f"{method} {path}" for method, path in calls if accepted[path] and method not in accepted[path]
    )
    answer = PermissionAnswer.NOT_ACCEPTED if missing else finding.answer
    return replace(finding, answer=answer, missing=missing, is_declared=all(accepted.values()))


def _list_if_possible(list_ids: Callable[[], Sequence[str] | None]) -> Sequence[str]:
    """Return the listed ids; none if there is no list, or if it cannot be read."""
    try:
        return list_ids() or ()
    except ConnectorError:
        return ()


def _finding_of_error(finding: PermissionFinding, error: ConnectorError) -> PermissionFinding:
    is_refusal = isinstance(error, CredentialsRefused)
    answer = PermissionAnswer.REFUSED if is_refusal else PermissionAnswer.FAILED
    return replace(finding, answer=answer, status=error.status)
