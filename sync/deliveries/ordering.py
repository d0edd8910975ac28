"""What else is under way for a subject: its open deliveries, and the order between them."""

from dataclasses import dataclass

from django.db import connection

from database.bulk_insert import next_key
from database.statement import Statement
from sync.deliveries.predicates import is_not_suspect
from sync.deliveries.record_links import Linked
from sync.models import Delivery

SUBJECT = ("entity_id", "entity_type", "identity", "commercial")  # what deliveries of one have in common

_OPEN = """entity_id = %s AND entity_type = %s AND identity_id = %s AND commercial_id = %s
    AND state IN ('pending', 'retrying', 'running', 'held')"""
_SIBLINGS = f"""SELECT id, route_id, state, is_relayed, replay_id,
    takes <> '' OR mapping_version_id IS NOT NULL
    FROM sync_delivery WHERE {_OPEN} AND state <> 'held' ORDER BY id"""  # noqa: S608
_OPEN_SIBLINGS = {"sqlite": Statement(_SIBLINGS), "postgresql": Statement(f"{_SIBLINGS} FOR UPDATE")}
_FOLLOWER = Statement(  # why one state is hidden: see `sync.deliveries.claims`
    f"""SELECT id FROM sync_delivery WHERE {_OPEN} AND COALESCE(state, '') IN ('pending', 'retrying')
    AND due_at <= {{now}} AND {is_not_suspect()} ORDER BY due_at, id LIMIT 1"""  # noqa: S608
)
# Of a delivery `d`: it cannot be claimed, being relayed and behind an older one of its subject.
STANDS_BEHIND = """(d.is_relayed AND EXISTS (SELECT 1 FROM sync_delivery o WHERE o.entity_id = d.entity_id
    AND o.entity_type = d.entity_type AND o.identity_id = d.identity_id AND o.commercial_id = d.commercial_id
    AND o.state IN ('pending', 'retrying', 'running', 'held') AND o.state <> 'held'
    AND o.is_relayed AND o.id < d.id))"""
_LINK = """(SELECT {column} FROM sync_link
    WHERE entity_id = %s AND entity_type = %s AND identity_id = %s AND commercial_id = %s)"""
_SEEING = f"""SELECT {{key}}, EXISTS (SELECT 1 FROM sync_delivery WHERE {_OPEN} AND state <> 'held'),
    {_LINK.format(column="record_id")}, {_LINK.format(column="occurred_at")}"""  # noqa: S608
_SEEN = {
    "sqlite": Statement(_SEEING.format(key="NULL")),
    "postgresql": Statement(_SEEING.format(key=next_key(Delivery))),
}
_EXPIRED = Statement(
    f"SELECT id FROM sync_delivery WHERE {_OPEN} AND state = 'running' AND lease_until <= {{now}}"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Sibling:
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
class Seen:
    """A subject before a delivery of it is stored. `key`: on PostgreSQL, taken for that delivery beforehand. `is_free`:
    nothing else of it is open.
    """

    key: int | None
    is_free: bool
    link: Linked | None


def seen(delivery: Delivery) -> Seen:
    """What there is of its subject. Only the constraint keeps others from beginning something of it from now on."""
    subject = _subject(delivery)
    key, is_open, record_id, occurred_at = _SEEN[connection.vendor].rows(*subject * 3)[0]
    return Seen(key, not is_open, None if record_id is None else Linked.of(record_id, occurred_at))


def lock_open(delivery: Delivery) -> list[Sibling]:
    """The open deliveries of its subject, itself too, locked in one order until the transaction ends.

    Whoever is about to change more than one delivery of a subject asks for this first; otherwise two of them could
    wait for each other for ever. (SQLite has one writer anyway.)
    """
    rows = _OPEN_SIBLINGS[connection.vendor].rows(*_subject(delivery))
    return [
        Sibling(pk, route, state, bool(is_relayed), replay, bool(is_chosen))
        for pk, route, state, is_relayed, replay, is_chosen in rows
    ]


def next_of_subject(delivery: Delivery) -> int | None:
    """The delivery of its subject that is due first, itself where it was asked for again."""
    found = _FOLLOWER.row(*_subject(delivery))
    return int(found[0]) if found else None


def expired_of_subject(delivery: Delivery) -> list[int]:
    """The delivery of its subject that a process held longer than its lease, if there is one."""
    return [row[0] for row in _EXPIRED.rows(*_subject(delivery))]


def _subject(delivery: Delivery) -> tuple[str, str, int, int]:
    return delivery.entity_id, delivery.entity_type, delivery.identity_id, delivery.commercial_id
