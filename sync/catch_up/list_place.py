"""The place in a list of changed entities, what was learned of its clock, and how far the list has been read. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

# Of what was read, so much is read again: a service may show a change later than it dates it.
OVERLAP = timedelta(seconds=120)
# A list whose order may have shifted while it was read is read so often.
MAX_PASSES = 3
# A list whose place was refused is read from its beginning so often in one run.
MAX_RESTARTS = 2
# A page that fails in so many runs in a row is read no further: the list is read from its beginning.
MAX_FAILURES = 3
# A place that is older is not used any more.
MAX_AGE = timedelta(hours=1)
_SECOND, _MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
_TIMES = ("since", "began_at", "served_at", "greatest")


@dataclass(frozen=True, slots=True)
class ServedPage:
    """When a page was requested and received, by the hub's clock, and its header `Date`, which has whole seconds."""

    requested_at: datetime
    received_at: datetime
    date: datetime | None

    @property
    def clock_lag(self) -> timedelta:
        """Return how much to add to a time of the service to get the hub's: at least what it may be behind.

        Zero while both clocks may agree: the time of the request and the missing fraction of a second say no more.
        """
        if (
            self.date is None
            or self.date - self.received_at <= timedelta() <= self.date + _SECOND - self.requested_at
        ):
            return timedelta()
        return self.received_at - self.date


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Where a list is read further, `at` the position of the next page (None: the first one).

    All pages ask for what changed since `since`. `served_at`: when the first page was served, by the service's clock;
    None if it does not say. `greatest` is the greatest time of change so far, and `lag` what to add to such times.
    `has_shifted`: entities may have moved to pages that were read. `began_at`: of this pass, by the hub's clock.
    """

    since: datetime
    began_at: datetime
    at: dict[str, Any] | None = None
    served_at: datetime | None = None
    greatest: datetime | None = None
    lag_seconds: float = 0.0
    total: int | None = None
    read: int = 0
    pages: int = 0
    has_shifted: bool = False
    passes: int = 0
    restarts: int = 0
    failures: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the place as a JSON object."""
        times = {name: value and value.isoformat() for name in _TIMES for value in [getattr(self, name)]}
        return asdict(self) | times

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read a stored place. Raises TypeError or ValueError if it is none."""
        times = {name: document[name] and datetime.fromisoformat(document[name]) for name in _TIMES}
        return cls(**document | times)

    def after_page(
        self,
        served: ServedPage,
        times: Iterable[datetime | None],
        total: int | None,
        at: dict[str, Any] | None,
    ) -> Self:
        """Return the place after a page with entities of these times of change."""
        place, times = self, list(times)
        if not self.pages:
            lag = served.clock_lag.total_seconds()
            place = replace(self, served_at=served.date, lag_seconds=lag, began_at=served.requested_at)
        known = [time for time in times if time is not None]
        is_moving = any(time >= place.reached_at_most for time in known)
        return replace(
            place,
            at=at,
            greatest=max([*known, *([place.greatest] if place.greatest else [])], default=None),
            total=total,
            read=place.read + len(times),
            pages=place.pages + 1,
            has_shifted=place.has_shifted or is_moving or bool(place.pages and total != place.total),
        )

    @property
    def reached_at_most(self) -> datetime:
        """Return the time up to which the list can have been read: a later change may be on a page that was read."""
        return self.served_at or self.began_at

    def changed_by(self, modified_at: datetime | None, received_at: datetime) -> datetime:
        """Return the latest time, by the hub's clock, at which an entity can have got the state that was listed."""
        if modified_at is None:
            return received_at
        return min(_uncut(modified_at) + timedelta(seconds=self.lag_seconds), received_at)

    def begin_again(self, **values: Any) -> Self:
        """Return the place of the first page, to read the whole list once more."""
        return type(self)(
            self.since, self.began_at, **{"restarts": self.restarts, "passes": self.passes, **values}
        )


def is_before(modified_at: datetime | None, starts_at: datetime) -> bool:
    """Return True if an entity changed for certain before a time of the service."""
    return modified_at is not None and _uncut(modified_at) <= starts_at


def _uncut(time: datetime) -> datetime:
    """Return the end of the second, or millisecond, to which a service cut a time."""
    return time + (_MILLISECOND if time.microsecond else _SECOND)


def next_watermark(place: ListPlace, before: datetime | None, elapsed: timedelta) -> datetime:
    """Return the time before which every change was read, once the list was read to its end.

    It is the greatest time of change, else the time of the first page, less OVERLAP; never a time at which a page that
    was read may have missed a change. `before`: the watermark so far. `elapsed`: the time since it was set. If the
    clock of the service was set back, the watermark goes back too.
    """
    served_at = place.served_at
    if before is not None and served_at is not None and served_at < before:
        return served_at - elapsed - OVERLAP
    reached = served_at if place.greatest is None else min(place.greatest, place.reached_at_most)
    if reached is None:
        return before or place.since
    return reached - OVERLAP if before is None else max(before, reached - OVERLAP)
