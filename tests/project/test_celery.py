"""Celery is optional: loaded only if a broker is configured, and never waited for."""

import os

import pytest

from tests.support.processes.settings_check import run

pytestmark = [pytest.mark.pure, pytest.mark.nightly, pytest.mark.concurrent]

WEB_PROCESS = """
import sys
import integration_hub.wsgi
from sync.worker import worker
print(sorted(set(sys.modules) & {"celery", "kombu", "redis", "integration_hub.celery"}))
"""
SENDING = """
import django, time
django.setup()
from sync.execution.executor import defer_to_workers
began = time.perf_counter()
for number in range(200):
    defer_to_workers([number])
print(time.perf_counter() - began)
"""


def test_without_a_broker_nothing_of_celery_is_loaded() -> None:
    result = run("-c", WEB_PROCESS, PATH=os.environ["PATH"])
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


def test_deferring_to_an_unavailable_broker_is_fast() -> None:
    variables = {
        "CELERY_BROKER_URL": "redis://:canary-secret@127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
    }
    result = run("-c", SENDING, **variables)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 3, "with the time that loading Celery takes"
    assert result.stderr.count("the broker is unavailable") <= 1
    assert "canary" not in result.stdout + result.stderr
