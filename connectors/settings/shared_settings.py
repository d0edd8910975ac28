"""Settings that identity services and targets have in common. Pure."""

from collections.abc import Mapping

from config_schema.declared import Declared, nullable, setting
from config_schema.kinds import Choice
from connectors.http.egress import Network
from connectors.http.query_parameters import Query
from connectors.settings.setting_kinds import (
    Certificates,
    Expression,
    HeaderName,
    Headers,
    Networks,
    PathTemplate,
    QueryParameters,
)
from connectors.values.json_responses import ErrorExtractor, JmesPathExpression, WaitHeader, WaitUnit

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


class ReadRequest(Declared):
    """A GET request without placeholders."""

    path: str = setting(PathTemplate(), "The path of the request.", example="/ping")
    query: Query = setting(
        QueryParameters(), "Query parameters of the request.", default={}, example={"verbose": "false"}
    )


class ProbeSettings(Declared):
    """The request that only tests the credentials."""

    probe: ReadRequest | None = nullable(
        ReadRequest.kind,
        "A GET request that succeeds as long as the credentials are valid, for a system without a list. The "
        "connection test uses it to check the credentials, and it decides when the pause of a connection ends.",
        example={"path": "/ping"},
    )


class ConnectionOptions(Declared):
    """Settings of the HTTP connection, common to both sides."""

    headers: Mapping[str, str] = setting(
        Headers(),
        "Additional headers of every request. A secret is refused here: enter it as a credential.",
        default={},
        example={"Accept-Language": "en"},
    )
    ca: str | None = nullable(
        Certificates(),
        "Certificates of the authorities to trust for this connection, instead of the public ones.",
        example=EXAMPLE_CERTIFICATE,
    )
    networks: tuple[Network, ...] = setting(
        Networks(),
        "The only networks that the host may resolve to, of those that the hub may contact at all (`EGRESS_ALLOW`).",
        default=[],
        example=["10.20.0.0/16"],
    )


class WaitSettings(WaitHeader, Declared):
    """The header that says how long to wait."""

    name: str = setting(HeaderName(is_folded=True), "The name of the header.", example="X-RateLimit-Reset")
    unit: WaitUnit = setting(
        Choice(tuple(WaitUnit)),
        "What the header holds: `seconds` or `milliseconds` to wait, or the `time` when the wait is over, in seconds "
        "since 1970.",
        example="time",
    )


class ErrorSettings(ErrorExtractor, Declared):
    """What the error responses of an identity service say."""

    sentence: JmesPathExpression | None = nullable(
        Expression(),
        "Where the message is in an error response. It is shown with the failure.",
        example="message",
    )
    header: str | None = nullable(
        HeaderName(is_folded=True),
        "The header of an error response that has the message, if `sentence` finds none.",
        example="X-Status-Reason",
    )
    wait: JmesPathExpression | None = nullable(
        Expression(),
        "Where the seconds to wait before the next request are in an error response, if it has no `Retry-After` "
        "header. A number, or a text of digits; at most an hour counts.",
        example="retry_after",
    )
    wait_header: WaitSettings | None = nullable(
        WaitSettings.kind,
        "The header of an error response that has the wait, if there is no `Retry-After` header and `wait` finds "
        "nothing. It counts only if the response means `throttled`, because some systems send it with every "
        "response; at most an hour counts.",
        example={"name": "X-RateLimit-Reset", "unit": "time"},
    )

    hints = {
        "when": (
            "Unknown field. Write a rule of “answers” instead, whose “when” sees the response as {status, headers, "
            "body}: {“status”: “2xx”, “when”: “body.error”, “means”: “refused”}."
        )
    }


class TargetErrorSettings(ErrorSettings):
    """What the error responses of a target say."""

    fields: JmesPathExpression | None = nullable(
        Expression(),
        "Where the list of field errors is in an error response. It must give objects with `field`, `code` and "
        "`detail`; at most 20 are read.",
        example="errors[].{field: field, code: code, detail: message}",
    )
