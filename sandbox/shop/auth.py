"""Who may call the shop: one secret, four ways to show it."""

import secrets
import threading
import time

from sandbox.http.credentials import authorization, basic_credentials, is_same_secret
from sandbox.http.messages import Answer, Problem, Request


class Access:
    """Bearer, Basic (the secret as password), X-Api-Key, or a token from ``POST /oauth/token`` (RFC 6749,
    4.4).
    """

    def __init__(self, secret: str, client_id: str, token_seconds: int) -> None:
        self._secret = secret
        self._client_id = client_id
        self._token_seconds = token_seconds
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()

    def require(self, request: Request) -> None:
        """Raises Problem (401) where the request shows no valid credential."""
        scheme, value = authorization(request)
        allowed = (
            (scheme == "bearer" and (self._is_secret(value) or self._is_token(value)))
            or (scheme == "basic" and self._is_secret(basic_credentials(value)[1]))
            or self._is_secret(request.header("X-Api-Key"))
        )
        if not allowed:
            challenge = {"WWW-Authenticate": 'Bearer realm="shop"'}
            raise Problem(401, "The credentials are missing or wrong.", headers=challenge)

    def issue_token(self, request: Request) -> Answer:
        """The answer of the token endpoint, errors as RFC 6749, 5.2 has them."""
        form = request.form()
        scheme, value = authorization(request)
        in_header = scheme == "basic"
        client, secret = (
            basic_credentials(value)
            if in_header
            else (form.get("client_id", ""), form.get("client_secret", ""))
        )
        if form.get("grant_type") != "client_credentials":
            return Answer.of_json(400, {"error": "unsupported_grant_type"})
        if not self._is_secret(secret) or client != self._client_id:
            return Answer.of_json(
                401, {"error": "invalid_client"}, {"WWW-Authenticate": 'Basic realm="shop"'}
            )
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._tokens = {each: until for each, until in self._tokens.items() if until > now}
            self._tokens[token] = now + self._token_seconds
        content = {"access_token": token, "token_type": "bearer", "expires_in": self._token_seconds}
        return Answer.of_json(200, content, {"Cache-Control": "no-store"})

    def revoke_tokens(self) -> None:
        """Every issued token is refused from now on, as after a restart of a real authorization server."""
        with self._lock:
            self._tokens.clear()

    def _is_secret(self, value: str) -> bool:
        return is_same_secret(value, self._secret)

    def _is_token(self, value: str) -> bool:
        with self._lock:
            return self._tokens.get(value, 0.0) > time.monotonic()
