"""Back-tests as people and workers see them: asked for, run here where they are small, else by a worker.

Only what the hub keeps is read. A run that was cut off is begun anew by the next worker: it changes nothing but its
own row.
"""

import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.entries.append import Happening, append
from database.clock import database_now
from database.statement import Statement
from sync.mappings.drafts import Author, current_of
from sync.mappings.past_entities import Kept, kept_chunks
from sync.models import BackTest, BackTestState, DraftState, MappingDraft, Route
from sync.planning.mapping import ParsedMapping, parse_mapping
from sync.planning.mapping_comparison import Compared, Comparison, compare

logger = logging.getLogger("hub.backtests")

FEWEST, MOST = 10, 1_000
AT_ONCE = 200  # more than these are for a worker
HERE_SECONDS, WORKER_SECONDS = 20.0, 600.0
LEASE_SECONDS = 60.0
EXAMPLES_OF_EACH, MOST_EXAMPLES = 5, 40
GOES_ON: Callable[[], bool] = lambda: True  # noqa: E731 - where nobody can tell this process to end
OPEN = (BackTestState.WAITING, BackTestState.RUNNING)
# Asked each second: past the ORM.
_ANY = Statement("SELECT 1 FROM sync_backtest WHERE state IN ('waiting', 'running') LIMIT 1")


class NotTestable(ValueError):
    """Why no back-test was begun, in a sentence for the person who asked."""


class Lost(Exception):
    """Another process has the run by now."""


def ask(draft: MappingDraft, wanted: int, author: Author) -> BackTest:
    """A back-test of so many events, 10 to 1,000, that waits. `NotTestable`."""
    if not FEWEST <= wanted <= MOST:
        raise NotTestable(f"Choose between {FEWEST} and {MOST:,} events.")
    with transaction.atomic():
        draft = MappingDraft.objects.select_for_update().get(pk=draft.pk)
        if draft.state != DraftState.OPEN:
            raise NotTestable("This draft is not open any more.")
        if draft.backtests.filter(state__in=OPEN).exists():
            raise NotTestable("A back-test of this draft is under way already.")
        made = BackTest(draft=draft, base=current_of(draft.mapping), wanted=wanted)
        made.asked_by_id, made.asked_at = author.user.pk, timezone.now()
        made.save(force_insert=True)
        details = {"backtest": str(made.uuid), "draft": draft.pk, "events": wanted, "address": author.address}
        append(Happening(draft.mapping.stream, "mapping.backtested", f"person:{author.user.pk}", details))
    return made


def look(goes_on: Callable[[], bool] = GOES_ON) -> None:
    """A worker's look: the oldest run that waits, or whose process is gone. Where it may not go on, the next worker
    begins it anew."""
    if not _ANY.row():
        return
    open_ones = BackTest.objects.filter(state__in=OPEN)
    gone = open_ones.filter(state=BackTestState.RUNNING, lease_until__lte=database_now())
    gone.update(state=BackTestState.WAITING, token=None, lease_until=None)
    waiting = BackTest.objects.filter(state=BackTestState.WAITING).order_by("pk")
    for key in waiting.values_list("pk", flat=True)[:1]:
        run(key, WORKER_SECONDS, goes_on)


def run(key: int, seconds: float, goes_on: Callable[[], bool] = GOES_ON) -> bool:
    """Run it within so many seconds, if nobody else does; whether this process did."""
    token = uuid.uuid4()
    claimed = BackTest.objects.filter(pk=key, state=BackTestState.WAITING).update(
        state=BackTestState.RUNNING, token=token, lease_until=database_now(plus_seconds=LEASE_SECONDS)
    )
    if not claimed:
        return False
    try:
        backtest = BackTest.objects.select_related("draft", "base").get(pk=key)
        _run(backtest, token, time.monotonic() + seconds, goes_on)
    except Lost:
        logger.info("back-test %s was taken by another worker", key)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("back-test %s failed", key)
        _write(key, token, {"state": BackTestState.FAILED, "ended_at": timezone.now()})
    return True


