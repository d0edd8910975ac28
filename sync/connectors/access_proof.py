"""Find out if credentials still read other items, so that an answer about one item can be understood.

A 404 alone proves nothing: a mistyped path, or a revoked token at a system that hides what it refuses, gives the same.
A 403 may concern one item or all of them.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from sync.connectors.contracts.errors import (
    CredentialsRefused,
    RequestRejected,
    UnreadableResponse,
    UnsafeRequest,
)
from sync.connectors.contracts.types import MAX_PROOF_READS, Access

_REFUSALS = (CredentialsRefused, RequestRejected, UnreadableResponse, UnsafeRequest)


def check_access_to_others(
    item_id: str,
    known_ids: Sequence[str],
    *,
    is_readable: Callable[[str], bool],
    list_ids: Callable[[], Sequence[str] | None],
    probe: Callable[[], bool],
) -> Access:
    """Return whether another item than `item_id` can be read: a known one, or one that is listed.

    `is_readable` requests an item by its id, `list_ids` the first page of the list (None: there is none), and `probe`
    the configured request, which counts only if there is no other item. Errors other than a refusal are raised: they
    say nothing about access.
    """
    known = [known_id for known_id in known_ids if known_id != item_id][:MAX_PROOF_READS]
    if _is_any_readable(known, is_readable):
        return Access.GRANTED
    try:
        listed = list_ids()
        if listed and item_id in listed:
            # The list has the item, and its own path does not.
            return Access.CONTRADICTORY
        others = [listed_id for listed_id in listed or () if listed_id not in known][:MAX_PROOF_READS]
        if known or others:
            is_granted = _is_any_readable(others, is_readable)
            # A list that is given, empty or not, shows that the credentials are accepted.
            unread = Access.REFUSED if listed is None else Access.UNKNOWN
        else:
            is_granted, unread = probe(), Access.UNKNOWN
    except _REFUSALS:
        return Access.REFUSED
    return Access.GRANTED if is_granted else unread


def _is_any_readable(item_ids: Sequence[str], is_readable: Callable[[str], bool]) -> bool:
    for item_id in item_ids:
        with suppress(*_REFUSALS):
            if is_readable(item_id):
                return True
    return False
