"""Fetch a CSRF token with the credentials of a connection, keep it in the process, and send it with its cookies."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from connectors.auth.authentication import Authenticator
from connectors.auth.token_cache import FetchedToken, TokenCache, digest_client
from connectors.contracts import errors
from connectors.contracts.permissions import RenewedCredentials
from connectors.exchange import PreparedRequest, ResponseClassification, TokenSender
from connectors.http.message_types import HttpResponse
from connectors.http.urls import BaseUrl, allowed_url_pattern, build_url
from connectors.settings.csrf import CsrfSettings
from connectors.settings.setting_kinds import is_header_value
from connectors.values.answer_meaning import AnswerRule, describe_response
from connectors.values.json_responses import ExpressionOverBudget, as_text
from connectors.values.secret_forms import SecretSet

MAX_COOKIES = 20
_MAX_TOKEN_LENGTH = 8_192
_MIN_SECRET_LENGTH = 8
# At the start of a Set-Cookie header, or after the comma with which repeated ones are joined. The comma inside a date
# is followed by no name with an equals sign.
_COOKIE = re.compile(
    r'(?:^|, ?)([A-Za-z0-9!#$%&\'*+.^_`|~-]{1,100})=("?[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,8192}"?)(?=;|,|$)',
    re.ASCII,
)


class CsrfHeaders(dict[str, str]):
    """Headers of a request.

    `inner` are the headers of the credentials only. `token` is the CSRF token with its cookies, as cached.
    """

    def __init__(self, headers: Mapping[str, str], inner: Mapping[str, str], token: str) -> None:
        super().__init__(headers)
        self.inner = inner
        self.token = token

    def __repr__(self) -> str:
        return "<CsrfHeaders>"


class CsrfAuthenticator:
    """Adds a CSRF token to the headers of another authenticator.

    `headers` are sent with every request of the connection. `identity` differs for clients with different credentials.
    Responses that match `refused_rules` refuse the credentials of the other authenticator, whatever their status.
    """

    def __init__(
        self,
        inner: Authenticator,
        settings: CsrfSettings,
        base: BaseUrl,
        side: errors.Side,
        secrets: SecretSet,
        headers: Mapping[str, str],
        identity: str,
        refused_rules: tuple[AnswerRule, ...] = (),
    ) -> None:
        self._inner = inner
        self._settings = settings
        self._side = side
        self._secrets = secrets
        self._call = PreparedRequest(
            purpose="token",
            method="GET",
            url=build_url(base, settings.path, {}, settings.query),
            path_template=settings.path,
            origin=base.origin,
            allowed_url=allowed_url_pattern(base, settings.path),
            headers={**headers, settings.header: "Fetch"},
            body=None,
            idempotency_key=None,
            is_write=False,
            answers=refused_rules,
        )
        scope = (settings.header, settings.token and settings.token.text, settings.lifetime)
        fingerprint = digest_client("csrf", self._call.url, dict(self._call.headers), identity, *scope)
        self._cache = TokenCache(fingerprint, side, self._call.label, self._fetch)

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        token = self._cache.get_token(sender)
        return self._join(self._inner.get_headers(sender), token)

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return headers with another token, and with renewed credentials where there are any."""
        assert isinstance(refused, CsrfHeaders)
        inner = self._inner.renew_headers(sender, refused.inner) or refused.inner
        try:
            token = self._cache.replace_token(sender, refused.token)
        except errors.CredentialsRefused:
            # Each further try of a password counts, and systems lock users out: one for each request is enough.
            self._cache.forget_token(refused.token)
            raise
        return self._join(inner, token)

    def renew_credentials(self, sender: TokenSender) -> RenewedCredentials | None:
        """Renew the credentials and the token, and describe the credentials."""
        renewed = self._inner.renew_credentials(sender)
        self._cache.renew_token(sender)
        return renewed

    def _join(self, inner: Mapping[str, str], token: FetchedToken) -> CsrfHeaders:
        # Before it is sent: the system may repeat it in its response.
        self._secrets.add_recent(*token.secrets)
        value, cookies = json.loads(token.value)
        headers = {**inner, self._settings.header: value}
        if cookies:
            own = dict(part.partition("=")[::2] for part in inner.get("Cookie", "").split("; ") if part)
            headers["Cookie"] = "; ".join(f"{name}={text}" for name, text in {**own, **cookies}.items())
        return CsrfHeaders(headers, inner, token.value)

    def _fetch(self, sender: TokenSender) -> FetchedToken:
        headers = self._inner.get_headers(sender)
        response, classification = self._send_fetch(sender, headers)
        if classification.may_renew:
            renewed = self._inner.renew_headers(sender, headers)
            if renewed is not None:
                response, classification = self._send_fetch(sender, renewed)
        error_class = (
            classification.error if classification.matches_rule else errors.error_for_status(response.status)
        )
        if error_class is not None:
            # A wrong path is not a refusal of the credentials, nor of a record.
            error_class = errors.UnreadableResponse if error_class is errors.RequestRejected else error_class
            raise error_class(
                f"{self._call.label}: the request for a CSRF token got the response {response.status}",
                side=self._side,
                retry_after=errors.parse_retry_after(response.headers.get("retry-after"), datetime.now(UTC)),
                status=response.status,
            )
        token, cookies = self._find_token(response), _find_cookies(response.headers.get("set-cookie", ""))
        credentials = RenewedCredentials(float(self._settings.lifetime))
        # Short values, such as a language, are not secrets, and would be found in ordinary words.
        secrets = (token, *(value for value in cookies.values() if len(value) >= _MIN_SECRET_LENGTH))
        return FetchedToken(json.dumps([token, cookies]), credentials, secrets)

    def _send_fetch(
        self, sender: TokenSender, headers: Mapping[str, str]
    ) -> tuple[HttpResponse, ResponseClassification]:
        response = sender.send(self._call, headers)
        try:
            return response, self._call.classify(response)
        except ExpressionOverBudget as costly:
            raise self._over_budget(costly) from None

    def _over_budget(self, costly: ExpressionOverBudget) -> errors.SettingOverBudget:
        return errors.SettingOverBudget(
            f"{self._call.label}: {costly}", side=self._side, fields=(costly.field,)
        )

    def _find_token(self, response: HttpResponse) -> str:
        settings = self._settings
        value: object = response.headers.get(settings.header.lower())
        if settings.token is not None:
            try:
                value = settings.token.evaluate(
                    describe_response(response.status, response.headers, response.body)
                )
            except ExpressionOverBudget as costly:
                raise self._over_budget(costly) from None
        text = (as_text(value) or "").strip()
        if not text or len(text) > _MAX_TOKEN_LENGTH or not is_header_value(text):
            reason = "the response has no CSRF token that can be sent"
            raise errors.UnreadableResponse(
                f"{self._call.label}: {reason}", side=self._side, status=response.status
            )
        return text


def _find_cookies(header: str) -> dict[str, str]:
    """Return the cookies that a response sets, by name; the last of each name, and at most `MAX_COOKIES`."""
    cookies = {match[1]: match[2].strip('"') for match in _COOKIE.finditer(header)}
    return dict(list(cookies.items())[-MAX_COOKIES:])
