"""Requests that only test what a system answers: for items that do not exist, for a page, for allowed methods."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.contracts import errors
from connectors.contracts.types import ABSENT_ID_STATUSES, ABSENT_IDS
from connectors.settings.shared_settings import ReadRequest
from connectors.values.answer_meaning import AnswerRule

_ERROR_STATUSES = frozenset(range(300, 600))
# Names of methods that a response may hold; anything else in it is ignored.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Longer than a list of all methods.
_MAX_ALLOW_LENGTH = 200


def request_absent_item(
    client: HttpClient,
    request: ConnectorRequest,
    name_item: Callable[[ConnectorRequest, str], ConnectorRequest] | None = None,
) -> None:
    """Request an item that does not exist, to test the credentials. Raises what `send_request` raises.

    `name_item` puts an id into the request; without it, the path has the placeholder `{id}`.
    """
    request_absent_items(
        client,
        [
            replace(request, path_values={"id": absent_id})
            if name_item is None
            else name_item(request, absent_id)
            for absent_id in ABSENT_IDS
        ],
    )


def request_absent_items(client: HttpClient, requests: Sequence[ConnectorRequest]) -> None:
    """Send requests for items that do not exist, until the system can answer one. Raises what `send_request`
    raises.
    """
    for request in requests:
        try:
            client.send_request(replace(request, accepted_statuses=ABSENT_ID_STATUSES))
        except errors.SystemUnavailable as failure:
            # Some systems fail on an id of another form than theirs.
            if failure.status is None or request is requests[-1]:
                raise
        else:
            return


def can_send(client: HttpClient, probe: ReadRequest | None, answers: tuple[AnswerRule, ...] = ()) -> bool:
    """Return True if the system answers a configured request with a success; False if there is none."""
    if probe is None:
        return False
    client.send_request(ConnectorRequest("probe", "GET", probe.path, query=probe.query, answers=answers))
    return True


def read_allowed_methods(
    client: HttpClient, path_template: str, path_values: Mapping[str, str]
) -> frozenset[str]:
    """Ask by OPTIONS which methods a path accepts; none if the system does not say.

    The answer is about the path (RFC 9110, 10.2.1), not about the credentials.
    """
    request = ConnectorRequest(
        "probe", "OPTIONS", path_template, path_values=path_values, accepted_statuses=_ERROR_STATUSES
    )
    answer = client.send_request(request)
    # 405 has the header too; in other errors it is about something else, if it is there at all.
    allow = answer.headers.get("allow", "") if answer.status < 300 or answer.status == 405 else ""
    names = {name.strip().upper() for name in allow[:_MAX_ALLOW_LENGTH].split(",")}
    return frozenset(names & _METHODS)
