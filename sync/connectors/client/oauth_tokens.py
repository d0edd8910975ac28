"""OAuth 2.0 client credentials: fetch tokens on demand and cache them in the process."""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from config_schema.errors import SettingsInvalid
from sync.connectors.client.exchange import PreparedRequest, TokenSender
from sync.connectors.contracts import errors
from sync.connectors.contracts.permissions import RenewedCredentials
from sync.connectors.http.urls import is_allowed_url
from sync.connectors.settings.authentication import AuthenticationScheme, Credentials, basic_authorization
from sync.connectors.settings.setting_kinds import is_header_value
from sync.connectors.values.json_responses import UnreadableError, parse_object
from sync.connectors.values.secret_forms import SecretSet

RENEW_EARLY_SECONDS = 30.0
# For responses without `expires_in`, which RFC 6749 only recommends.
DEFAULT_LIFETIME_SECONDS = 300.0
MAX_TOKENS = 256


class _TokenRequest:
    """A token request in progress. Threads that need the token before it ends share its result."""

    def __init__(self) -> None:
        self.is_finished = threading.Event()
        self.error: errors.ConnectorError | None = None


class _TokenSlot:
    """Cached token of one client. One thread fetches it while others wait, each until its own deadline.

    The lock is never held during a request.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pending: _TokenRequest | None = None
        self.token: str | None = None
        self.granted = RenewedCredentials(0.0)
        self.usable_until = 0.0

    def usable_token(self) -> str | None:
        return self.token if time.monotonic() < self.usable_until else None

    def store_token(self, token: str, granted: RenewedCredentials) -> None:
        self.token, self.granted = token, granted
        self.usable_until = time.monotonic() + granted.lifetime_seconds - RENEW_EARLY_SECONDS


_slots: OrderedDict[bytes, _TokenSlot] = OrderedDict()
_slots_lock = threading.Lock()


def _slot_for(fingerprint: bytes) -> _TokenSlot:
    with _slots_lock:
        # Taken out and added again at the end, so that the least recently used slot is dropped.
        slot = _slots.pop(fingerprint, None) or _TokenSlot()
        _slots[fingerprint] = slot
        if len(_slots) > MAX_TOKENS:
            _slots.popitem(last=False)
        return slot


def _reset_after_fork() -> None:
    """Replace the locks in a forked child: a thread that did not survive the fork may hold one."""
    global _slots_lock  # noqa: PLW0603
    _slots_lock = threading.Lock()
    _slots.clear()


os.register_at_fork(after_in_child=_reset_after_fork)


class ClientCredentialsAuthenticator:
    """Authenticates by RFC 6749, 4.4. A token is used until 30 seconds before it expires."""

    def __init__(
        self, scheme: AuthenticationScheme, held: Credentials, side: errors.Side, secrets: SecretSet
    ) -> None:
        if scheme.token_url is None:
            raise SettingsInvalid(("authentication", "token_url"), "This field is required.")
        self._base = scheme.token_url
        self._scheme = scheme
        self._credentials = held
        self._side = side
        self._secrets = secrets
        self._slot = _slot_for(self._fingerprint())

    def get_headers(self, sender: TokenSender) -> Mapping[str, str]:
        return self._bearer_header(self._slot.usable_token() or self._get_token(sender, refused=None))

    def renew_headers(self, sender: TokenSender, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        return self._bearer_header(
            self._get_token(sender, refused=refused["Authorization"].removeprefix("Bearer "))
        )

    def renew_credentials(self, sender: TokenSender) -> RenewedCredentials:
        """Fetch a new token, replace the cached one, and describe it."""
        self._get_token(sender, refused=self._slot.token)
        return self._slot.granted

    def _bearer_header(self, token: str) -> dict[str, str]:
        # Before it is sent: the system may repeat it in its response.
        self._secrets.add_recent(token)
        return {"Authorization": f"Bearer {token}"}

    def _get_token(self, sender: TokenSender, refused: str | None) -> str:
        """Return a usable token other than `refused`: the cached one, one that another thread is fetching, or
        a new one.
        """
        slot = self._slot
        with slot.lock:
            live = slot.usable_token()
            if live is not None and live != refused:
                return live
            pending = slot.pending
            question = slot.pending = pending or _TokenRequest()
        if pending is None:
            return self._request_token(sender, question)
        if not question.is_finished.wait(sender.timeout_seconds):
            seconds = f"{sender.timeout_seconds:g} s"
            message = f"POST {self._base.prefix}: no token was received after {seconds}"
            raise errors.RequestTimedOut(message, side=self._side)
        if question.error is not None:
            raise self._copy_error(question.error)
        # Normally the token is cached now. If the other thread was stopped before its request, this one sends it.
        return self._get_token(sender, refused)

    def _request_token(self, sender: TokenSender, question: _TokenRequest) -> str:
        try:
            token, granted = self._fetch_token(sender)
            self._slot.store_token(token, granted)
            return token
        except errors.ConnectorError as error:
            question.error = error
            raise
        finally:
            with self._slot.lock:
                self._slot.pending = None
            question.is_finished.set()

    def _copy_error(self, error: errors.ConnectorError) -> errors.ConnectorError:
        """Copy an error for another attempt, possibly of the other side: each needs its own, as raising adds
        to a traceback.
        """
        return type(error)(str(error), side=self._side, retry_after=error.retry_after)

    def _fetch_token(self, sender: TokenSender) -> tuple[str, RenewedCredentials]:
        call, secret_headers = self._prepare_request()
        answer = sender.send(call, secret_headers)
        kind = call.error_for(answer)
        if kind is not None:
            raise kind(
                f"{call.label}: the token endpoint responded with {answer.status}",
                side=self._side,
                retry_after=errors.parse_retry_after(answer.headers.get("retry-after"), datetime.now(UTC)),
            )
        try:
            return _parse_token_response(answer.body, self._scheme.scope or "")
        except UnreadableError as error:
            raise errors.UnreadableResponse(f"{call.label}: {error}", side=self._side) from None

    def _prepare_request(self) -> tuple[PreparedRequest, Mapping[str, str]]:
        form = {"grant_type": "client_credentials"}
        if self._scheme.scope:
            form["scope"] = self._scheme.scope
        secret_headers: dict[str, str] = {}
        if self._scheme.credentials_in_body:
            form |= {
                "client_id": self._credentials["client_id"],
                "client_secret": self._credentials["client_secret"],
            }
        else:
            secret_headers["Authorization"] = basic_authorization(
                self._credentials["client_id"], self._credentials["client_secret"]
            )
        call = PreparedRequest(
            purpose="token",
            method="POST",
            url=self._base.origin + self._base.prefix,
            path_template=self._base.prefix,
            origin=self._base.origin,
            is_allowed_url=partial(is_allowed_url, self._base, ""),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode("ascii"),
            idempotency_key=None,
            is_write=False,
        )
        return call, secret_headers

    def _fingerprint(self) -> bytes:
        parts = (
            self._base.origin,
            self._base.prefix,
            self._credentials["client_id"],
            self._credentials["client_secret"],
        )
        # Encoded as hex, so that the separator occurs in no part.
        text = "\n".join(part.encode().hex() for part in (*parts, self._scheme.scope or ""))
        return hashlib.sha256(text.encode("ascii")).digest()


def _parse_token_response(body: bytes, requested_scope: str) -> tuple[str, RenewedCredentials]:
    """Return the token and what was granted from a response by RFC 6749, 5.1. Raises UnreadableError."""
    answer = parse_object(body)
    token, lifetime = answer.get("access_token"), answer.get("expires_in", DEFAULT_LIFETIME_SECONDS)
    if not isinstance(token, str) or not is_header_value(token):
        raise UnreadableError("the response contains no token")
    if str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise UnreadableError("the token is not a bearer token")
    # Some services send the number as text.
    if isinstance(lifetime, str) and lifetime.isascii() and lifetime.isdigit():
        lifetime = int(lifetime[:9])
    known = isinstance(lifetime, int | float) and not isinstance(lifetime, bool)
    seconds = float(lifetime) if known else DEFAULT_LIFETIME_SECONDS
    return token, RenewedCredentials(seconds, _missing_scopes(requested_scope, answer.get("scope")))


def _missing_scopes(requested: str, granted: Any) -> tuple[str, ...]:
    """Return the requested scopes that a token response does not name. One without a scope grants all of them."""
    if not isinstance(granted, str) or not granted.strip():
        return ()
    names = set(granted.split())
    return tuple(scope for scope in dict.fromkeys(requested.split()) if scope not in names)
