"""Log in to a system, keep its session token in the process, and log in again when the system refuses it."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from config_schema.errors import SettingsInvalid
from connectors.auth.log_in_guard import LogInPermission, current_guard
from connectors.auth.token_cache import FetchedToken, TokenCache, digest_client
from connectors.contracts import errors
from connectors.contracts.permissions import RenewedCredentials
from connectors.contracts.types import FieldError
from connectors.exchange import PreparedRequest, TokenSender
from connectors.http.message_types import HttpResponse
from connectors.http.urls import BaseUrl, allowed_url_pattern, build_url
from connectors.settings.credentials import Credentials, basic_authorization
from connectors.settings.schemes.session import SessionAuthentication
from connectors.settings.setting_kinds import is_header_value
from connectors.values.exact_numbers import dump_json
from connectors.values.json_responses import (
    ExpressionOverBudget,
    ExpressionUnfit,
    UnreadableError,
    as_text,
    parse_json,
)
from connectors.values.secret_forms import SecretSet

# These say nothing about the credentials: a wrong path, a slow system, too many requests.
_UNDECIDED = frozenset({404, 405, 408, 410, 413, 415, 425, 429})
_BUSY_PAUSE_SECONDS = 0.05
# After the deadline of the request, whose process may have died.
_CLAIM_MARGIN_SECONDS = 10.0
_MAX_TOKEN_LENGTH = 8192
_COOKIE_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,8192}", re.ASCII)


class _NoToken(Exception):
    """The answer to a log-in has no usable token. The message contains nothing of the answer."""


class SessionAuthenticator:
    """Authenticates by a session. Its token is used for `lifetime_seconds`, or until the system refuses it.

    A log-in that is refused, or whose answer has no token, is not sent again until the settings or the credentials
    change, or a person tests the connection: `renew_credentials`.
    """

    def __init__(
        self,
        scheme: SessionAuthentication,
        held: Credentials,
        base: BaseUrl,
        side: errors.Side,
        secrets: SecretSet,
    ) -> None:
        self._session = scheme
        self._header = scheme.secret_header
        self._base = base
        self._credentials = held
        self._side = side
        self._secrets = secrets
        self._call = self._prepare_log_in()
        self._log_in_headers = self._client_headers()
        # A second secret is put into the request later, and its change is a change of the credentials too.
        placed: list[Any] = [dict(self._log_in_headers)] if self._log_in_headers else []
        placed += [[place.kind, place.name, held[place.credential]] for place in scheme.secret_places]
        key = digest_client(
            self._call.url,
            self._call.method,
            dict(self._call.headers),
            (self._call.body or b"").hex(),
            *placed,
            # An answer that was taken for a refusal may be a success by other settings, and have another token.
            _describe_reading(scheme),
        )
        self._guard_key = key.hex()
        # Another template makes another header of the same token.
        use = (self._header, scheme.cookie, *scheme.more_cookies, scheme.template.text)
        self._cache = TokenCache(
            digest_client(self._guard_key, *use, scheme.lifetime),
            side,
            self._call.label,
            self._log_in,
        )

    @property
    def log_in_key(self) -> str:
        """Return the digest of the log-in request and its credentials by which the guard knows them."""
        return self._guard_key

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        return self._session_header(self._cache.get_token(sender))

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> Mapping[str, str]:
        return self._session_header(self._cache.replace_token(sender, refused[self._header]))

    def renew_credentials(self, sender: TokenSender) -> RenewedCredentials:
        """Log in although the credentials were refused before, replace the cached token, and describe it."""
        return self._cache.renew_token(sender, self._log_in_anyway).granted

    def _session_header(self, token: FetchedToken) -> dict[str, str]:
        # Before it is sent: the system may repeat it in its response.
        self._secrets.add_recent(*token.secrets)
        return {self._header: token.value}

    def _log_in(self, sender: TokenSender) -> FetchedToken:
        return self._claim_and_log_in(sender, is_forced=False)

    def _log_in_anyway(self, sender: TokenSender) -> FetchedToken:
        return self._claim_and_log_in(sender, is_forced=True)

    def _claim_and_log_in(self, sender: TokenSender, *, is_forced: bool) -> FetchedToken:
        """Log in once. Raises CredentialsRefused, having sent nothing, if the credentials were refused before."""
        guard, ends_at = current_guard(), time.monotonic() + sender.timeout_seconds
        seconds = sender.timeout_seconds + _CLAIM_MARGIN_SECONDS
        while True:
            asked_at = time.monotonic()
            permission = guard.claim_log_in(self._guard_key, seconds, is_forced=is_forced)
            if permission is LogInPermission.REFUSED:
                raise self._error(
                    errors.CredentialsRefused,
                    "the log-in was refused earlier, and is not retried until the settings change or the connection "
                    "is tested",
                )
            if permission is LogInPermission.GRANTED:
                break
            if time.monotonic() >= ends_at:
                seconds_text = f"{sender.timeout_seconds:g} s"
                raise self._error(errors.RequestTimedOut, f"no token was received after {seconds_text}")
            time.sleep(_BUSY_PAUSE_SECONDS)
        is_refused: bool | None = None
        try:
            # No later: another process may log in once the claim has ended.
            call = self._call._replace(sent_before=asked_at + _CLAIM_MARGIN_SECONDS)
            answer = sender.send(call, self._log_in_headers)
            is_refused = self._is_refusal(answer)
            if is_refused or not 200 <= answer.status < 400:
                raise self._refusal(answer, is_refused)
            # A system that refuses a password with a success, and no rule that says so: never again by itself.
            is_refused = True
            token = self._read_token(answer)
            is_refused = False
        finally:
            guard.finish_log_in(self._guard_key, is_refused=is_refused)
        return token

    def _is_refusal(self, answer: HttpResponse) -> bool:
        """Return True if the system decided that the credentials are wrong."""
        try:
            if self._call.classify(answer).matches_rule:
                return True
        except ExpressionOverBudget as costly:
            raise self._over_budget(costly) from None
        return 400 <= answer.status < 500 and answer.status not in _UNDECIDED

    def _refusal(self, answer: HttpResponse, is_refused: bool) -> errors.ConnectorError:
        kind = errors.CredentialsRefused if is_refused else errors.error_for_status(answer.status)
        return (kind or errors.UnreadableResponse)(
            f"{self._call.label}: the log-in responded with {answer.status}",
            side=self._side,
            retry_after=errors.parse_retry_after(answer.headers.get("retry-after"), datetime.now(UTC)),
            status=answer.status,
        )

    def _read_token(self, answer: HttpResponse) -> FetchedToken:
        try:
            raw = self._find_token(answer)
            self._secrets.add_recent(raw)
            cookies = self._cookies(answer, raw)
            value = "; ".join(cookies) if cookies else self._header_value(answer, raw)
        except _NoToken as missing:
            raise self._error(errors.UnreadableResponse, str(missing), answer.status) from None
        except ExpressionOverBudget as costly:
            raise self._over_budget(costly) from None
        # Each cookie too: a system may repeat one without the others.
        secrets = (raw, value, *(cookie.partition("=")[2] for cookie in cookies))
        return FetchedToken(value, RenewedCredentials(float(self._session.lifetime)), secrets)

    def _find_token(self, answer: HttpResponse) -> str:
        """Return the token of an answer. Raises _NoToken."""
        place = self._session.token
        found: object = None
        if place.header is not None:
            found = answer.headers.get(place.header)
        elif place.cookie is not None:
            found = _find_cookie(answer.headers.get("set-cookie", ""), place.cookie)
        elif place.path is not None:
            found = place.path.evaluate(_parse_body(answer))
        text = as_text(found) or ""
        if not text:
            raise _NoToken("the log-in response has no token")
        if len(text) > _MAX_TOKEN_LENGTH or "\n" in text or "\r" in text:
            raise _NoToken("the token cannot be sent")
        return text

    def _cookies(self, answer: HttpResponse, token: str) -> list[str]:
        """Return the cookies that requests send, as `name=value`; none if they send a header. Raises _NoToken."""
        session = self._session
        if session.cookie is None:
            return []
        given = answer.headers.get("set-cookie", "")
        more = {name: _find_cookie(given, name) for name in session.more_cookies}
        cookies = {**{name: value for name, value in more.items() if value}, session.cookie: token}
        if not all(_COOKIE_VALUE.fullmatch(value) for value in cookies.values()):
            raise _NoToken("the token cannot be sent as a cookie")
        return [f"{name}={value}" for name, value in cookies.items()]

    def _header_value(self, answer: HttpResponse, token: str) -> str:
        """Return the header that requests send, by its template. Raises _NoToken."""
        session = self._session
        values = {"token": token, "username": self._credentials["username"]}
        body = _parse_body(answer) if session.values else None
        for name, expression in session.values.items():
            text = as_text(expression.evaluate(body))
            if text is None:
                raise _NoToken(f"the log-in response has no {name}")
            values[name] = text
        value = session.template.render(values)
        if not is_header_value(value):
            raise _NoToken("the token cannot be sent as a header")
        return value

    def _client_headers(self) -> Mapping[str, str]:
        if self._session.log_in.client != "basic":
            return {}
        client_id, secret = self._credentials["client_id"], self._credentials["client_secret"]
        return {"Authorization": basic_authorization(client_id, secret)}

    def _prepare_log_in(self) -> PreparedRequest:
        """Return the request that logs in; its body is secret as a whole. Raises SettingsInvalid."""
        log_in = self._session.log_in
        names = ("username", "password")
        try:
            filled = log_in.fill_body({name: self._credentials[name] for name in names})
            if log_in.client == "post":
                filled = {
                    **filled,
                    **{name: self._credentials[name] for name in ("client_id", "client_secret")},
                }
            body = (urlencode(filled) if log_in.is_form else dump_json(filled)).encode("utf-8")
        except (TypeError, ValueError, ExpressionUnfit, ExpressionOverBudget):
            place = ("authentication", "log_in", "body")
            raise SettingsInvalid(place, "This body, or a credential in it, cannot be sent.") from None
        media_type = "application/x-www-form-urlencoded" if log_in.is_form else "application/json"
        return PreparedRequest(
            purpose="token",
            method=log_in.method,
            url=build_url(self._base, log_in.path, {}, log_in.query),
            path_template=log_in.path,
            origin=self._base.origin,
            allowed_url=allowed_url_pattern(self._base, log_in.path),
            headers={"Content-Type": media_type, **log_in.headers},
            body=body,
            idempotency_key=None,
            is_write=False,
            answers=self._session.log_in_refused,
        )

    def _error(
        self, kind: type[errors.ConnectorError], reason: str, status: int | None = None
    ) -> errors.ConnectorError:
        return kind(f"{self._call.label}: {reason}", side=self._side, status=status)

    def _over_budget(self, costly: ExpressionOverBudget) -> errors.SettingOverBudget:
        field: FieldError = costly.field
        return errors.SettingOverBudget(f"{self._call.label}: {costly}", side=self._side, fields=(field,))


def _describe_reading(session: SessionAuthentication) -> list[Any]:
    """Return the settings that say where the answer to a log-in has what, and when it is a refusal, as JSON."""
    token, rules = session.token, session.log_in_refused
    return [
        [token.path and token.path.text, token.header, token.cookie],
        {name: expression.text for name, expression in session.values.items()},
        [[rule.means, sorted(rule.statuses), rule.condition and rule.condition.text] for rule in rules],
    ]


def _parse_body(answer: HttpResponse) -> object:
    """Return the body as JSON. Raises _NoToken."""
    try:
        document: object = parse_json(answer.body)
    except UnreadableError as unreadable:
        raise _NoToken(f"the log-in response cannot be read: {unreadable}") from None
    return document


def _find_cookie(header: str, name: str) -> str | None:
    """Return the value of a cookie that is set; the last one, as in a browser, if it is set several times. Repeated
    headers are joined with a comma and a space.
    """
    pattern = re.compile(rf'(?:^|, ?){re.escape(name)}="?([^";,]*)', re.ASCII)
    found = pattern.findall(header)
    return found[-1].strip() if found else None
