"""How far a list was read, whatever the clock of the service says. Nothing here runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync.catch_up.list_place import ListPlace, ServedPage, next_watermark

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 30, 12, 0, 0, 400_000, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
OVERLAP = 2 * MINUTE


def served(date: datetime | None, took: float = 0.2) -> ServedPage:
    return ServedPage(NOW, NOW + timedelta(seconds=took), date and date.replace(microsecond=0))


@pytest.mark.parametrize(
    ("date", "took", "lag"),
    [
        # Within the whole seconds of the header, and while the request lasted, the clocks may agree.
        (NOW, 0.2, 0.0),
        (NOW + SECOND, 1.0, 0.0),
        (NOW - SECOND / 10, 0.2, 0.0),
        (None, 0.2, 0.0),
        # Behind, and ahead: as much as it may be behind at most.
        (NOW - 30 * SECOND, 0.2, 30.6),
        (NOW - 300 * SECOND, 2.0, 302.4),
        (NOW + 30 * SECOND, 0.2, -29.4),
    ],
)
def test_the_lag_of_a_clock_is_what_it_may_be_behind(date: datetime | None, took: float, lag: float) -> None:
    assert served(date, took).clock_lag.total_seconds() == pytest.approx(lag)


@pytest.mark.parametrize(
    ("modified", "lag", "changed_by"),
    [
        (None, 0.0, NOW),
        # Cut to whole seconds, and to milliseconds.
        (NOW.replace(microsecond=0) - MINUTE, 0.0, NOW.replace(microsecond=0) - MINUTE + SECOND),
        (NOW - MINUTE, 0.0, NOW - MINUTE + timedelta(milliseconds=1)),
        (NOW - 10 * MINUTE, 300.0, NOW - 5 * MINUTE + timedelta(milliseconds=1)),
        # It cannot have changed after it was read.
        (NOW + 99 * MINUTE, 0.0, NOW),
    ],
)
def test_an_entity_changed_at_the_latest_when_its_time_was_cut_or_it_was_read(
    modified: datetime | None, lag: float, changed_by: datetime
) -> None:
    place = ListPlace(NOW, NOW, lag_seconds=lag)
    assert place.changed_by(modified, NOW) == changed_by


@pytest.mark.parametrize(
    ("place", "before", "expected"),
    [
        # The greatest time, else that of the first page; else the list is read from the same time again.
        ({"greatest": NOW - 9 * MINUTE, "served_at": NOW}, None, NOW - 9 * MINUTE - OVERLAP),
        ({"served_at": NOW}, NOW - 60 * MINUTE, NOW - OVERLAP),
        ({}, NOW - 60 * MINUTE, NOW - 60 * MINUTE),
        ({}, None, NOW - 30 * MINUTE),
        # What changed while the list was read may be on a page that was read before.
        ({"greatest": NOW + 9 * MINUTE, "served_at": NOW}, None, NOW - OVERLAP),
        ({"greatest": NOW + 999 * MINUTE}, None, NOW - OVERLAP),
        # Never back, unless the clock of the service was set back.
        ({"greatest": NOW - 9 * MINUTE, "served_at": NOW}, NOW - 3 * MINUTE, NOW - 3 * MINUTE),
        ({"served_at": NOW - 60 * MINUTE}, NOW - 3 * MINUTE, NOW - 65 * MINUTE - OVERLAP),
    ],
)
def test_the_watermark_is_never_beyond_what_was_read(
    place: dict[str, Any], before: datetime | None, expected: datetime
) -> None:
    assert next_watermark(ListPlace(NOW - 30 * MINUTE, NOW, **place), before, 5 * MINUTE) == expected


def test_a_place_is_stored_and_says_if_pages_may_have_shifted() -> None:
    place = ListPlace(NOW - MINUTE, NOW)
    first = place.after_page(served(NOW), [NOW - MINUTE, None], 4, {"at": 2})
    assert ListPlace.from_json(first.to_json()) == first
    assert (first.has_shifted, first.read, first.greatest) == (False, 2, NOW - MINUTE)
    assert not first.after_page(served(NOW), [NOW - 2 * SECOND], 4, None).has_shifted
    # An entity changed since the first page, or the list got shorter.
    assert first.after_page(served(NOW), [NOW], 4, None).has_shifted
    assert first.after_page(served(NOW), [NOW - 2 * SECOND], 3, None).has_shifted
    again = first.begin_again(passes=1)
    assert (again.since, again.at, again.pages, again.passes) == (NOW - MINUTE, None, 0, 1)
