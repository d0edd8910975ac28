"""Settings that identity services and targets have in common. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from config_schema.kinds import Choice
from config_schema.objects import Object
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.http.dns import Network
from sync.connectors.http.query_parameters import Query
from sync.connectors.settings.setting_kinds import (
    Certificates,
    Expression,
    HeaderName,
    Headers,
    Networks,
    PathTemplate,
    QueryParameters,
)
from sync.connectors.values.json_responses import WaitHeader, WaitUnit


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A GET request without placeholders."""

    path: str
    query: Query


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Settings of the HTTP connection, common to both sides."""

    headers: Mapping[str, str]
    ca_certificates: str | None
    allowed_networks: tuple[Network, ...]


EXAMPLE_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIUeIhZT3K3hUH5KYqDy817KPzLiVEwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKY2EuZXhhbXBsZTAgFw0yNjExMjgyMDAzMDJaGA8yMTI2MTEw
NDIwMDMwMlowFTETMBEGA1UEAwwKY2EuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABKjgOFAx2N/RM1M4Aizi+odwjb1fCOGMFw7IR8ZBQYXUkQP7MUyG
IGu+0tGQ4qbNQMPsJlA0b7XMvMwaXu0d8CejUzBRMB0GA1UdDgQWBBRELD+2H3bR
gcKhpx79YtsUTK8yiDAfBgNVHSMEGDAWgBRELD+2H3bRgcKhpx79YtsUTK8yiDAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIA1jAXT9CMU1ITQhw1qZ
dPTz/Y29xRj4xl/SxnqUgNbgAiEA+L4tiowLxg+ISB/GhH+WfCy1Si0wlcUl7Wsa
cmr1lvQ=
-----END CERTIFICATE-----
"""

HEADERS = defaulted(
    "headers",
    Headers(),
    {},
    "Additional headers of every request. A secret is refused here: enter it as a credential.",
    example={"Accept-Language": "en"},
)
CA = optional(
    "ca",
    Certificates(),
    "Certificates of the authorities to trust for this connection, instead of the public ones.",
    example=EXAMPLE_CERTIFICATE,
)
NETWORKS = defaulted(
    "networks",
    Networks(),
    [],
    "The only networks that the host may resolve to. Link-local, multicast and metadata addresses are "
    "refused in any case.",
    example=["10.20.0.0/16"],
)
OPTIONS = (HEADERS, CA, NETWORKS)

ERROR_SENTENCE = optional(
    "sentence",
    Expression(),
    "Where the message is in an error response. It is shown with the failure.",
    example="message",
)
ERROR_FIELDS = optional(
    "fields",
    Expression(),
    "Where the list of field errors is in an error response. It must give objects with `field`, `code` and `detail`; "
    "at most 20 are read.",
    example="errors[].{field: field, code: code, detail: message}",
)
ERROR_HEADER = optional(
    "header",
    HeaderName(),
    "The header of an error response that has the message, if `sentence` finds none.",
    example="X-Status-Reason",
)
ERROR_WAIT = optional(
    "wait",
    Expression(),
    "Where the seconds to wait before the next request are in an error response, if it has no `Retry-After` header. A "
    "number, or a text of digits; at most an hour counts.",
    example="retry_after",
)
_WAIT_HEADER_NAME = required("name", HeaderName(), "The name of the header.", example="X-RateLimit-Reset")
_WAIT_HEADER_UNIT = required(
    "unit",
    Choice(tuple(unit.value for unit in WaitUnit)),
    "What the header holds: `seconds` or `milliseconds` to wait, or the `time` when the wait is over, in seconds since "
    "1970.",
    example="time",
)
ERROR_WAIT_HEADER = optional(
    "wait_header",
    Object(
        (_WAIT_HEADER_NAME, _WAIT_HEADER_UNIT),
        lambda values: WaitHeader(values[_WAIT_HEADER_NAME].lower(), WaitUnit(values[_WAIT_HEADER_UNIT])),
    ),
    "The header of an error response that has the wait, if there is no `Retry-After` header and `wait` finds "
    "nothing. It counts only if the response means `throttled`, because some systems send it with every "
    "response; at most an hour counts.",
    example={"name": "X-RateLimit-Reset", "unit": "time"},
)
ERROR_HINTS = {
    "when": translatable(
        "Unknown field. Write a rule of “answers” instead, whose “when” sees the response as {status, headers, body}: "
        "{“status”: “2xx”, “when”: “body.error”, “means”: “refused”}."
    )
}

PROBE_PATH = required("path", PathTemplate(), "The path of the request.", example="/ping")
PROBE_QUERY = defaulted(
    "query", QueryParameters(), {}, "Query parameters of the request.", example={"verbose": "false"}
)
PROBE = optional(
    "probe",
    Object((PROBE_PATH, PROBE_QUERY), lambda values: ReadRequest(values[PROBE_PATH], values[PROBE_QUERY])),
    "A GET request that succeeds as long as the credentials are valid, for a system without a list. The "
    "connection test uses it to check the credentials, and it decides when the pause of a connection ends.",
    example={"path": "/ping"},
)


def read_options(values: SettingValues) -> ConnectionOptions:
    """Return the options of the HTTP connection."""
    return ConnectionOptions(values[HEADERS], values[CA], values[NETWORKS])
