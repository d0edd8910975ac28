"""The alert rules and the dashboard name metrics that exist, and each rule fires for a hub in that state."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from django.conf import settings
from django.db import connection

from audit.entries.append import NewEntry, append_entries
from audit.models import CheckpointChannel, Verification
from database.clock import read_clock
from devtools.format_tables import rewrite_tables
from sync.metrics import declared
from sync.metrics.declared import ALL_METRICS
from sync.metrics.process_metrics import (
    MeasuredProcess,
    count_request,
    count_webhook,
    running_attempt,
    running_request,
)
from sync.models import (
    Alarm,
    CatchUp,
    Comparison,
    Connection,
    Difference,
    Job,
    Notification,
    PeriodicTask,
    Route,
)
from sync.monitoring import metric_figures
from sync.monitoring.alarms import evaluate_alarms
from sync.statistics.periodic_recount import recount_stale_hours
from tests.support.alert_rules import FOLDER, Scrapes, firing, promtool_test, read_rules
from tests.support.builders.alarms import a_late_delivery, a_paused_connection, minutes
from tests.support.builders.differences import a_comparison, a_difference
from tests.support.builders.history import a_route, a_source, an_event
from tests.support.metrics import get_metrics, measured_hub, scrape

# Prometheus adds these to each sample.
ADDED_LABELS = {"instance", "job"}
NOT_OF_A_SICK_HUB = {"HubMetricsMissing", "HubDatabaseDown"}


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[MeasuredProcess]:
    with measured_hub(tmp_path) as process:
        yield process


def expressions() -> list[str]:
    """Return all expressions of the rules and of the panels, those above and below a line apart."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [
        part for text in (*(rule["expr"] for rule in read_rules()), *panels) for part in text.split(" / ")
    ]


@pytest.mark.pure
def test_rules_and_panels_name_metrics_and_labels_that_exist() -> None:
    known = {metric.name: metric for metric in ALL_METRICS if metric.kind != "histogram"}
    for metric in ALL_METRICS:
        if metric.kind == "histogram":
            known |= {f"{metric.name}_{suffix}": metric for suffix in ("bucket", "sum", "count")}
    wrong = []
    for expression in expressions():
        names = set(re.findall(r"hub_\w+", expression))
        labels = set(re.findall(r'(\w+)(?:=~|=)"', expression)) | {
            label
            for group in re.findall(r"by \(([^)]*)\)", expression)
            for label in re.findall(r"\w+", group)
        }
        allowed = ADDED_LABELS | {"le"} if "_bucket" in expression else ADDED_LABELS
        for name in names:
            labels_of = set(known[name].labels) | allowed if name in known else set()
            wrong += [(name, expression)] if name not in known or labels - labels_of else []
        assert names, expression
    assert wrong == []
    assert {metric.family for metric in ALL_METRICS} > {"hub_deliveries", "hub_oldest_due_seconds"}


@pytest.mark.pure
def test_the_page_lists_every_metric_as_it_is_declared() -> None:
    """`make docs` writes its tables."""
    page = (FOLDER.parents[1] / "docs" / "operations" / "metrics.md").read_text()
    assert rewrite_tables(page) == page
    assert [metric.name for metric in ALL_METRICS if f"| `{metric.name}` |" not in page] == []


