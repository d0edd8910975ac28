"""OAuth 2.0 without a browser: fetch tokens on demand and cache them in the process."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from connectors.auth.refresh_tokens import (
    MAX_TOKEN_LENGTH,
    IssuedTokens,
    RefreshClaim,
    TokensUnreadable,
    current_store,
)
from connectors.auth.signed_tokens import TokenSigner
from connectors.auth.token_cache import RENEW_EARLY_SECONDS, FetchedToken, TokenCache, digest_client
from connectors.contracts import errors
from connectors.contracts.permissions import RenewedCredentials
from connectors.exchange import PreparedRequest, TokenSender
from connectors.http.urls import BaseUrl, allowed_url_pattern
from connectors.settings.credentials import Credentials, basic_authorization
from connectors.settings.schemes.oauth import JwtBearer, OAuth, OAuthClient, RefreshToken
from connectors.settings.setting_kinds import is_header_value
from connectors.values.json_responses import UnreadableError, parse_object
from connectors.values.secret_forms import SecretSet

# For responses without `expires_in`, which RFC 6749 only recommends.
DEFAULT_LIFETIME_SECONDS = 300.0
# For whole numbers of any length, which JSON allows.
_MAX_LIFETIME_SECONDS = 999_999_999
# The pause of a thread that waits for another process, and how much longer a claim lasts than its request.
_BUSY_PAUSE_SECONDS = 0.05
_CLAIM_MARGIN_SECONDS = 10.0
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class OAuthAuthenticator:
    """Authenticates with an access token, which it fetches by client credentials (RFC 6749, 4.4), a refresh token (6)
    or an assertion (RFC 7523, 2.1). A token is used until 30 seconds before it expires; one that lasts
    less than a minute, for half of its life.
    """

    def __init__(
        self, scheme: OAuth, held: Credentials, base: BaseUrl, side: errors.Side, secrets: SecretSet
    ) -> None:
        self._base = scheme.token_endpoint(base)
        self._scheme = scheme
        self._credentials = held
        self._side = side
        self._secrets = secrets
        assertion = scheme.assertion
        self._signer = TokenSigner(assertion, held["signing_key"]) if assertion is not None else None
        self._client_digest = self._fingerprint()
        self._cache = TokenCache(self._client_digest, side, f"POST {self._base.prefix}", self._fetch_token)

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        return self._token_header(self._cache.get_token(sender))

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        return self._token_header(self._cache.replace_token(sender, refused[self._scheme.header]))

    def renew_credentials(self, sender: TokenSender) -> RenewedCredentials:
        """Fetch a new token, replace the cached one, and describe it."""
        return self._cache.renew_token(sender, self._force_refresh).granted

    @property
    def refresh_key(self) -> str | None:
        """Return the digest of the refresh token and its client by which the store knows them; None without one.

        It leaves out what may change while the grant of the system stays the same, such as the client's secret.
        """
        if not isinstance(self._scheme, RefreshToken):
            return None
        held = self._credentials
        parts = (self._base.origin, self._base.prefix, held["client_id"], held["refresh_token"])
        return digest_client(*parts).hex()

    def _token_header(self, token: FetchedToken) -> dict[str, str]:
        # Before it is sent: the system may repeat it in its response.
        self._secrets.add_recent(*token.secrets)
        return {self._scheme.header: token.value}

    def _fetch_token(self, sender: TokenSender) -> FetchedToken:
        return self._refresh(sender, may_share=True) if self.refresh_key else self._request_token(sender)

    def _force_refresh(self, sender: TokenSender) -> FetchedToken:
        return self._refresh(sender, may_share=False) if self.refresh_key else self._request_token(sender)

    def _refresh(self, sender: TokenSender, *, may_share: bool) -> FetchedToken:
        """Refresh while no other process does. `may_share`: use the token that another process has just fetched.

        Some systems accept a refresh token once, and withdraw all if it comes again; some also end the access token
        that they issued before. So a new refresh token is stored even if the access token with it is unusable.
        """
        store = current_store()
        claim, sent_before = self._claim_refresh(sender)
        issued: IssuedTokens | None = None
        try:
            shared = self._shared_token(claim) if may_share else None
            if shared is not None:
                return shared
            sent = claim.tokens["refresh_token"] if claim.tokens else self._credentials["refresh_token"]
            call, answer = self._request_tokens(sender, sent, sent_before)
            received = _readable_refresh_token(answer.get("refresh_token"))
            if received and received != sent:
                self._secrets.add_recent(received)
                client = self._client_digest.hex()
                issued = {"refresh_token": received, "access_token": "", "ends_at": 0.0, "client": client}
            token = self._read_token(call, answer)
            if issued is not None:
                issued["access_token"] = token.secrets[0]
                issued["ends_at"] = time.time() + token.granted.lifetime_seconds
            return token
        finally:
            store.finish_refresh(claim, issued)

    def _claim_refresh(self, sender: TokenSender) -> tuple[RefreshClaim, float]:
        """Claim the refresh. Returns the claim, and the time of the monotonic clock until which the request may be
        sent: its response then comes before another process may claim the refresh.
        """
        ends_at = time.monotonic() + sender.timeout_seconds
        while True:
            asked_at = time.monotonic()
            claim = self._try_claim(sender.timeout_seconds + _CLAIM_MARGIN_SECONDS)
            if claim is not None:
                break
            if time.monotonic() >= ends_at:
                label = f"POST {self._base.prefix}"
                message = f"{label}: no token was received after {sender.timeout_seconds:g} s"
                raise errors.RequestTimedOut(message, side=self._side)
            time.sleep(_BUSY_PAUSE_SECONDS)
        if claim.tokens is not None:
            self._secrets.add_recent(claim.tokens["refresh_token"], claim.tokens["access_token"])
        return claim, asked_at + _CLAIM_MARGIN_SECONDS

    def _try_claim(self, seconds: float) -> RefreshClaim | None:
        key = self.refresh_key
        assert key is not None
        try:
            return current_store().claim_refresh(key, seconds)
        except TokensUnreadable:
            # The older token of the credentials is not sent instead: a system that sees it again may withdraw the
            # stored one, which the right key makes readable again.
            label = f"POST {self._base.prefix}"
            raise errors.CredentialsRefused(
                f"{label}: the stored refresh token cannot be decrypted: restore its key, or enter a new refresh token",
                side=self._side,
            ) from None

    def _shared_token(self, claim: RefreshClaim) -> FetchedToken | None:
        """Return the access token that another process has stored; None if this process had it, or it is expiring."""
        tokens = claim.tokens
        if tokens is None or tokens["client"] != self._client_digest.hex():
            return None
        # There is none if it was unusable. One that this process used is asked for again only once it was refused or
        # has expired.
        if not tokens["access_token"] or tokens["access_token"] in self._cache.last_token.secrets:
            return None
        left = tokens["ends_at"] - time.time()
        if left <= RENEW_EARLY_SECONDS:
            return None
        return self._complete_token(
            FetchedToken(tokens["access_token"], RenewedCredentials(left), (tokens["access_token"],))
        )

    def _request_token(self, sender: TokenSender) -> FetchedToken:
        return self._read_token(*self._request_tokens(sender))

    def _request_tokens(
        self, sender: TokenSender, refresh_token: str = "", sent_before: float | None = None
    ) -> tuple[PreparedRequest, dict[str, Any]]:
        """Send a token request. Returns it, and the fields of its response, which are not checked yet."""
        call, secret_headers = self._prepare_request(refresh_token)
        response = sender.send(call._replace(sent_before=sent_before), secret_headers)
        kind = call.error_for(response)
        if kind is not None:
            raise kind(
                f"{call.label}: the token endpoint responded with {response.status}",
                side=self._side,
                retry_after=errors.parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC)),
            )
        try:
            answer = parse_object(response.body)
        except UnreadableError as error:
            raise errors.UnreadableResponse(f"{call.label}: {error}", side=self._side) from None
        # The error of RFC 6749, 5.2: some services send it with status 200. A refusal issues no refresh token.
        # Some write out the fields that they do not give, as null or empty.
        if not answer.get("access_token") and answer.get("error") and isinstance(answer["error"], str):
            raise errors.CredentialsRefused(
                f"{call.label}: the token endpoint responded with {response.status} and an error",
                side=self._side,
            )
        return call, answer

    def _read_token(self, call: PreparedRequest, answer: Mapping[str, Any]) -> FetchedToken:
        """Return the access token of a response to a token request."""
        try:
            return self._complete_token(_parse_access_token(answer, self._scheme.scope or ""))
        except UnreadableError as error:
            raise errors.UnreadableResponse(f"{call.label}: {error}", side=self._side) from None

    def _complete_token(self, token: FetchedToken) -> FetchedToken:
        """Return the token as it is sent."""
        sent = self._scheme.template.render({"token": token.value})
        return token._replace(value=sent, secrets=(token.value, sent))

    def _prepare_request(self, refresh_token: str) -> tuple[PreparedRequest, Mapping[str, str]]:
        scheme = self._scheme
        form = {"grant_type": scheme.grant_type, **scheme.token_parameters}
        secret_headers: dict[str, str] = {}
        client_id = self._credentials["client_id"]
        if refresh_token:
            form["refresh_token"] = refresh_token
        if self._signer is not None:
            claims = scheme.assertion_claims(client_id, self._base.origin + self._base.prefix)
            assertion = self._signer.sign_token(claims)
            self._secrets.add_recent(assertion)
            if isinstance(scheme, JwtBearer):
                form["assertion"] = assertion
            else:
                form |= {
                    "client_id": client_id,
                    "client_assertion_type": _ASSERTION_TYPE,
                    "client_assertion": assertion,
                }
        elif isinstance(scheme, OAuthClient):
            if scheme.client_authentication == "basic":
                secret = self._credentials["client_secret"]
                secret_headers["Authorization"] = basic_authorization(client_id, secret)
            elif scheme.client_authentication == "tls_client_auth":
                # RFC 8705, 2: TLS proves who the client is.
                form["client_id"] = client_id
            else:
                form |= {"client_id": client_id, "client_secret": self._credentials["client_secret"]}
        call = PreparedRequest(
            purpose="token",
            method="POST",
            url=self._base.origin + self._base.prefix,
            path_template=self._base.prefix,
            origin=self._base.origin,
            allowed_url=allowed_url_pattern(self._base, ""),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode("ascii"),
            idempotency_key=None,
            is_write=False,
        )
        return call, secret_headers

    def _fingerprint(self) -> bytes:
        """Return bytes that identify the client and its token request."""
        scheme, assertion = self._scheme, self._scheme.assertion
        claims = scheme.assertion_claims("", self._base.origin + self._base.prefix)
        parts = (
            self._base.origin,
            self._base.prefix,
            {name: self._credentials[name] for name in scheme.credential_names},
            scheme.token_parameters,
            assertion and [assertion.algorithm, assertion.key_id, {**assertion.claims, **claims}],
            # Connections share a token only if they trust the same authorities for the endpoint.
            [scheme.grant_type, scheme.header, scheme.template.text, scheme.token_ca],
        )
        return digest_client(*parts)


def _parse_access_token(answer: Mapping[str, Any], requested_scope: str) -> FetchedToken:
    """Return the token and what was granted with it from a response by RFC 6749, 5.1. Raises UnreadableError."""
    token, lifetime = answer.get("access_token"), answer.get("expires_in", DEFAULT_LIFETIME_SECONDS)
    if not isinstance(token, str) or not is_header_value(token):
        raise UnreadableError("the response contains no token")
    if str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise UnreadableError("the token is not a bearer token")
    # Some services send the number as text.
    if isinstance(lifetime, str) and lifetime.isascii() and lifetime.isdigit():
        lifetime = int(lifetime[:9])
    known = isinstance(lifetime, int | float) and not isinstance(lifetime, bool)
    seconds = float(min(max(lifetime, 0), _MAX_LIFETIME_SECONDS)) if known else DEFAULT_LIFETIME_SECONDS
    granted = RenewedCredentials(seconds, _missing_scopes(requested_scope, answer.get("scope")))
    return FetchedToken(token, granted, (token,))


def _readable_refresh_token(value: Any) -> str:
    """Return a refresh token that can be stored and sent; "" for anything else."""
    if not isinstance(value, str) or len(value) > MAX_TOKEN_LENGTH:
        return ""
    # Half of a surrogate pair, which JSON allows, is not Unicode.
    return "" if any("\ud800" <= one <= "\udfff" or one == "\0" for one in value) else value


def _missing_scopes(requested: str, granted: Any) -> tuple[str, ...]:
    """Return the requested scopes that a token response does not name. One without a scope grants all of them."""
    if not isinstance(granted, str) or not granted.strip():
        return ()
    names = set(granted.split())
    return tuple(scope for scope in dict.fromkeys(requested.split()) if scope not in names)
