"""Limits of login attempts over all processes, each a rate limit in the database.

Strangers share the limit of an account, and each address has a limit for all accounts. An address from which the person
has logged in before has a limit of its own for this account instead: strangers cannot lock the person out. A login that
succeeds is given back, so only failures use a limit up.

Behind proxies, clients whose address cannot be read share one limit: who writes the header could choose not to be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from random import random

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F
from django.utils.crypto import salted_hmac

from database.clock import database_now
from logins.models import KnownAddress
from webhooks.models.rate_limit import RateLimit, RateLimitExceeded, RateLimitState

_PREFIX = "login:"
# Ten wrong passwords at once and ten more an hour, by all strangers together.
ACCOUNT_LIMIT = RateLimit(1 / 360, 10)
ADDRESS_LIMIT = RateLimit(1 / 180, 20)
KNOWN_ADDRESS_LIMIT = RateLimit(1 / 60, 10)
# At most ten passwords are checked in any second, two of which are reserved for known addresses.
CHECK_LIMIT = RateLimit(4, 4)
RESERVED_CHECK_LIMIT = RateLimit(1, 1)
_CHECKS, _RESERVED_CHECKS = f"{_PREFIX}checks", f"{_PREFIX}checks:known"
_PRUNE_SHARE = 0.02
_UNREADABLE = "unreadable"


class LoginRefused(Exception):
    """The password was not checked.

    After `seconds`, a new attempt can be checked. If `is_busy`, all clients together are checking too many passwords at
    the moment. `account_seconds` is the wait of unknown addresses for this account; 0 if only this address has to wait.
    """

    def __init__(self, seconds: float, *, is_busy: bool = False, account_seconds: float = 0.0) -> None:
        super().__init__(f"{seconds:.1f} s too soon")
        self.seconds = seconds
        self.is_busy = is_busy
        self.account_seconds = account_seconds


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a typed username. `number` is 0 if there is none; such a name is limited like an account."""

    number: int
    key: str


@dataclass(frozen=True, slots=True)
class Admission:
    """An attempt whose password may be checked, with what it spent of the limits."""

    account: Account
    network: str
    spent: Mapping[str, RateLimit]


def find_account(username: str) -> Account:
    """Return the account of a username: one statement."""
    users = get_user_model()
    number = users._default_manager.filter(**{users.USERNAME_FIELD: username}).values_list("pk").first()
    if number is not None:
        return Account(number[0], str(number[0]))
    # The typed name may be a password, so it is not stored.
    return Account(0, f"?{salted_hmac('logins.account', username, algorithm='sha256').hexdigest()[:32]}")


def is_known_address(account: Account, network: str) -> bool:
    """Return True if the person has logged in from this network before."""
    # Without an address, all clients would share one.
    return bool(network) and network in known_networks(account)


def known_networks(account: Account) -> frozenset[str]:
    """Return the networks from which the person has logged in before, at most 50: one statement."""
    if not account.number:
        return frozenset()
    return frozenset(KnownAddress.objects.filter(person=account.number).values_list("address", flat=True))


def admit_attempt(account: Account, network: str) -> Admission:
    """Spend one attempt of each limit that applies. Raises LoginRefused, having spent nothing, if one is used up.

    Attempts that are refused only read, so a flood of them neither writes nor adds rows.
    """
    is_known = is_known_address(account, network)
    limits = rate_limits_for(account, network, is_known=is_known)
    _refuse_if_used_up(account, limits, is_known=is_known)
    admission = Admission(account, network, spent := dict[str, RateLimit]())
    try:
        for key, limit in limits.items():
            RateLimitState.spend(key, 1, limit, 0)
            spent[key] = limit
    except RateLimitExceeded as refusal:
        refund_attempt(admission)
        raise LoginRefused(refusal.seconds) from None
    try:
        _reserve_check(is_known=is_known)
    except RateLimitExceeded as refusal:
        refund_attempt(admission)
        raise LoginRefused(refusal.seconds, is_busy=True) from None
    _prune_unused()
    return admission


