"""Nothing of an erased person stays in comparisons, also while one runs; a later one only counts her."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from sync.comparisons.sides.comparison_run import ComparisonRun
from sync.erasure.erase import run_erasure
from sync.housekeeping.retention_rules import prune_expired
from sync.models import Comparison, ComparisonRecord, Difference
from tests.support.builders.compared_systems import (
    ComparedSystems,
    add_delivery,
    begin_comparison,
    compare,
    found_rows,
    run_to_end,
)
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.rows import in_submission

pytestmark = pytest.mark.concurrent


def erase(user: str) -> None:
    assert run_erasure(confirmed_erasure(InventedPerson(user, "Name", "name@example.com")))


@pytest.fixture
def both_differ(systems: ComparedSystems) -> ComparedSystems:
    """Two people who differ; the hub has an event of one only."""
    systems.add_pair(0, last_name="Other")
    systems.add_pair(1, last_name="Other")
    add_delivery("U00", "succeeded")
    return systems


@pytest.mark.promise("I19")
@pytest.mark.parametrize("user", in_submission(["U00", "U01"], but=["U01"]))
def test_an_erasure_deletes_differences_and_later_comparisons_only_count(
    both_differ: ComparedSystems, user: str
) -> None:
    assert len(found_rows(compare())) == 2
    erase(user)
    assert not Difference.objects.filter(entity_id=user).exists()
    later = compare()
    other = "U01" if user == "U00" else "U00"
    assert [entity for _, entity, _ in found_rows(later)] == [other]
    assert sum(later.counts.get(kind, 0) for kind in ("differs", "missing-record")) == 2
    add_delivery(user, "succeeded", knows_again=True)
    assert user in {entity for _, entity, _ in found_rows(compare())}


@pytest.mark.promise("I19")
def test_an_erasure_reaches_a_comparison_that_runs(
    both_differ: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, require = begin_comparison(), ComparisonRun.require_running
    # Whether there are rows of her, before and after the erasure: an assertion in the job would only be retried.
    seen: list[tuple[bool, bool]] = []

    def note_rows() -> None:
        rows = Difference.objects.filter(entity_id="U00"), ComparisonRecord.objects.filter(record_id="c00")
        seen.append((rows[0].exists(), rows[1].exists()))

    def erase_once_then_require(run: ComparisonRun) -> None:
        if run.comparison.read_entities and not seen:
            note_rows()
            erase("U00")
            note_rows()
        require(run)

    monkeypatch.setattr(ComparisonRun, "require_running", erase_once_then_require)
    run_to_end(comparison)
    assert seen == [(True, True), (False, False)]
    assert [entity for _, entity, _ in found_rows(comparison)] == ["U01"]


def test_counts_are_kept_as_long_as_events(both_differ: ComparedSystems) -> None:
    old, new = compare(), compare()
    assert len(found_rows(old)) == len(found_rows(new)) == 2
    age = timedelta(days=settings.KEEP_EVENTS_DAYS + 1)
    Comparison.objects.filter(pk=old.pk).update(requested_at=timezone.now() - age)
    prune_expired()
    assert list(Comparison.objects.values_list("pk", flat=True)) == [new.pk]
    assert set(Difference.objects.values_list("comparison", flat=True)) == {new.pk}
