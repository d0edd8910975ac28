"""OAuth 2.0 client credentials: tokens fetched when needed and kept in the process."""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

from sync.connectors.client.exchange import Call, Sender
from sync.connectors.contracts import errors
from sync.connectors.http.urls import is_caged
from sync.connectors.settings.authentication import Credentials, Scheme, basic
from sync.connectors.settings.reader import SettingsInvalid, is_header_value
from sync.connectors.values.json_answers import UnreadableError, read_object

EARLY = 30.0
TOKEN_LIFETIME = 300.0
MOST_TOKENS = 256


class _Question:
    """One request for a token; all who need one before it ends share what becomes of it."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.error: errors.ConnectorError | None = None


class _Slot:
    """A token's place in the process, filled by one thread while the others wait for it, each as long as its own
    deadline allows.

    The lock is held for moments only, never over a request.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.question: _Question | None = None
        self.token: str | None = None
        self.lifetime = 0.0
        self.good_until = 0.0

    def live(self) -> str | None:
        return self.token if time.monotonic() < self.good_until else None

    def keep(self, token: str, lifetime: float) -> None:
        self.token, self.lifetime = token, lifetime
        self.good_until = time.monotonic() + lifetime - EARLY


_slots: OrderedDict[bytes, _Slot] = OrderedDict()
_slots_lock = threading.Lock()


def _slot(fingerprint: bytes) -> _Slot:
    with _slots_lock:
        slot = _slots.pop(fingerprint, None) or _Slot()
        _slots[fingerprint] = slot
        if len(_slots) > MOST_TOKENS:
            _slots.popitem(last=False)
        return slot


def _start_afresh() -> None:
    """A lock may have been held by a thread that did not survive the fork."""
    global _slots_lock  # noqa: PLW0603
    _slots_lock = threading.Lock()
    _slots.clear()


os.register_at_fork(after_in_child=_start_afresh)


class ClientCredentials:
    """The authenticator of RFC 6749, 4.4: a token is used until half a minute before its end."""

    def __init__(self, scheme: Scheme, held: Credentials, side: errors.Side) -> None:
        if scheme.token_base is None:
            raise SettingsInvalid("/authentication/token_url", "This member is required.")
        self._base = scheme.token_base
        self._scheme = scheme
        self._held = held
        self._side = side
        self._slot = _slot(self._fingerprint())

    def headers(self, sender: Sender) -> Mapping[str, str]:
        return _bearer(self._slot.live() or self._token(sender, refused=None))

    def renew(self, sender: Sender, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        return _bearer(self._token(sender, refused=refused["Authorization"].removeprefix("Bearer ")))

    def prove(self, sender: Sender) -> float:
        """A fresh token takes the place of the one that is kept."""
        self._token(sender, refused=self._slot.token)
        return self._slot.lifetime

    def _token(self, sender: Sender, refused: str | None) -> str:
        """A live token other than the one refused: perhaps another thread has fetched it by now, or is about to."""
        slot = self._slot
        with slot.lock:
            live = slot.live()
            if live is not None and live != refused:
                return live
            asked = slot.question
            question = slot.question = asked or _Question()
        if asked is None:
            return self._ask(sender, question)
        if not question.ended.wait(sender.seconds):
            told = f"POST {self._base.prefix}: whoever asks for the token had none after {sender.seconds:g} s"
            raise errors.TimedOut(told, side=self._side)
        if question.error is not None:
            raise self._equal(question.error)
        return self._token(sender, refused)

    def _ask(self, sender: Sender, question: _Question) -> str:
        try:
            token, lifetime = self._fetch(sender)
            self._slot.keep(token, lifetime)
            return token
        except errors.ConnectorError as error:
            question.error = error
            raise
        finally:
            with self._slot.lock:
                self._slot.question = None
            question.ended.set()

    def _equal(self, error: errors.ConnectorError) -> errors.ConnectorError:
        """The same error for another attempt, maybe of the other side: its own, as a traceback grows on it."""
        return type(error)(str(error), side=self._side, retry_after=error.retry_after)

    def _fetch(self, sender: Sender) -> tuple[str, float]:
        call, secret_headers = self._request()
        answer = sender.send(call, secret_headers)
        kind = call.error_for(answer.status)
        if kind is not None:
            raise kind(
                f"{call.label}: the token endpoint answered {answer.status}",
                side=self._side,
                retry_after=errors.parse_retry_after(answer.headers.get("retry-after"), datetime.now(UTC)),
            )
        try:
            return _read_token(answer.body)
        except UnreadableError as error:
            raise errors.Garbled(f"{call.label}: {error}", side=self._side) from None

    def _request(self) -> tuple[Call, Mapping[str, str]]:
        form = {"grant_type": "client_credentials"}
        if self._scheme.scope:
            form["scope"] = self._scheme.scope
        secret_headers: dict[str, str] = {}
        if self._scheme.in_body:
            form |= {"client_id": self._held["client_id"], "client_secret": self._held["client_secret"]}
        else:
            secret_headers["Authorization"] = basic(self._held["client_id"], self._held["client_secret"])
        call = Call(
            purpose="token",
            method="POST",
            url=self._base.origin + self._base.prefix,
            template=self._base.prefix,
            origin=self._base.origin,
            is_caged=partial(is_caged, self._base, ""),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode("ascii"),
            key=None,
            write=False,
        )
        return call, secret_headers

    def _fingerprint(self) -> bytes:
        parts = (self._base.origin, self._base.prefix, self._held["client_id"], self._held["client_secret"])
        text = "\n".join(part.encode().hex() for part in (*parts, self._scheme.scope or ""))
        return hashlib.sha256(text.encode("ascii")).digest()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _read_token(body: bytes) -> tuple[str, float]:
    """The token and its lifetime in seconds, of an answer by RFC 6749, 5.1."""
    answer = read_object(body)
    token, lifetime = answer.get("access_token"), answer.get("expires_in", TOKEN_LIFETIME)
    if not isinstance(token, str) or not is_header_value(token):
        raise UnreadableError("the answer holds no token")
    if str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise UnreadableError("the token is not a bearer token")
    if isinstance(lifetime, str) and lifetime.isascii() and lifetime.isdigit():
        lifetime = int(lifetime[:9])
    known = isinstance(lifetime, int | float) and not isinstance(lifetime, bool)
    return token, float(lifetime) if known else TOKEN_LIFETIME
