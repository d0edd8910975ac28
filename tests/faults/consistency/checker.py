"""A comparison of what the source, the two systems and the hub's tables recorded about the same webhooks.

The journals of the driver and of the stand-in services are kept outside the hub; their times are of one monotonic clock.
A request that was never received completely is in no journal: the attempt that sent it has no result, not a fault.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.effects import (
    Request,
    find_overlaps,
    find_repeated_effects,
    find_version_drops,
    read_requests,
)
from tests.support.database.orphans import find_orphans

Entry = Mapping[str, Any]
Rows = Callable[[str], list[tuple[Any, ...]]]

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Sending:
    """One event as the driver sent it. `status` is None if the connection was cut before an answer began.

    `is_delivered` is False for an event that is stored and not delivered.
    """

    webhook_id: str
    subject: str
    sent_at: float
    status: int | None
    is_delivered: bool = True

    @property
    def is_acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """True if the webhook was answered and the source need not send it again."""
        return self.status is not None and self.status < 500 and self.status != 429


@dataclass(frozen=True, slots=True)
class Journals:
    """The journals kept outside the hub, and subject → e-mail addresses in the two systems once all is delivered."""

    sendings: Sequence[Sending]
    identity: Sequence[Entry]
    shop: Sequence[Entry]
    identity_addresses: Mapping[str, str]
    shop_addresses: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """Counts for orientation, then lists of faults, which must be empty. `unknown`: the
    attempts that ended without a result, also as `interrupted`. They are no fault: they were resolved.
    """

    sent: int
    acknowledged: int
    stored: int
    requests: int
    effects: int
    unknown: int
    lost: tuple[str, ...]
    phantom: tuple[str, ...]
    unaccounted: tuple[str, ...]
    stale: tuple[str, ...]
    uncovered: tuple[str, ...]
    overlap: tuple[str, ...]
    stuck: tuple[str, ...]
    doubled: tuple[str, ...]
    orphaned: tuple[str, ...]

    @property
    def complaints(self) -> dict[str, tuple[str, ...]]:
        """Return the lists of faults that are not empty, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, tuple) and value}

    def assert_clean(self) -> None:
        shown = {name: value[:SHOWN] for name, value in self.complaints.items()}
        assert not shown, f"{self}\n{shown}"

    def __str__(self) -> str:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ", ".join(
            f"{name} {len(value) if isinstance(value, tuple) else value}" for name, value in values
        )


def observe(sendings: Sequence[Sending], identity: IdentityService, shop: ShopService, rows: Rows) -> Report:
    """Compare the driver's sendings with both stand-in services and the hub's tables. Requires that nothing is running."""
    addresses = defaultdict(list)
    for record in shop.list_records("customers"):
        addresses[str(record.get("external_id"))].append(str(record["email"]))
    subjects = {sending.subject for sending in sendings if sending.is_delivered}
    people = [user for user in identity.list_records("users") if user["id"] in subjects]
    wanted = {user["id"]: user["emails"][0]["address"] for user in people}
    return compare(Journals(sendings, identity.read_journal(), shop.read_journal(), wanted, addresses), rows)


def compare(journals: Journals, rows: Rows) -> Report:
    """Check promises I1 to I3 and I7 to I10 from journals and tables alone."""
    acknowledged = {sending.webhook_id for sending in journals.sendings if sending.is_acknowledged}
    stored = {str(row[0]) for row in rows("SELECT event_id FROM webhooks_event WHERE event_id IS NOT NULL")}
    sent = {sending.webhook_id for sending in journals.sendings}
    attempts = _attempts(rows)
    fetches = read_requests(journals.identity, attempts)
    at_shop = read_requests(journals.shop, attempts)
    outcomes = [outcome for _, _, outcome in attempts.values()]
    return Report(
        sent=len(journals.sendings),
        acknowledged=len(acknowledged),
        stored=len(stored),
        requests=len(fetches) + len(at_shop),
        effects=sum(request.is_effect for request in at_shop),
        unknown=outcomes.count("unknown") + outcomes.count("interrupted"),
        lost=tuple(sorted(acknowledged - stored)),
        phantom=tuple(sorted(stored - sent)),
        unaccounted=tuple(_unaccounted(fetches + at_shop, attempts, rows)),
        stale=(*_different(journals), *find_version_drops(at_shop)),
        uncovered=tuple(_uncovered(journals.sendings, fetches)),
        overlap=tuple(find_overlaps(fetches + at_shop, attempts)),
        stuck=tuple(_stuck(rows)),
        doubled=tuple(find_repeated_effects(at_shop)),
        orphaned=tuple(find_orphans(rows)),
    )


