"""Configuration of the HTTP client: of a connection, and of one attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.auth.authentication import Authenticator
from connectors.auth.placed_secrets import PlacedSecret
from connectors.contracts import errors
from connectors.exchange import RequestSigner, merge_headers
from connectors.http.client_certificates import ClientCertificate
from connectors.http.urls import BaseUrl
from connectors.settings.shared_settings import ConnectionOptions
from connectors.values.answer_meaning import AnswerRule
from connectors.values.json_responses import ErrorExtractor
from connectors.values.secret_forms import SecretSet

FIXED_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "integration-hub",
}


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """Configuration shared by all attempts over one connection. Built once, and used by several threads.

    Responses with status 401, or that match `refused_rules`, refuse the credentials. The rules in `answers` apply to
    the responses to all requests, after the rules of the request itself. `placed_secrets` are the secrets outside the
    headers of the authenticator; only requests to the connection's own origin have them. TLS presents
    `client_certificate` to the system and to its token endpoint. `signer` signs each transmission of a request to the
    connection's own origin. `token_authorities` are the PEM certificates to trust for a token endpoint of another
    origin.
    """

    side: errors.Side
    base_url: BaseUrl
    authenticator: Authenticator
    options: ConnectionOptions
    error_extractor: ErrorExtractor
    secrets: SecretSet
    idempotency_header: str | None = None
    refused_rules: tuple[AnswerRule, ...] = ()
    answers: tuple[AnswerRule, ...] = ()
    placed_secrets: tuple[PlacedSecret, ...] = ()
    client_certificate: ClientCertificate | None = None
    signer: RequestSigner | None = None
    token_authorities: str | None = None
    headers_without_body: Mapping[str, str] = field(init=False)
    headers_with_body: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        with_type = FIXED_HEADERS | {"Content-Type": "application/json"}
        object.__setattr__(self, "headers_without_body", merge_headers(FIXED_HEADERS, self.options.headers))
        object.__setattr__(self, "headers_with_body", merge_headers(with_type, self.options.headers))


@dataclass(frozen=True, slots=True)
class AttemptOptions:
    """Options of one attempt: `deadline_seconds` for each exchange, `byte_cap` for the body of each response, the
    `language` in which a refused write should be explained; `trace`: the id and the flags of the W3C trace that
    each transmission continues.
    """

    request_id: str
    deadline_seconds: float = 10.0
    byte_cap: int = 1_048_576
    language: str = ""
    trace: tuple[str, str] | None = None
