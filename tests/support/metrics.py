"""What `/metrics` says, in tests: this process measures into a folder of the test."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client, override_settings
from prometheus_client.parser import text_string_to_metric_families

from sync.metrics import process_metrics
from sync.metrics.declared import DELIVERY_THREADS, HTTP_THREADS
from sync.metrics.process_metrics import MeasuredProcess
from sync.monitoring.metric_figures import figure_reader

TOKEN = "b3Xv7Qk1s9Zr5Tn2Lw8Yc4Hd6Mf0Pg_JuA"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@contextmanager
def measured_hub(folder: Path) -> Iterator[MeasuredProcess]:
    """Measure this process, without a thread of its own, as if it were a web process of 32 threads."""
    with override_settings(METRICS_TOKEN=TOKEN, METRICS_FOLDER=str(folder)):
        process = MeasuredProcess("web", {HTTP_THREADS: 32, DELIVERY_THREADS: settings.DELIVERY_THREADS})
        process.begin_files()
        before, process_metrics._process = process_metrics._process, process
        try:
            yield process
        finally:
            process_metrics._process = before
            if process.files is not None:
                process.files.close()
            figure_reader.forget()


def get_metrics(client: Client | None = None, token: str = TOKEN, **headers: str) -> Any:
    """Return the response of `/metrics`, with figures that no earlier scrape has read."""
    figure_reader.forget()
    return (client or Client()).get("/metrics", headers={"Authorization": f"Bearer {token}"} | headers)


def scrape() -> Series:
    """Return all samples of `/metrics`, by name and labels."""
    response = get_metrics()
    assert response.status_code == 200
    return parse_series(response.content.decode())


def wait_for_metric(name: str, seconds: float = 10.0) -> Series:
    """Scrape until there are samples of this name."""
    until = time.monotonic() + seconds
    while not value_of(series := scrape(), name):
        assert time.monotonic() < until, f"nothing was measured as {name}"
        time.sleep(0.02)
    return series


def parse_series(text: str) -> Series:
    """Return the samples of the text format, by name and labels. Fails if one appears twice."""
    series: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in series, key
            series[key] = sample.value
    return series


def value_of(series: Series, name: str, **labels: str) -> float:
    """Return the sum of the samples that have this name and at least these labels; 0 without any."""
    wanted = frozenset(labels.items())
    return sum(value for (other, found), value in series.items() if other == name and wanted <= found)
