"""What else is under way for a subject: its open deliveries, and the order between them."""

from dataclasses import dataclass

from django.db import connection

from database.statement import Statement
from sync.deliveries.predicates import (
    MATCHES_SUBJECT,
    has_expired_lease,
    is_due,
    is_not_suspect,
    is_open,
    subject_of,
    waits_or_runs,
)
from sync.deliveries.record_links import RecordLink
from sync.models import Delivery

_SIBLINGS = f"""SELECT id, route_id, state, is_relayed, replay_id,
    takes <> '' OR mapping_version_id IS NOT NULL
    FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {waits_or_runs()} ORDER BY id"""  # noqa: S608
_OPEN_SIBLINGS = {"sqlite": Statement(_SIBLINGS), "postgresql": Statement(f"{_SIBLINGS} FOR UPDATE")}
# It says "open" for the index on subjects, and "due" with the state hidden: the index on due times is the wrong one.
_FOLLOWER = Statement(
    f"""SELECT id FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {is_open()} AND {is_due(hides_state=True)}
    AND {is_not_suspect()} ORDER BY due_at, id LIMIT 1"""  # noqa: S608
)
_SUBJECT_STATE = Statement(
    f"""SELECT EXISTS (SELECT 1 FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {waits_or_runs()}),
    (SELECT record_id FROM sync_link WHERE {MATCHES_SUBJECT}),
    (SELECT occurred_at FROM sync_link WHERE {MATCHES_SUBJECT})"""  # noqa: S608
)
_EXPIRED = Statement(
    f"SELECT id FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {is_open()} AND {has_expired_lease()}"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class OpenSibling:
    """An open delivery of a subject, as far as order is concerned.

    `replay_id`: a replay that has not begun. `is_chosen`: a person chose what its attempts do, retries too.
    """

    pk: int
    route_id: int
    state: str
    is_relayed: bool
    replay_id: int | None
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class SubjectState:
    """A subject before a delivery of it is stored. `is_free`: nothing else of it is open."""

    is_free: bool
    link: RecordLink | None


def read_subject_state(delivery: Delivery) -> SubjectState:
    """What there is of its subject. Only the constraint keeps others from beginning something of it from now on."""
    subject = subject_of(delivery)
    is_open, record_id, occurred_at = _SUBJECT_STATE.fetch_all(*subject * 3)[0]
    return SubjectState(
        not is_open, None if record_id is None else RecordLink.from_columns(record_id, occurred_at)
    )


def lock_open_siblings(delivery: Delivery) -> list[OpenSibling]:
    """The open deliveries of its subject, itself too, locked in one order until the transaction ends.

    Whoever is about to change more than one delivery of a subject asks for this first; otherwise two of them could
    wait for each other for ever. (SQLite has one writer anyway.)
    """
    rows = _OPEN_SIBLINGS[connection.vendor].fetch_all(*subject_of(delivery))
    return [
        OpenSibling(pk, route, state, bool(is_relayed), replay, bool(is_chosen))
        for pk, route, state, is_relayed, replay, is_chosen in rows
    ]


def find_next_of_subject(delivery: Delivery) -> int | None:
    """The delivery of its subject that is due first, itself where it was asked for again."""
    found = _FOLLOWER.fetch_one(*subject_of(delivery))
    return int(found[0]) if found else None


def find_expired_of_subject(delivery: Delivery) -> list[int]:
    """The delivery of its subject that a process held longer than its lease, if there is one."""
    return [row[0] for row in _EXPIRED.fetch_all(*subject_of(delivery))]
