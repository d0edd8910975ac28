"""The SQLite backend with real processes: writers queue, and a stuck one does not block the others for ever.

Each process is a Python of its own on a database file of the test, so this runs once, whatever the suite's database.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes.sqlite_processes import count, finished, make_counter, start

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

PROCESSES, TRANSACTIONS = 6, 100

COUNTING = f"""
for _ in range({TRANSACTIONS}):
    add_one()
"""
HOLDING = """
with transaction.atomic():
    connection.cursor().execute("UPDATE counter SET number = number + 1")
    print("holding", flush=True)
    time.sleep(60)
"""
IMPATIENT = """
started = time.monotonic()
try:
    {write}
except OperationalError as error:
    print(f"{{time.monotonic() - started:.3f}} {{error}}")
"""
FORKED = f"""
add_one()
children = []
for _ in range({PROCESSES}):
    child = os.fork()
    if not child:
        inherited, connection.connection = connection.connection, None  # not a child's to use, or to close
        for _ in range(20):
            add_one()
        os._exit(0)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
add_one()
"""
FORKED_INSIDE = """
with transaction.atomic():
    connection.cursor().execute("UPDATE counter SET number = number + 1")
    child = os.fork()
    if not child:
        connection.writers.release()  # what its parent holds is not its to give away
        os._exit(0)
    os.waitpid(child, 0)
    print("holding", flush=True)
    time.sleep(60)
"""
WRITES = {
    "a transaction": "add_one()",
    "a single statement": 'connection.cursor().execute("UPDATE counter SET number = 0")',
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_counter(tmp_path)


@contextmanager
def holder(file: Path, script: str = HOLDING) -> Iterator[subprocess.Popen[str]]:
    """Run a process inside a write transaction."""
    process = start(file, script)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.nightly
def test_simultaneous_writing_processes_queue_and_none_fails(file: Path) -> None:
    for process in [start(file, COUNTING) for _ in range(PROCESSES)]:
        finished(process)
    assert count(file) == PROCESSES * TRANSACTIONS


@pytest.mark.nightly
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_stopped_writer_makes_others_time_out(file: Path, write: str) -> None:
    with holder(file) as stopped:
        stopped.send_signal(signal.SIGSTOP)
        seconds, _, error = finished(start(file, IMPATIENT.format(write=write), 0.5)).partition(" ")
    assert error == "database is locked: timed out in the queue of writers\n"
    assert 0.5 <= float(seconds) < 5


@pytest.mark.submission
def test_a_killed_writer_frees_the_queue_and_leaves_no_change(file: Path) -> None:
    with holder(file) as killed:
        waiting = start(file, "add_one()")
        killed.kill()
        finished(waiting)
    assert count(file) == 1


@pytest.mark.nightly
def test_forked_children_queue_on_their_own(file: Path) -> None:
    assert finished(start(file, FORKED)) == f"{[0] * PROCESSES}\n"
    assert count(file) == PROCESSES * 20 + 2


@pytest.mark.nightly
def test_a_child_does_not_release_the_lock_of_its_parent(file: Path) -> None:
    with holder(file, FORKED_INSIDE):
        assert "database is locked" in finished(start(file, IMPATIENT.format(write="add_one()"), 0.5))


@pytest.mark.nightly
def test_a_reader_does_not_wait_for_a_writer(file: Path) -> None:
    finished(start(file, "add_one()"))  # the file is in WAL mode from here on
    with holder(file):
        read = start(file, 'print(connection.cursor().execute("SELECT number FROM counter").fetchone()[0])')
        assert finished(read) == "1\n"


def test_commits_are_durable_and_foreign_keys_are_held(file: Path) -> None:
    script = """
for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint"):
    print(name, connection.cursor().execute(f"PRAGMA {name}").fetchone()[0])
"""
    assert finished(start(file, script)).splitlines() == [
        "journal_mode wal",
        "synchronous 2",
        "foreign_keys 1",
        "wal_autocheckpoint 4000",
    ]


@pytest.mark.nightly
def test_the_log_shrinks_after_a_long_reader(file: Path) -> None:
    script = """
import sqlite3
log = lambda: os.path.getsize(f"{connection.settings_dict['NAME']}-wal") // 2**20
add_one()
reader = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
reader.execute("BEGIN").execute("SELECT * FROM counter").fetchall()
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE large (content BLOB)")
    for _ in range(50):
        cursor.execute("INSERT INTO large VALUES (zeroblob(1000000))")
print(log() > 40)
reader.execute("ROLLBACK")
for _ in range(3):
    add_one()
print(log())
"""
    assert finished(start(file, script)) == "True\n32\n"
