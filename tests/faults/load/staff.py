"""Staff who replay events at random, in a process of their own.

It is started by `manage.py shell -c "from tests.faults.load.staff import …"`.

The hub is imported late: the tests' own process sets its environment up first.
"""

import json
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.processes.hub_processes import ROOT, RunningHub

STAFF = 5
LONGEST_PAUSE = 0.2


@contextmanager
def replaying(
    hub: RunningHub, replays: int, seed: int, spared: Sequence[str] = ()
) -> Iterator[list[list[str]]]:
    """So many replays meanwhile, none of the `spared` people; when it is left, what the two clicks of each were told."""
    answers: list[list[str]] = []
    script = f"from tests.faults.load.staff import work; work({replays}, {seed}, {list(spared)})"
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", script]
    process = subprocess.Popen(command, cwd=ROOT, env=hub.environment, stdout=subprocess.PIPE, text=True)
    try:
        yield answers
        printed, _ = process.communicate(timeout=120)
        answers += json.loads(printed)
    finally:
        process.kill()
        process.wait()


def work(replays: int, seed: int, spared: list[str]) -> None:
    """Five people replay that many different events. Prints, for each, what its clicks were told."""
    from django.contrib.auth import get_user_model

    from webhooks.models import Event

    names = [f"staff{number}" for number in range(STAFF)]
    people = [get_user_model().objects.create(username=each, is_staff=True) for each in names]
    events = list(Event.objects.exclude(entity_id__in=spared).order_by("pk"))
    chosen = random.Random(seed).sample(events, min(replays, len(events)))
    answers: list[list[str]] = []
    in_parallel([(_replay_each, (each, chosen[at::STAFF], answers)) for at, each in enumerate(people)])
    print(json.dumps(answers))


def _replay_each(person: Any, events: list[Any], answers: list[list[str]]) -> None:
    """Every confirmation is clicked twice at the same moment, as in two tabs."""
    for event in events:
        told: list[str] = []
        in_parallel([(_click, (person, event, uuid.uuid4(), told))] * 2)
        answers.append(sorted(told, reverse=True))  # "done" first
        time.sleep(random.uniform(0, LONGEST_PAUSE))


def _click(person: Any, event: Any, key: uuid.UUID, told: list[str]) -> None:
    from django.db import connections

    from sync.replays.requests import ReplayAlreadyRequested, request_replay

    try:
        request_replay([event], by=person, reason=f"asked for by {person}", key=key)
        told.append("done")
    except ReplayAlreadyRequested:
        told.append("already done")
    finally:
        connections.close_all()


def in_parallel(calls: list[tuple[Any, tuple[Any, ...]]]) -> None:
    threads = [threading.Thread(target=target, args=arguments) for target, arguments in calls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
