"""The open deliveries of a subject, and the order between them."""

from dataclasses import dataclass

from django.db import connection

from database.statement import Statement
from sync.deliveries.predicates import (
    MATCHES_SUBJECT,
    has_expired_lease,
    is_due,
    is_no_suspect,
    is_of_live_route,
    is_open,
    waits_or_runs,
)
from sync.deliveries.record_links import RecordLink
from sync.models import Delivery, Route

_SIBLINGS = f"""SELECT id, route_id, state, is_relayed, person_request_id,
    payload_choice <> '' OR mapping_version_id IS NOT NULL, is_relayed AND {is_of_live_route("sync_delivery")}
    FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {waits_or_runs()} ORDER BY id"""  # noqa: S608
# SQLite knows no FOR UPDATE and needs none: it has one writer at a time.
_OPEN_SIBLINGS = {"sqlite": Statement(_SIBLINGS), "postgresql": Statement(f"{_SIBLINGS} FOR UPDATE")}
# The condition on open states selects the index on subjects. The state of `is_due` is hidden, because the index on
# due times would be the wrong one.
_NEXT_OF_SUBJECT = Statement(
    f"""SELECT id FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {is_open()} AND {is_due(hides_state=True)}
    AND {is_no_suspect()} ORDER BY due_at, id LIMIT 1"""  # noqa: S608
)
# One statement for all facts: it runs for each webhook.
_SUBJECT_STATE = Statement(
    f"""SELECT EXISTS (SELECT 1 FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {waits_or_runs()}),
    (SELECT record_id FROM sync_link WHERE {MATCHES_SUBJECT}),
    (SELECT occurred_at FROM sync_link WHERE {MATCHES_SUBJECT}),
    (SELECT write_counts FROM sync_link WHERE {MATCHES_SUBJECT}),
    (SELECT external_id_field FROM sync_link WHERE {MATCHES_SUBJECT}),
    (SELECT left_scope_at FROM sync_link WHERE {MATCHES_SUBJECT}),
    (SELECT mode FROM sync_route WHERE id = %s)"""  # noqa: S608
)
_EXPIRED = Statement(
    f"SELECT id FROM sync_delivery WHERE {MATCHES_SUBJECT} AND {is_open()} AND {has_expired_lease()}"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class OpenSibling:
    """An open delivery of a subject, reduced to the columns that decide the order.

    `person_request_id` is a request that has not begun. If `is_chosen`, a person chose the payload or mapping version
    of its attempts. If `runs_in_order`, older ones of which that is true end before it: it is relayed, and its route
    is live.
    """

    pk: int
    route_id: int
    state: str
    is_relayed: bool
    person_request_id: int | None
    is_chosen: bool
    runs_in_order: bool


@dataclass(frozen=True, slots=True)
class SubjectState:
    """The state of a subject before a delivery for it is stored. `is_free`: the subject has no open delivery.
    `observes`: the route of the delivery does.
    """

    is_free: bool
    link: RecordLink | None
    observes: bool


def read_subject_state(delivery: Delivery) -> SubjectState:
    """Read the state of a delivery's subject, and the mode of its route. Takes no lock: only the constraint stops
    others from now on.
    """
    is_open, *link_columns, mode = _SUBJECT_STATE.fetch_all(*delivery.subject * 6, delivery.route_id)[0]
    link = None if link_columns[0] is None else RecordLink.from_columns(*link_columns)
    return SubjectState(not is_open, link, observes=mode == Route.Mode.OBSERVE)


def lock_open_siblings(delivery: Delivery) -> list[OpenSibling]:
    """Lock the open deliveries of a subject, in key order, until the transaction ends. Returns them, itself included.

    Call this before changing more than one delivery of a subject; otherwise two transactions could deadlock.
    """
    rows = _OPEN_SIBLINGS[connection.vendor].fetch_all(*delivery.subject)
    return [
        OpenSibling(pk, route, state, bool(is_relayed), replay, bool(is_chosen), bool(in_order))
        for pk, route, state, is_relayed, replay, is_chosen, in_order in rows
    ]


def find_next_of_subject(delivery: Delivery) -> int | None:
    """Return the delivery of its subject that is due first (after a replay, perhaps itself); None if none is."""
    row = _NEXT_OF_SUBJECT.fetch_one(*delivery.subject)
    return int(row[0]) if row else None


def find_expired_of_subject(delivery: Delivery) -> list[int]:
    """Return the delivery of its subject whose lease has ended, as a list of one or none."""
    return [row[0] for row in _EXPIRED.fetch_all(*delivery.subject)]
