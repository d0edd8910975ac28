"""Check a password only if the limits allow it, and count the attempt. Every check of a password goes through here."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from logins.addresses import network_of
from logins.attempt_counts import count_failures, count_refused_in_memory, remember_address
from logins.limits import (
    Account,
    LoginRefused,
    admit_attempt,
    clear_limits,
    find_account,
    is_known_address,
    known_networks,
    refund_attempt,
)

ResultT = TypeVar("ResultT")

# Attempts of one process that may hold a thread while their passwords are checked, one after the other.
MAX_CHECKS = 3
MAX_KNOWN_CHECKS = 2
_BUSY_SECONDS = 2.0
# A refused attempt is refused again from memory for so long; then the database is asked again, where an administrator
# may have unlocked the account.
_REMEMBERED_SECONDS = 2.0
_MAX_REMEMBERED = 1_000

_slots = threading.BoundedSemaphore(MAX_CHECKS)
_known_slots = threading.BoundedSemaphore(MAX_KNOWN_CHECKS)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal that is repeated from memory. Times are of `time.monotonic`.

    The database is asked again after `until`. The limit allows an attempt at `opens`. The refusal does not apply to the
    networks in `exempt`.
    """

    account: Account
    until: float
    opens: float
    exempt: frozenset[str] = frozenset()


# By username and network; by username and None where all strangers have to wait.
_refused: dict[tuple[str, str | None], _Refusal] = {}


def guard_attempt(username: str, address: str, check: Callable[[], ResultT | None]) -> ResultT | None:
    """Return the result of `check`, which checks a password and returns None if it is wrong.

    Raises LoginRefused, without a check, if a limit is used up. Counts the attempt in any case. Call it outside a
    transaction, which would stay open for as long as the check takes.
    """
    network = network_of(address)
    _refuse_from_memory(username, network)
    account = find_account(username)
    try:
        with _hold_slot(account, network):
            admission = admit_attempt(account, network)
            result = check()
    except LoginRefused as refusal:
        count_refused_in_memory(account.number, network)
        if not refusal.is_busy:
            _remember_refusal(username, network, account, refusal)
        raise
    if result is None:
        count_failures(account.number, network, wrong=1)
        return None
    refund_attempt(admission)
    remember_address(account.number, network)
    return result


def unlock_account(username: str, address: str = "") -> None:
    """Clear the failures of an account. With an address, also remember it as an address of the person."""
    account = find_account(username)
    clear_limits(account)
    if account.number:
        remember_address(account.number, network_of(address))
    forget_refusals()


def forget_refusals() -> None:
    """Forget the refusals in memory, so that the database decides about the next attempts."""
    _refused.clear()


def _refuse_from_memory(username: str, network: str) -> None:
    now = time.monotonic()
    for refused_network in (network, None):
        refusal = _refused.get((username, refused_network))
        if refusal and now < min(refusal.until, refusal.opens) and network not in refusal.exempt:
            count_refused_in_memory(refusal.account.number, network)
            raise LoginRefused(refusal.opens - now)


def _remember_refusal(username: str, network: str, account: Account, refusal: LoginRefused) -> None:
    # Most of them are old. A refusal that is not remembered is read from the database.
    if len(_refused) >= _MAX_REMEMBERED:
        _refused.clear()
    now = time.monotonic()
    until = now + _REMEMBERED_SECONDS
    if refusal.account_seconds:
        # Guesses from a thousand addresses then cost no more than those from one.
        exempt = known_networks(account)
        _refused[username, None] = _Refusal(account, until, now + refusal.account_seconds, exempt)
    else:
        _refused[username, network] = _Refusal(account, until, now + refusal.seconds)


@contextmanager
def _hold_slot(account: Account, network: str) -> Iterator[None]:
    """Hold one of the few slots of this process for checks. Raises LoginRefused if none is free for this attempt.

    Strangers cannot take the slots of known addresses.
    """
    for slots in (_slots, _known_slots):
        if slots is _known_slots and not is_known_address(account, network):
            break
        if slots.acquire(blocking=False):
            try:
                yield
            finally:
                slots.release()
            return
    raise LoginRefused(_BUSY_SECONDS, is_busy=True)