@pytest.mark.pure
def test_texts_of_rules_use_only_labels_that_the_result_has() -> None:
    for rule in read_rules():
        kept = set(re.findall(r"\w+", ",".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
        used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert used <= kept, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "action"}


@pytest.mark.django_db
def test_each_rule_fires_for_a_hub_in_its_state_and_none_for_a_healthy_one(
    measured: MeasuredProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, sick = _scrape_both_states(measured)
    assert firing(healthy) == set()
    assert firing(sick) == _rules_of_a_sick_hub()
    assert "HubMetricsMissing" in firing(Scrapes({}, {}))
    # The healthy hub has no backup at all.
    backed_up = {("hub_backup_age_seconds", frozenset[tuple[str, str]]()): 86_400.0}
    assert firing(Scrapes(backed_up, backed_up)) == {"HubMetricsMissing"}
    monkeypatch.setitem(
        metric_figures._FIGURES, connection.vendor, metric_figures.Statement("SELECT 1 FROM nowhere")
    )
    down = scrape()
    assert firing(Scrapes(down, down)) & NOT_OF_A_SICK_HUB == {"HubDatabaseDown"}


@pytest.mark.submission
@pytest.mark.django_db
def test_the_rules_say_the_same_to_prometheus(measured: MeasuredProcess, tmp_path: Path) -> None:
    """What no other test holds: the evaluation above reads the expressions as Prometheus does."""
    healthy, sick = _scrape_both_states(measured)
    if (promtool := shutil.which("promtool")) is not None:
        _compare_with_promtool(promtool, tmp_path, healthy, set())
        _compare_with_promtool(promtool, tmp_path, sick, _rules_of_a_sick_hub())


def _rules_of_a_sick_hub() -> set[str]:
    return {rule["alert"] for rule in read_rules()} - NOT_OF_A_SICK_HUB


def _scrape_both_states(measured: MeasuredProcess) -> tuple[Scrapes, Scrapes]:
    """Return the scrapes of a healthy hub, and of the same one with every trouble that a rule is about."""
    _bring_health()
    _measure_calm(measured)
    healthy = Scrapes(scrape(), scrape())
    with ExitStack() as stack:
        _measure_trouble(measured, stack, times=1)
        before = scrape()
        _bring_sickness()
        _measure_trouble(measured, stack, times=100)
        return healthy, Scrapes(before, scrape())


def _bring_health() -> None:
    """A worker has just ended its work, the audit log was just verified, and two systems compared by schedule, and what changed read."""
    now = read_clock()
    route = a_route(a_source(), compare_every_hours=24)
    a_difference(a_comparison(route, counts={"differs": 1}), "differs", "U1")
    Connection.objects.filter(pk=route.identity_id).update(catch_up_minutes=5)
    CatchUp.objects.create(identity=route.identity, entity_type="USER", created_at=now, read_at=now)
    PeriodicTask.objects.update_or_create(name="alarms", defaults={"due_at": now, "ended_at": now})
    Verification.objects.create(at=now, segments=1, entries=1, seconds=1.0, faults=0)


def _bring_sickness() -> None:
    """Bring every state of the database that a rule is about."""
    now = read_clock()
    # The oldest entry of all.
    append_entries(NewEntry("hub", "hub.started", "system"), at=now - minutes(10))
    append_entries(NewEntry("system", "database.backed-up"), at=now - timedelta(days=3))
    a_late_delivery(now - minutes(10))
    a_late_delivery(now - minutes(10), "running", token=uuid4(), lease_until=now - minutes(1))
    an_event(1, state="dead", received_at=now - timedelta(seconds=1))
    an_event(2, state="held", received_at=now - timedelta(seconds=1))
    a_paused_connection(now - minutes(10), now + minutes(1), slug="failing", name="Failing")
    Comparison.objects.update(requested_at=now - minutes(30 * 60))
    Difference.objects.update(since=now - minutes(25 * 60))
    a_comparison(Route.objects.get(), state="failed", requested_at=now - minutes(26 * 60))
    CatchUp.objects.update(read_at=now - minutes(30))
    recount_stale_hours()
    evaluate_alarms()
    alarm = Alarm.objects.first()
    Notification.objects.create(alarm=alarm, channel="email", kind="raised", due_at=now)
    Job.objects.create(kind="export", subject=1, submitted_at=now, due_at=now - minutes(60))
    PeriodicTask.objects.update(ended_at=now - minutes(10))
    Verification.objects.create(at=now - timedelta(days=3), segments=1, entries=1, seconds=1.0, faults=2)
    CheckpointChannel.objects.create(
        name="email", due_at=now, failing_since=now - minutes(60), failure="refused"
    )


def _measure_calm(process: MeasuredProcess) -> None:
    count_webhook("aurora", "succeeded", 200, 0.1)
    count_request("shop", "update", "", 0.1)


def _measure_trouble(process: MeasuredProcess, stack: ExitStack, times: int) -> None:
    """Measure `times` of each trouble, with all threads busy and others waiting for the database."""
    for _ in range(times):
        count_webhook("aurora", "storage-unavailable", 503, 0.1)
        count_webhook("aurora", "bad-signature", 401, 0.1)
        count_webhook("aurora", "succeeded", 200, 20.0)
        count_request("shop", "update", "target-timeout", 10.0)
    if times > 1:
        for _ in range(settings.DELIVERY_THREADS):
            stack.enter_context(running_attempt())
        for _ in range(32):
            stack.enter_context(running_request())
        assert process.files is not None
        process.files.set(declared.POOL_WAITING, ("web",), 3)


def _compare_with_promtool(promtool: str, folder: Path, scrapes: Scrapes, expected: set[str]) -> None:
    """Let Prometheus' own program judge the rules over the same samples, and the format of `/metrics`."""
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(promtool_test(scrapes, expected)))
    for command, given in (
        (["test", "rules", str(file)], None),
        (["check", "rules", str(FOLDER / "alerts.yml")], None),
        (["check", "metrics", "--extended"], get_metrics().content),
    ):
        result = subprocess.run(
            [promtool, *command], input=given, capture_output=True, timeout=600, check=False
        )
        assert result.returncode == 0, (command, result.stdout[-2000:], result.stderr[-2000:])
