"""Authentication of the shop's clients: one secret, sent in one of four ways."""

import secrets
import threading
import time

from sandbox.http.credentials import is_same_secret, parse_authorization, parse_basic_credentials
from sandbox.http.messages import HttpError, Request, Response


class AccessControl:
    """The secret of the API, and the OAuth2 tokens that were issued for it.

    A client sends the secret as bearer token, as Basic password or as X-Api-Key, or a token from ``POST /oauth/token``
    (RFC 6749, section 4.4) as bearer token. Tokens are valid for ``token_seconds``.
    """

    def __init__(self, secret: str, client_id: str, token_seconds: int) -> None:
        self._secret = secret
        self._client_id = client_id
        self._token_seconds = token_seconds
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()

    def require_credentials(self, request: Request) -> None:
        """Raise HttpError (401) if the request has no valid credentials."""
        scheme, value = parse_authorization(request)
        is_allowed = (
            (scheme == "bearer" and (self._is_secret(value) or self._is_token(value)))
            or (scheme == "basic" and self._is_secret(parse_basic_credentials(value)[1]))
            or self._is_secret(request.get_header("X-Api-Key"))
        )
        if not is_allowed:
            challenge = {"WWW-Authenticate": 'Bearer realm="shop"'}
            raise HttpError(401, "The credentials are missing or wrong.", headers=challenge)

    def issue_token(self, request: Request) -> Response:
        """Return the response of the token endpoint, with errors as in RFC 6749, section 5.2."""
        form = request.parse_form()
        scheme, value = parse_authorization(request)
        is_in_header = scheme == "basic"
        client_id, secret = (
            parse_basic_credentials(value)
            if is_in_header
            else (form.get("client_id", ""), form.get("client_secret", ""))
        )
        if form.get("grant_type") != "client_credentials":
            return Response.from_json(400, {"error": "unsupported_grant_type"})
        if not self._is_secret(secret) or client_id != self._client_id:
            return Response.from_json(
                401, {"error": "invalid_client"}, {"WWW-Authenticate": 'Basic realm="shop"'}
            )
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._tokens = {
                issued: expires_at for issued, expires_at in self._tokens.items() if expires_at > now
            }
            self._tokens[token] = now + self._token_seconds
        content = {"access_token": token, "token_type": "bearer", "expires_in": self._token_seconds}
        return Response.from_json(200, content, {"Cache-Control": "no-store"})

    def revoke_tokens(self) -> None:
        """Revoke all tokens, as a restart of a real authorization server may do."""
        with self._lock:
            self._tokens.clear()

    def _is_secret(self, value: str) -> bool:
        return is_same_secret(value, self._secret)

    def _is_token(self, value: str) -> bool:
        with self._lock:
            return self._tokens.get(value, 0.0) > time.monotonic()
