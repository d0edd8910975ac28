"""Celery is optional: loaded only if a broker is configured, and refused with a message if it is missing."""

import os

import pytest

from tests.support.processes.settings_check import run

pytestmark = pytest.mark.pure

BROKER = "redis://:canary-secret@127.0.0.1:1/0"
WEB_PROCESS = """
import sys
import integration_hub.wsgi
from sync.worker import worker
print(sorted(set(sys.modules) & {"celery", "kombu", "redis", "integration_hub.celery"}))
"""
WITHOUT_CELERY = """
import sys
sys.modules["celery"] = None
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "check"])
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
DJANGO = {"DJANGO_SETTINGS_MODULE": "integration_hub.settings"}


@pytest.mark.slow
def test_without_a_broker_nothing_of_celery_is_loaded() -> None:
    result = run("-c", WEB_PROCESS, PATH=os.environ["PATH"])
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


@pytest.mark.slow
def test_a_broker_without_celery_is_refused_at_the_start_and_not_repeated() -> None:
    result = run("-c", WITHOUT_CELERY, CELERY_BROKER_URL=BROKER, **DJANGO)
    assert result.returncode != 0
    assert "hub.E006" in result.stderr
    assert "pip install integration-hub[celery]" in result.stderr
    assert "canary" not in result.stdout + result.stderr


@pytest.mark.slow
def test_deferring_to_an_unavailable_broker_is_fast() -> None:
    result = run("-c", SENDING, CELERY_BROKER_URL=BROKER, **DJANGO)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 3, "with the time that loading Celery takes"
    assert result.stderr.count("the broker is unavailable") <= 1
    assert "canary" not in result.stdout + result.stderr


@pytest.mark.slow
def test_workers_accept_json_only() -> None:
    show = "from integration_hub.celery import app; print(app.conf.accept_content, app.conf.task_serializer)"
    result = run("-c", f"import django; django.setup(); {show}", CELERY_BROKER_URL=BROKER, **DJANGO)
    assert result.stdout == "['json'] json\n", result.stderr
