"""Keep the tokens of this process: one thread fetches a token while others wait for it."""

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from connectors.contracts import errors
from connectors.contracts.permissions import RenewedCredentials
from connectors.exchange import TokenSender

RENEW_EARLY_SECONDS = 30.0
MAX_TOKENS = 256


class FetchedToken(NamedTuple):
    """A token as it is sent, what was granted with it, and the texts that no record may show because of it."""

    value: str
    granted: RenewedCredentials
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return "<FetchedToken>"


_Fetch = Callable[[TokenSender], FetchedToken]
_NOTHING = FetchedToken("", RenewedCredentials(0.0), ())


class _TokenRequest:
    """A token request in progress. Threads that need the token before it ends share its result."""

    def __init__(self) -> None:
        self.is_finished = threading.Event()
        self.token: FetchedToken | None = None
        self.error: errors.ConnectorError | None = None


class _TokenSlot:
    """Cached token of one client. One thread fetches it while others wait, each until its own deadline.

    The lock is never held during a request.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pending: _TokenRequest | None = None
        self.token = _NOTHING
        self.usable_until = 0.0

    def usable_token(self) -> FetchedToken | None:
        return self.token if time.monotonic() < self.usable_until else None

    def store_token(self, token: FetchedToken) -> None:
        self.token = token
        lifetime = token.granted.lifetime_seconds
        # A token of a short life is of use too.
        self.usable_until = time.monotonic() + lifetime - min(RENEW_EARLY_SECONDS, lifetime / 2)


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


def digest_client(*parts: Any) -> bytes:
    """Return a hash of JSON values that is the same in each process, and from which nothing can be read."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


class TokenCache:
    """The token of one client. `fetch` requests a new one and raises errors.ConnectorError; `label` names that request
    in errors. Caches with the same fingerprint share the token.
    """

    def __init__(
        self,
        fingerprint: bytes,
        side: errors.Side,
        label: str,
        fetch: _Fetch,
    ) -> None:
        self._slot = _slot_for(fingerprint)
        self._side = side
        self._label = label
        self._fetch = fetch

    @property
    def last_token(self) -> FetchedToken:
        """Return the token that this process fetched last, expired or not; an empty one before the first."""
        return self._slot.token

    def get_token(self, sender: TokenSender) -> FetchedToken:
        """Return a usable token: the cached one, one that another thread is fetching, or a new one."""
        return self._slot.usable_token() or self._get_token(sender, refused=None)

    def replace_token(self, sender: TokenSender, refused: str) -> FetchedToken:
        """Return a usable token other than the refused one."""
        return self._get_token(sender, refused)

    def renew_token(self, sender: TokenSender, fetch: _Fetch | None = None) -> FetchedToken:
        """Fetch a new token, and replace the cached one. `fetch`: used instead of the usual one."""
        return self._get_token(sender, self._slot.token.value, fetch)

    def forget_token(self, refused: str) -> None:
        """Drop a token whose credentials are refused too, so that the next request asks for another one first."""
        with self._slot.lock:
            if self._slot.token.value == refused:
                self._slot.usable_until = 0.0

    def _get_token(
        self, sender: TokenSender, refused: str | None, fetch: _Fetch | None = None
    ) -> FetchedToken:
        slot, ends_at = self._slot, time.monotonic() + sender.timeout_seconds
        while True:
            with slot.lock:
                live = slot.usable_token()
                if live is not None and live.value != refused:
                    return live
                pending = slot.pending
                request = slot.pending = pending or _TokenRequest()
            if pending is None:
                return self._request_token(sender, request, fetch or self._fetch)
            if not request.is_finished.wait(max(0.0, ends_at - time.monotonic())):
                seconds = f"{sender.timeout_seconds:g} s"
                message = f"{self._label}: no token was received after {seconds}"
                raise errors.RequestTimedOut(message, side=self._side)
            if request.error is not None:
                raise self._copy_error(request.error)
            # Not from the cache, because a token may not be usable for longer than the request that asked for it.
            if request.token is not None and request.token.value != refused:
                return request.token
            # The other thread was stopped before its request, or got the refused token again: this one sends it.

    def _request_token(self, sender: TokenSender, request: _TokenRequest, fetch: _Fetch) -> FetchedToken:
        try:
            token = fetch(sender)
            self._slot.store_token(token)
            request.token = token
            return token
        except errors.ConnectorError as error:
            request.error = error
            raise
        finally:
            with self._slot.lock:
                self._slot.pending = None
            request.is_finished.set()

    def _copy_error(self, error: errors.ConnectorError) -> errors.ConnectorError:
        """Copy an error for another attempt, possibly of the other side: each needs its own, as raising adds
        to a traceback.
        """
        return type(error)(str(error), side=self._side, retry_after=error.retry_after)
