"""Find out if credentials still read other items, so that an answer about one item can be understood.

A 404 alone proves nothing: a mistyped path, or a revoked token at a system that hides what it refuses, gives the same.
A 403 may concern one item or all of them.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from connectors.contracts.errors import (
    CredentialsRefused,
    RequestRejected,
    UnreadableResponse,
    UnsafeRequest,
)
from connectors.contracts.types import MAX_PROOF_READS, Access

_REFUSALS = (CredentialsRefused, RequestRejected, UnreadableResponse, UnsafeRequest)


def check_access_to_others(
    item_id: str,
    known_ids: Sequence[str],
    *,
    is_readable: Callable[[str], bool],
    list_ids: Callable[[], Sequence[str] | None],
    probe: Callable[[], bool],
) -> Access:
    """Return the access to other items than `item_id`: known items first, then listed ones.

    `is_readable` requests an item by its id, `list_ids` the first page of the list (None: there is none), and `probe`
    the configured request, which counts only if there is no other item. Errors other than a refusal are raised: they
    say nothing about access.
    """
    other_known_ids = [known_id for known_id in known_ids if known_id != item_id][:MAX_PROOF_READS]
    if is_any_readable(other_known_ids, is_readable):
        return Access.GRANTED
    try:
        listed_ids = list_ids()
        if listed_ids and item_id in listed_ids:
            # The list has the item, and its own path does not.
            return Access.CONTRADICTORY
        other_listed_ids = [listed_id for listed_id in listed_ids or () if listed_id not in other_known_ids][
            :MAX_PROOF_READS
        ]
        if other_known_ids or other_listed_ids:
            is_granted = is_any_readable(other_listed_ids, is_readable)
            # A list that is given, empty or not, shows that the credentials are accepted.
            otherwise = Access.REFUSED if listed_ids is None else Access.UNKNOWN
        else:
            is_granted, otherwise = probe(), Access.UNKNOWN
    except _REFUSALS:
        return Access.REFUSED
    return Access.GRANTED if is_granted else otherwise


def is_any_readable(item_ids: Sequence[str], is_readable: Callable[[str], bool]) -> bool:
    """Return True if one of these items can be read. Raises errors other than a refusal."""
    for item_id in item_ids:
        with suppress(*_REFUSALS):
            if is_readable(item_id):
                return True
    return False