def rate_limits_for(account: Account, network: str, *, is_known: bool) -> dict[str, RateLimit]:
    """Return the limits of an attempt by their keys."""
    if is_known:
        return {f"{_PREFIX}known:{account.key}:{network}": KNOWN_ADDRESS_LIMIT}
    limits = {_account_key(account): ACCOUNT_LIMIT}
    if network or settings.TRUSTED_PROXIES:
        limits[f"{_PREFIX}address:{network or _UNREADABLE}"] = ADDRESS_LIMIT
    return limits


def last_attempt_without_address(since: datetime) -> datetime | None:
    """Return until when the limit of clients without a readable address is in use, or was in use after `since`."""
    key = f"{_PREFIX}address:{_UNREADABLE}"
    return RateLimitState.objects.filter(pk=key, free_at__gt=since).values_list("free_at", flat=True).first()


def _account_key(account: Account) -> str:
    return f"{_PREFIX}account:{account.key}"


def refund_attempt(admission: Admission) -> None:
    """Refund what an attempt spent, because its password was right or was not checked."""
    for key, limit in admission.spent.items():
        RateLimitState.objects.filter(pk=key).update(free_at=F("free_at") - limit.duration_of(1))


def account_wait_seconds(account: Account) -> float:
    """Return the seconds until strangers can try this account again; 0 if they can now."""
    return max(_read_waits({_account_key(account): ACCOUNT_LIMIT}).values())


def clear_limits(account: Account) -> None:
    """Forget the failures that count against this account, from all addresses. Limits of addresses stay."""
    keys = _account_key(account), f"{_PREFIX}known:{account.key}:"
    RateLimitState.objects.filter(pk=keys[0]).delete()
    RateLimitState.objects.filter(pk__startswith=keys[1]).delete()


def _refuse_if_used_up(account: Account, limits: Mapping[str, RateLimit], *, is_known: bool) -> None:
    """Raise LoginRefused if one of these limits, or that of all checks, is used up at the moment. One statement."""
    waits = _read_waits({**limits, _CHECKS: CHECK_LIMIT, _RESERVED_CHECKS: RESERVED_CHECK_LIMIT})
    if wait := max(waits[key] for key in limits):
        raise LoginRefused(wait, account_seconds=waits.get(_account_key(account), 0.0))
    check_waits = [waits[_CHECKS], *([waits[_RESERVED_CHECKS]] if is_known else [])]
    if wait := min(check_waits):
        raise LoginRefused(wait, is_busy=True)


def _read_waits(limits: Mapping[str, RateLimit]) -> dict[str, float]:
    """Return the seconds until one more attempt fits into each limit; 0 if it does now. One statement."""
    waits = dict.fromkeys(limits, 0.0)
    rows = RateLimitState.objects.filter(pk__in=limits).values_list("key", "free_at", database_now())
    for key, free_at, now in rows:
        begins, limit = max(free_at, now), limits[key]
        wait = begins + limit.duration_of(1) - limit.duration_of(limit.burst) - now
        waits[key] = max(0.0, wait.total_seconds())
    return waits


def _reserve_check(*, is_known: bool) -> None:
    """Reserve one check of a password now. Raises RateLimitExceeded if too many are made at the moment."""
    if is_known:
        try:
            RateLimitState.spend(_RESERVED_CHECKS, 1, RESERVED_CHECK_LIMIT, 0)
            return
        except RateLimitExceeded:
            # The reserve is used up: the common limit serves known addresses too.
            pass
    RateLimitState.spend(_CHECKS, 1, CHECK_LIMIT, 0)


def _prune_unused() -> None:
    """Delete unused limits, in a small share of the calls. A deleted limit is created again when it is needed."""
    if random() < _PRUNE_SHARE:  # noqa: S311 - not a secret
        RateLimitState.objects.filter(pk__startswith=_PREFIX, free_at__lt=database_now()).delete()