@dataclass
class Tally:
    """What has come out so far."""

    looked_at: int = 0
    newest_at: datetime | None = None
    oldest_at: datetime | None = None
    counts: Counter[str] = field(default_factory=Counter)
    untestable: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def tested(self) -> int:
        return self.counts.total()

    def skip(self, kept: Kept) -> None:
        """An event of which nothing can be said."""
        self._look(kept)
        self.untestable[str(kept.reason)] += 1

    def add(self, kept: Kept, compared: Compared) -> None:
        """An event that was tested."""
        self._look(kept)
        is_new = any(name not in self.fields for name in compared.names)
        self.counts[str(compared.outcome)] += 1
        self.fields.update(compared.names)
        shown = compared.outcome not in (Comparison.SAME, Comparison.FAILS_BOTH)
        few = self.counts[str(compared.outcome)] <= EXAMPLES_OF_EACH
        if shown and (few or is_new) and len(self.examples) < MOST_EXAMPLES:
            self.examples.append(
                {"event": kept.event.pk, "outcome": str(compared.outcome), "fields": list(compared.names)}
            )

    def _look(self, kept: Kept) -> None:
        self.looked_at += 1
        self.newest_at = self.newest_at or kept.event.received_at
        self.oldest_at = kept.event.received_at

    def values(self) -> dict[str, Any]:
        """As the row keeps it."""
        return {
            "looked_at": self.looked_at,
            "newest_at": self.newest_at,
            "oldest_at": self.oldest_at,
            "counts": dict(self.counts),
            "untestable": dict(self.untestable),
            "fields": dict(self.fields.most_common()),
            "examples": self.examples,
        }


def mappings_of(backtest: BackTest) -> tuple[ParsedMapping | None, ParsedMapping]:
    """The version in force when it was asked for, and the draft."""
    base = None if backtest.base is None else parse_mapping(backtest.base.declaration)
    return base, parse_mapping(backtest.draft.declaration)


def routes_of(mapping_id: int) -> list[Route]:
    """Where a mapping is used; disabled routes too: their events were real."""
    return list(Route.objects.filter(mapping=mapping_id).select_related("source", "identity", "commercial"))


def _run(backtest: BackTest, token: uuid.UUID, until: float, goes_on: Callable[[], bool]) -> None:
    current, draft = mappings_of(backtest)
    tally, chunks = Tally(), kept_chunks(routes_of(backtest.draft.mapping_id))
    ended_by = ""
    while not ended_by:
        if not goes_on():
            free = {"state": BackTestState.WAITING, "token": None, "lease_until": None}
            BackTest.objects.filter(pk=backtest.pk, token=token).update(**free)
            return
        ended_by = _take(next(chunks, None), tally, current, draft, backtest.wanted)
        if not ended_by and time.monotonic() >= until:
            ended_by = "time"
        _write(backtest.pk, token, tally.values())
    ended = {"state": BackTestState.DONE, "ended_by": ended_by, "ended_at": timezone.now()}
    _write(backtest.pk, token, ended)


def _take(
    chunk: list[Kept] | None,
    tally: Tally,
    current: ParsedMapping | None,
    draft: ParsedMapping,
    wanted: int,
) -> str:
    """Compare the events of a chunk; why it ends here, where it does."""
    if chunk is None:
        return "no-more"
    for kept in chunk:
        if kept.given is None:
            tally.skip(kept)
            continue
        tally.add(kept, compare(current, draft, kept.given))
        if tally.tested >= wanted:
            return "enough"
    return ""


def _write(key: int, token: uuid.UUID, values: dict[str, Any]) -> None:
    is_over = "state" in values
    lease = None if is_over else database_now(plus_seconds=LEASE_SECONDS)
    own = BackTest.objects.filter(pk=key, token=token, state=BackTestState.RUNNING)
    if not own.update(**values, lease_until=lease, **({"token": None} if is_over else {})):
        raise Lost
