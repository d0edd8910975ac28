"""Staff who replay events at random, in a separate process.

The process is started by `manage.py shell -c "from tests.faults.load.staff import …"`.

The hub is imported within functions, because the test process sets up its environment first.
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
MAX_PAUSE = 0.2


@contextmanager
def replaying_staff(
    hub: RunningHub, replays: int, seed: int, excluded: Sequence[str] = ()
) -> Iterator[list[list[str]]]:
    """Replay `replays` events meanwhile, none of the `excluded` people.

    At the end, the yielded list holds the results of both clicks of each replay.
    """
    answers: list[list[str]] = []
    script = f"from tests.faults.load.staff import replay_at_random; replay_at_random({replays}, {seed}, {list(excluded)})"
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", script]
    process = subprocess.Popen(command, cwd=ROOT, env=hub.environment, stdout=subprocess.PIPE, text=True)
    try:
        yield answers
        printed, _ = process.communicate(timeout=120)
        answers += json.loads(printed)
    finally:
        process.kill()
        process.wait()


def replay_at_random(replays: int, seed: int, excluded: list[str]) -> None:
    """Let five people replay `replays` different events. Prints the results of both clicks of each as JSON."""
    from django.contrib.auth import get_user_model

    from webhooks.models import Event

    names = [f"staff{number}" for number in range(STAFF)]
    people = [get_user_model().objects.create(username=name, is_staff=True) for name in names]
    events = list(Event.objects.exclude(entity_id__in=excluded).order_by("pk"))
    chosen = random.Random(seed).sample(events, min(replays, len(events)))
    answers: list[list[str]] = []
    in_parallel([(_replay_each, (person, chosen[at::STAFF], answers)) for at, person in enumerate(people)])
    print(json.dumps(answers))


def _replay_each(person: Any, events: list[Any], answers: list[list[str]]) -> None:
    """Confirm the replay of each event twice at the same moment, as in two browser tabs."""
    for event in events:
        results: list[str] = []
        in_parallel([(_click, (person, event, uuid.uuid4(), results))] * 2)
        answers.append(sorted(results, reverse=True))  # "done" first
        time.sleep(random.uniform(0, MAX_PAUSE))


def _click(person: Any, event: Any, key: uuid.UUID, results: list[str]) -> None:
    from django.db import connections

    from sync.replays.requests import ReplayAlreadyRequested, request_replay

    try:
        request_replay([event], by=person, reason=f"asked for by {person}", key=key)
        results.append("done")
    except ReplayAlreadyRequested:
        results.append("already done")
    finally:
        connections.close_all()


def in_parallel(calls: list[tuple[Any, tuple[Any, ...]]]) -> None:
    threads = [threading.Thread(target=target, args=arguments) for target, arguments in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