def _attempts(rows: Rows) -> dict[str, tuple[int, str, str]]:
    """Return key without hyphens → number in order of start, subject, outcome."""
    attempts = rows(
        "SELECT a.key, a.id, d.entity_id, a.outcome FROM sync_attempt a"
        " JOIN sync_delivery d ON d.id = a.delivery_id"
    )
    return {
        str(key).replace("-", ""): (number, subject, outcome) for key, number, subject, outcome in attempts
    }


def _unaccounted(
    requests: Sequence[Request], attempts: Mapping[str, tuple[int, str, str]], rows: Rows
) -> Iterable[str]:
    """Yield requests without an attempt, writes without a row of their own, and ended attempts with too few rows."""
    keys = {str(row[0]) for row in rows("SELECT key FROM sync_call WHERE is_write")}
    counted = (
        "SELECT a.key, count(*) FROM sync_call c JOIN sync_attempt a ON a.id = c.attempt_id GROUP BY a.key"
    )
    calls = {str(key).replace("-", ""): int(number) for key, number in rows(counted)}
    seen: defaultdict[str, int] = defaultdict(int)
    for request in requests:
        seen[request.attempt] += 1
        if request.attempt not in attempts:
            yield f"{request} has no attempt"
        elif request.is_write and request.key not in keys:
            yield f"{request} has no row of its own"
    for attempt, number in seen.items():
        is_over = attempt in attempts and attempts[attempt][2] not in ("started", "unknown", "interrupted")
        if is_over and number > calls.get(attempt, 0):
            yield f"attempt {attempt} made {number} requests and has {calls.get(attempt, 0)} rows"


def _different(journals: Journals) -> Iterable[str]:
    """Yield people whose address in the shop differs from the one in the identity service."""
    for subject, address in journals.identity_addresses.items():
        shop_addresses = list(journals.shop_addresses.get(subject, ()))
        if shop_addresses not in ([address], [address.lower()]):
            yield f"{subject} is {address}, the shop has {shop_addresses}"


def _uncovered(sendings: Sequence[Sending], fetches: Sequence[Request]) -> Iterable[str]:
    """Yield acknowledged webhooks whose entity was not fetched after their first sending."""
    latest: defaultdict[str, float] = defaultdict(float)
    for fetch in fetches:
        if fetch.status in (200, 404):
            latest[fetch.subject] = max(latest[fetch.subject], fetch.started)
    first: dict[str, Sending] = {}
    for sending in sorted(sendings, key=lambda sending: sending.sent_at):
        first.setdefault(sending.webhook_id, sending)
    delivered = (sending for sending in sendings if sending.is_acknowledged and sending.is_delivered)
    for webhook_id in {sending.webhook_id for sending in delivered}:
        if latest[first[webhook_id].subject] < first[webhook_id].sent_at:
            yield f"{webhook_id} of {first[webhook_id].subject}"


def _stuck(rows: Rows) -> Iterable[str]:
    """Yield deliveries and events that are still open. A held delivery is no fault; one that waits for a retry is."""
    is_open = "state IN ('pending', 'retrying', 'running')"
    for number, state, code in rows(f"SELECT id, state, code FROM sync_delivery WHERE {is_open}"):
        yield f"delivery {number} is {state} ({code})"
    for number, state in rows(f"SELECT id, state FROM webhooks_event WHERE {is_open}"):
        yield f"event {number} is {state}"
