"""What the source, the two systems and the hub's tables say about the same webhooks, compared.

The driver's and the doubles' journals are kept outside the hub; their moments are those of one monotonic clock.
A request that never arrived whole at a double is in no journal: the attempt that sent it is `unknown`, not a fault.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.faults.consistency.effects import Request, doubled, falls, overlaps, read_requests
from tests.support.database.orphans import find_orphans

Entry = Mapping[str, Any]
Rows = Callable[[str], list[tuple[Any, ...]]]

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Sending:
    """One webhook as the driver sent it. `fetch_status` is None where the connection was cut before an answer began."""

    webhook_id: str
    subject: str
    sent_at: float
    status: int | None

    @property
    def is_acknowledged(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_taken_in(self) -> bool:
        """Answered, and not asked to come again."""
        return self.status is not None and self.status < 500 and self.status != 429


@dataclass(frozen=True, slots=True)
class Journals:
    """What was seen outside the hub. `wanted` and `found`: subject → e-mail address in the two systems, at rest."""

    sendings: Sequence[Sending]
    identity: Sequence[Entry]
    shop: Sequence[Entry]
    wanted: Mapping[str, str]
    found: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers for orientation, then what must be empty. `unknown` attempts are no fault: they were resolved."""

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
        """The figures that are not zero, each with what it counts."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, tuple) and value}

    def assert_clean(self) -> None:
        shown = {name: value[:SHOWN] for name, value in self.complaints.items()}
        assert not shown, f"{self}\n{shown}"

    def __str__(self) -> str:
        found = ((each.name, getattr(self, each.name)) for each in fields(self))
        return ", ".join(
            f"{name} {len(value) if isinstance(value, tuple) else value}" for name, value in found
        )


def observe(sendings: Sequence[Sending], identity: IdentityService, shop: ShopService, rows: Rows) -> Report:
    """Compare what the driver kept with the two doubles of this process and with the hub's tables. At rest only."""
    addresses = defaultdict(list)
    for record in shop.list_records("customers"):
        addresses[str(record.get("external_id"))].append(str(record["email"]))
    subjects = {each.subject for each in sendings}
    people = [each for each in identity.list_records("users") if each["id"] in subjects]
    wanted = {each["id"]: each["emails"][0]["address"] for each in people}
    return compare(Journals(sendings, identity.read_journal(), shop.read_journal(), wanted, addresses), rows)


def compare(journals: Journals, rows: Rows) -> Report:
    """Every figure of promises I1 to I3 and I7 to I10, from journals and tables alone."""
    acknowledged = {each.webhook_id for each in journals.sendings if each.is_acknowledged}
    stored = {str(row[0]) for row in rows("SELECT event_id FROM webhooks_event WHERE event_id IS NOT NULL")}
    sent = {each.webhook_id for each in journals.sendings}
    attempts = _attempts(rows)
    fetches = read_requests(journals.identity, attempts)
    at_shop = read_requests(journals.shop, attempts)
    outcomes = [outcome for _, _, outcome in attempts.values()]
    return Report(
        sent=len(journals.sendings),
        acknowledged=len(acknowledged),
        stored=len(stored),
        requests=len(fetches) + len(at_shop),
        effects=sum(each.is_effect for each in at_shop),
        unknown=outcomes.count("unknown"),
        lost=tuple(sorted(acknowledged - stored)),
        phantom=tuple(sorted(stored - sent)),
        unaccounted=tuple(_unaccounted(fetches + at_shop, attempts, rows)),
        stale=(*_different(journals), *falls(at_shop)),
        uncovered=tuple(_uncovered(journals.sendings, fetches)),
        overlap=tuple(overlaps(fetches + at_shop, attempts)),
        stuck=tuple(_stuck(rows)),
        doubled=tuple(doubled(at_shop)),
        orphaned=tuple(find_orphans(rows)),
    )


def _attempts(rows: Rows) -> dict[str, tuple[int, str, str]]:
    """Key without hyphens → number in order of their start, subject, outcome."""
    found = rows(
        "SELECT a.key, a.id, d.entity_id, a.outcome FROM sync_attempt a"
        " JOIN sync_delivery d ON d.id = a.delivery_id"
    )
    return {str(key).replace("-", ""): (number, subject, outcome) for key, number, subject, outcome in found}


def _unaccounted(
    requests: Sequence[Request], attempts: Mapping[str, tuple[int, str, str]], rows: Rows
) -> Iterable[str]:
    """Requests without an attempt, writes without their own row, and, of attempts that ended, reads without one."""
    keys = {str(row[0]) for row in rows("SELECT key FROM sync_call WHERE is_write")}
    counted = (
        "SELECT a.key, count(*) FROM sync_call c JOIN sync_attempt a ON a.id = c.attempt_id GROUP BY a.key"
    )
    calls = {str(key).replace("-", ""): int(number) for key, number in rows(counted)}
    seen: defaultdict[str, int] = defaultdict(int)
    for each in requests:
        seen[each.attempt] += 1
        if each.attempt not in attempts:
            yield f"{each} has no attempt"
        elif each.is_write and each.key not in keys:
            yield f"{each} has no row of its own"
    for attempt, number in seen.items():
        is_over = attempt in attempts and attempts[attempt][2] not in ("started", "unknown")
        if is_over and number > calls.get(attempt, 0):
            yield f"attempt {attempt} made {number} requests and has {calls.get(attempt, 0)} rows"


def _different(journals: Journals) -> Iterable[str]:
    """People whose record, where there is one, is not what the identity service says at rest."""
    for subject, address in journals.wanted.items():
        found = list(journals.found.get(subject, ()))
        if found not in ([address], [address.lower()]):
            yield f"{subject} is {address}, the shop has {found}"


def _uncovered(sendings: Sequence[Sending], fetches: Sequence[Request]) -> Iterable[str]:
    """Acknowledged webhooks after whose first sending no fetch of their entity began and was answered."""
    latest: defaultdict[str, float] = defaultdict(float)
    for fetch in fetches:
        if fetch.status in (200, 404):
            latest[fetch.subject] = max(latest[fetch.subject], fetch.started)
    first: dict[str, Sending] = {}
    for sending in sorted(sendings, key=lambda each: each.sent_at):
        first.setdefault(sending.webhook_id, sending)
    for each in {each.webhook_id for each in sendings if each.is_acknowledged}:
        if latest[first[each].subject] < first[each].sent_at:
            yield f"{each} of {first[each].subject}"


def _stuck(rows: Rows) -> Iterable[str]:
    """What is still open although nothing runs any more. Held for a person is no fault; a next time is not enough."""
    is_open = "state IN ('pending', 'retrying', 'running')"
    for number, state, code in rows(f"SELECT id, state, code FROM sync_delivery WHERE {is_open}"):
        yield f"delivery {number} is {state} ({code})"
    for number, state in rows(f"SELECT id, state FROM webhooks_event WHERE {is_open}"):
        yield f"event {number} is {state}"
