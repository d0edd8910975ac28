"""Find the address of the next page that a system names, and check that it is below the base URL of the connection."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_plus, urljoin, urlsplit

from connectors.client.connector_request import ConnectorRequest
from connectors.client.http_client import HttpClient
from connectors.http.query_parameters import Query, group_pairs
from connectors.http.urls import BaseUrl, check_id, is_plain_path

# Of a `Link` header: more of it is not read.
_MAX_LINK_LENGTH = 16_384
_MAX_LINKS = 50
_MAX_PARAMETERS = 50
_PLACEHOLDER_NAMES = tuple(f"page_{letter}" for letter in "abcdefghij")


class NextAddress(NamedTuple):
    """An address below the base URL: a path template, its values, and a query."""

    path: str
    path_values: Mapping[str, str]
    query: Query


def find_next_link(header: str) -> str | None:
    """Return the target of the link with the relation `next` of a `Link` header (RFC 8288); None if there is none."""
    rest = header[:_MAX_LINK_LENGTH]
    for _ in range(_MAX_LINKS):
        _, opening, rest = rest.partition("<")
        target, closing, rest = rest.partition(">")
        if not opening or not closing:
            return None
        # The parameters end where the next target begins, but for a quoted `<`.
        parameters, rest = _split_parameters(rest)
        if "next" in _relations(parameters):
            return target.strip()
    return None


def _split_parameters(text: str) -> tuple[list[str], str]:
    """Return the parameters of a link, and what follows the comma after them."""
    parts, start, is_quoted = [], 0, False
    for place, character in enumerate(text):
        if character == '"':
            is_quoted = not is_quoted
        elif not is_quoted and character in ",;":
            parts.append(text[start:place])
            start = place + 1
            if character == ",":
                return parts, text[start:]
    return [*parts, text[start:]], ""


def _relations(parameters: list[str]) -> list[str]:
    """Return the relation types of a link, in lower case. Only the first `rel` counts (RFC 8288, 3.3)."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "rel":
            return value.strip().strip('"').lower().split()
    return []


def follow_address(
    client: HttpClient, settings_path: str, request: ConnectorRequest, target: str
) -> NextAddress:
    """Return an address of the system, or a stored one, in parts. Raises UnsafeRequest if it is not below the base
    URL.
    """
    path, query = _split_address(client, settings_path, request, target)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise client.unsafe_error(f"{request.label}: the address of the next page cannot be read") from None
    template, values = _as_template(client, request, settings_path, path)
    return NextAddress(template, values, group_pairs(pairs))


def shorten_address(client: HttpClient, settings_path: str, request: ConnectorRequest, target: str) -> str:
    """Return an address of the system as it is stored: its path below the base URL, and its query without the
    parameters that repeat a secret, which each request has anyway. Raises what `follow_address` raises.
    """
    follow_address(client, settings_path, request, target)
    path, query = _split_address(client, settings_path, request, target)
    public = [part for part in query.split("&") if part and not _is_secret(client, part)]
    return f"{path}?{'&'.join(public)}" if public else path


def _is_secret(client: HttpClient, parameter: str) -> bool:
    return unquote_plus(parameter.partition("=")[0]) in client.secret_parameters or client.contains_secret(
        parameter
    )


def _split_address(
    client: HttpClient, settings_path: str, request: ConnectorRequest, target: str
) -> tuple[str, str]:
    """Return the path below the base URL and the query. Raises UnsafeRequest."""
    base = client.base_url
    try:
        parts = urlsplit(urljoin(f"{base.origin}{base.prefix}{settings_path}", target))
        is_below = _is_below(base, parts.scheme, parts.netloc, parts.path)
    except ValueError:
        raise client.unsafe_error(f"{request.label}: the address of the next page cannot be read") from None
    if not is_below or "\\" in target:
        raise client.unsafe_error(f"{request.label}: the address of the next page is not below the base URL")
    return parts.path[len(base.prefix) :], parts.query


def _is_below(base: BaseUrl, scheme: str, host: str, path: str) -> bool:
    default = {"https": 443, "http": 80}[base.scheme]
    own = {base.origin, *([f"{base.origin}:{default}"] if base.port is None else [])}
    if base.port == default:
        own.add(base.origin.removesuffix(f":{default}"))
    return f"{scheme}://{host.lower()}" in own and is_plain_path(path) and path.startswith(f"{base.prefix}/")


def _as_template(
    client: HttpClient, request: ConnectorRequest, settings_path: str, path: str
) -> tuple[str, Mapping[str, str]]:
    """Return a path as a template, and its values: what is not in the settings is not shown in records."""
    known_segments, segments = settings_path.split("/"), path.split("/")
    values: dict[str, str] = {}
    for place, segment in enumerate(segments):
        if place < len(known_segments) and segment == known_segments[place]:
            continue
        if len(values) == len(_PLACEHOLDER_NAMES) or not segment:
            raise client.unreadable_error(request, "the address of the next page has an unexpected form")
        name = _PLACEHOLDER_NAMES[len(values)]
        try:
            values[name] = check_id(segment)
        except ValueError as unsafe:
            raise client.unsafe_error(f"{request.label}: {unsafe}") from None
        segments[place] = f"{{{name}}}"
    return "/".join(segments), values
