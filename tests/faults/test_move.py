"""A hub moves from SQLite to PostgreSQL while webhooks arrive, and the move is killed: nothing is lost or doubled.

On two idle cores the small one takes about a minute, the large one about five.
"""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from database.move_refusal import REFUSAL
from tests.faults.consistency.checker import Sending, observe
from tests.faults.fleet.hub_fleet import Fleet, Services, running_fleet
from tests.faults.load.source_driver import Driver, Webhook, plan
from tests.support.database.empty_postgresql import empty_postgresql
from tests.support.processes.hub_processes import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.only_sqlite, pytest.mark.one_engine, pytest.mark.concurrent]

SEED = 20261201
CLIENTS, LATE_CLIENTS = 8, 40
PEOPLE = [f"PERSON{number}" for number in range(120)]
CHAIN = "SELECT id, stream, stream_seq, action, actor, details, prev_leaf, leaf FROM audit_entry ORDER BY id"


@dataclass(frozen=True, slots=True)
class Size:
    """How many webhooks are sent, and after which copied tables the move is killed."""

    webhooks: int
    killed_after: tuple[str, ...]


SMALL = Size(300, ("sync_attempt",))
LARGE = Size(5_000, ("audit_entry", "webhooks_event"))


@dataclass
class PatientDriver(Driver):
    """A driver that waits a while after a 503, as sources do."""

    refused: set[str] = field(default_factory=set)
    has_failed: bool = False

    def _send(self, webhook: Webhook) -> Sending:
        assert not self.has_failed, "the test has failed"
        sending = super()._send(webhook)
        if sending.status == 503:
            self.refused.add(webhook.webhook_id)
            time.sleep(0.5)
        return sending


@contextmanager
def sending(driver: PatientDriver, webhooks: Sequence[Webhook]) -> Iterator[None]:
    """Send webhooks in the background, the last of them once the hub refuses some, and further ones until the context
    ends; then wait for the last answer.
    """
    ended = threading.Event()

    def keep_sending() -> None:
        number = 0
        while not ended.wait(0.2):
            number += 1
            driver.deliver(Webhook(f"late_{number}", PEOPLE[number % len(PEOPLE)], "result", 0))

    def send_last() -> None:
        while not (driver.refused or ended.wait(0.05)):
            pass
        driver.run(webhooks[-LATE_CLIENTS:], LATE_CLIENTS)

    threads = [
        threading.Thread(target=driver.run, args=(webhooks[:-LATE_CLIENTS], CLIENTS)),
        threading.Thread(target=keep_sending),
        threading.Thread(target=send_last),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    except BaseException:
        driver.has_failed = True
        raise
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def start_move(fleet: Fleet, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "move_to", url],
        cwd=ROOT, env=fleet.hub.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def kill_after(move: "subprocess.Popen[str]", table: str) -> str:
    """Kill a move when it says that a table is copied. Returns what it printed."""
    assert move.stdout is not None
    printed = ""
    for line in move.stdout:
        printed += line
        if f" {table}: " in line:
            move.send_signal(signal.SIGKILL)
            break
    assert move.wait(60) == -signal.SIGKILL, printed
    return printed


def refuses_to_start(environment: dict[str, str], sentence: str) -> bool:
    ended = subprocess.run(
        [sys.executable, "-c", "import integration_hub.wsgi"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return ended.returncode != 0 and sentence in ended.stderr


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(SMALL, id="small", marks=pytest.mark.submission),
        pytest.param(LARGE, id="large", marks=pytest.mark.nightly),
    ],
)
def test_a_move_that_is_killed_under_load_loses_and_doubles_nothing(
    tmp_path: Path, services: Services, size: Size
) -> None:
    with running_fleet(tmp_path, services, webs=1, workers=1) as fleet, empty_postgresql() as url:
        old = Path(fleet.hub.database)
        driver = PatientDriver(services[0], lambda: [web.port for web in fleet.webs])
        driver.add_people(PEOPLE)
        with sending(driver, plan(size.webhooks, size.webhooks // 20, PEOPLE, SEED)):
            while len(driver.sendings) < 0.6 * size.webhooks:
                time.sleep(0.05)
            for table in size.killed_after:
                printed = kill_after(start_move(fleet, url), table)
                assert refuses_to_start(
                    fleet.hub.environment | {"DATABASE_URL": url},
                    "A move into this database did not finish. Run manage.py move_to again",
                )
            began = time.monotonic()
            move = start_move(fleet, url)
            assert move.stdout is not None
            printed = move.stdout.read()
            assert move.wait(600) == 0, printed
            took = time.monotonic() - began
            assert f" {size.killed_after[0]}: " not in printed, "a finished table was copied again"
            assert len(driver.refused) >= LATE_CLIENTS / 2, "few sources were told to send again"
            chain = {name: read_chain(name) for name in (str(old), url)}
            assert chain[str(old)] == chain[url]
            assert len(chain[url]) > size.webhooks
            fleet.restart_on(url)
        assert fleet.wait_until_idle()
        report = observe(driver.sendings, *services, fleet.hub.rows)
        states = Counter(state for (state,) in fleet.hub.rows("SELECT state FROM sync_delivery"))
        print(
            f"\n{size}: the last run took {took:.1f} s, {len(driver.refused)} webhooks got 503\n{report}\n{states}"
        )
        print(printed)
        report.assert_clean()
        assert set(states) <= {"succeeded", "unchanged", "superseded"}
        assert "The rows about events agree" in fleet.hub.manage("verify_audit")
        assert refuses_to_start(
            fleet.hub.environment | {"DATABASE_URL": f"sqlite:///{old}"}, "This hub has moved to postgres://"
        )
        with closing(sqlite3.connect(old)) as stranger, pytest.raises(sqlite3.IntegrityError, match=REFUSAL):
            stranger.execute("UPDATE webhooks_event SET state = state")


def read_chain(database: str) -> list[tuple[object, ...]]:
    """Return all entries of the audit log, byte for byte."""
    if database.startswith("postgres"):
        with psycopg.connect(database) as link:
            return list(link.execute(CHAIN))
    with closing(sqlite3.connect(database)) as file:
        return file.execute(CHAIN).fetchall()
