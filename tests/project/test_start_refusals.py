"""A process that cannot start says why in one sentence, without a traceback or a secret, and does not exit with 0.

Only PostgreSQL can refuse its clients. A server that cannot be reached is no refusal: test_processes.py.
"""

import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from integration_hub import start_refusals
from integration_hub.checks import check_database_at_start
from tests.support.database import postgresql
from tests.support.processes.settings_check import ROOT, VALID_SETTINGS

STARTS = {
    "web": ["-m", "gunicorn", "integration_hub.wsgi", "--bind", "127.0.0.1:0"],
    "worker": ["manage.py", "run_worker"],
    "migrate": ["manage.py", "migrate"],
    "celery": ["-m", "celery", "-A", "integration_hub", "worker", "--pool", "threads"],
}
FAULTS = {
    "a missing key": ({"SECRET_KEY": ""}, "Set SECRET_KEY in the environment or in .env: "),
    "an address of no database": (
        {"DATABASE_URL": "mysql://hub:canary@db/hub"},
        "DATABASE_URL: must be like ",
    ),
    "an absent database": ({"DATABASE_URL": "{server}/absent"}, 'database "absent" does not exist'),
    "a number out of bounds": ({"LEASE_SECONDS": "canary"}, "LEASE_SECONDS: must be a number from "),
}


@pytest.mark.submission
@pytest.mark.pure
@pytest.mark.concurrent
@pytest.mark.parametrize("process", STARTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_process_that_cannot_start_says_why_in_one_sentence(process: str, fault: str) -> None:
    values, sentence = FAULTS[fault]
    server = postgresql.url().rpartition("/")[0]
    broker = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"} if process == "celery" else {}
    given = {name: value.format(server=server) for name, value in values.items()}
    environment = VALID_SETTINGS | broker | given | {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run(
        [sys.executable, *STARTS[process]],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode in (1, 3)
    assert (ended.stderr.count("\n"), ended.stdout) == (1, "")
    assert sentence in ended.stderr
    if "LEASE_SECONDS" not in values:  # a number is repeated, an address never is
        assert "canary" not in ended.stderr


@pytest.mark.submission
@pytest.mark.pure
@pytest.mark.concurrent
@pytest.mark.parametrize("process", ["web", "celery"])
def test_a_process_that_is_no_command_of_django_refuses_a_weak_key(process: str) -> None:
    environment = VALID_SETTINGS | {"SECRET_KEY": "canary", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    ended = subprocess.run(
        [sys.executable, *STARTS[process]], cwd=ROOT, env=environment | {"PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, "canary" in ended.stdout + ended.stderr) == (3, False)
    assert "SECRET_KEY is shorter than 50 characters." in ended.stderr


@pytest.mark.only_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("NAME", "absent", 'database "absent" does not exist'),
        ("USER", "absent", 'role "absent" does not exist'),
    ],
)
def test_a_database_that_refuses_the_hub_stops_every_process(
    setting: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, setting, value)
    with pytest.raises(
        CommandError, match=f"The database refuses the hub: {sentence}. Correct DATABASE_URL."
    ):
        check_database_at_start()
    with pytest.raises(CommandError, match=f"The database cannot be used: {sentence}"):
        call_command("migrate")


@pytest.mark.pure
@pytest.mark.parametrize(
    ("failure", "lasts"),
    [
        ('password authentication failed for user "hub"', True),
        ('no pg_hba.conf entry for host "10.0.0.7", user "hub", database "hub", no encryption', True),
        ("connection failed: fe_sendauth: no password supplied", True),
        ('connection is bad: invalid port number: "99999"', True),
        ("sorry, too many clients already", False),
        ("the database system is starting up", False),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', False),
        ("connection timeout expired", False),
        ("[Errno -3] Temporary failure in name resolution", False),
    ],
)
def test_only_what_lasts_is_a_refusal(failure: str, lasts: bool) -> None:
    assert start_refusals.is_refusal(failure) is lasts
