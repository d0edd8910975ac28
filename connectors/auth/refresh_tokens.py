"""Store the refresh tokens that a system issues to replace the token of the credentials (RFC 6749, section 6)."""

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Protocol, TypedDict

# No system issues longer ones; the database stores it, and each token request sends it.
MAX_TOKEN_LENGTH = 8_192


class IssuedTokens(TypedDict):
    """The tokens of the last refresh.

    The access token expires at `ends_at`, in seconds of the Unix epoch. `access_token` is "" if the response with the
    refresh token had no usable one. `client` is a digest of everything that the access token depends on: a client with
    another digest uses the refresh token only.
    """

    refresh_token: str
    access_token: str
    ends_at: float
    client: str


class TokensUnreadable(Exception):
    """The tokens that a system issued last are stored, and cannot be decrypted."""


@dataclass(frozen=True, slots=True)
class RefreshClaim:
    """The exclusive right to refresh, and the tokens issued last.

    The right ends at `until`, in seconds of the store's clock. `renewals` counts how often tokens were issued.
    """

    key: str
    until: float
    tokens: IssuedTokens | None = field(default=None, repr=False)
    renewals: int = 0


class RefreshTokenStore(Protocol):
    """Allows one refresh at a time with the same credentials. `key` is a digest of them, which does not reveal them."""

    def claim_refresh(self, key: str, seconds: float) -> RefreshClaim | None:
        """Claim the only refresh for `seconds`; None while another thread or process has it.

        Raises TokensUnreadable, having claimed nothing: the refresh token to send is not known.
        """

    def finish_refresh(self, claim: RefreshClaim, issued: IssuedTokens | None) -> None:
        """End a claimed refresh, and store the tokens if the refresh token was replaced. A claim that another thread or
        process has made since then goes on, unless tokens are stored.

        They are stored after the end of the claim too, unless another refresh has stored newer ones: the token of the
        system that was sent is used up.
        """


class MemoryRefreshTokens:
    """The store of this process alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, RefreshClaim] = {}
        self._busy_until: dict[str, float] = {}

    def claim_refresh(self, key: str, seconds: float) -> RefreshClaim | None:
        with self._lock:
            if self._busy_until.get(key, 0.0) > time.monotonic():
                return None
            self._busy_until[key] = until = time.monotonic() + seconds
            known = self._claims.get(key)
            return RefreshClaim(key, until) if known is None else replace(known, until=until)

    def finish_refresh(self, claim: RefreshClaim, issued: IssuedTokens | None) -> None:
        with self._lock:
            if self._busy_until.get(claim.key) == claim.until:
                del self._busy_until[claim.key]
            known = self._claims.get(claim.key)
            if issued is not None and (known.renewals if known else 0) == claim.renewals:
                self._claims[claim.key] = RefreshClaim(claim.key, claim.until, issued, claim.renewals + 1)


_store: RefreshTokenStore = MemoryRefreshTokens()


def use_refresh_token_store(store: RefreshTokenStore) -> None:
    """Make a store that all processes share the store of this process."""
    global _store  # noqa: PLW0603
    _store = store


def current_store() -> RefreshTokenStore:
    """Return the store of this process."""
    return _store
