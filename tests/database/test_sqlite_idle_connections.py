"""Threads give their connections back for each other: few stay open, and each reads what is committed."""

from pathlib import Path

import pytest

from database.sqlite.idle_connections import MAX_IDLE
from tests.support.processes.sqlite_processes import finished, make_counter, start

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

READERS = """
import gc, threading
from database.connection import release_connection
from database.sqlite.base import DatabaseWrapper
from database.sqlite.idle_connections import TrackedConnection
from database.sqlite.shared_writer import shared_writer_for
def number():
    with connection.cursor() as cursor:
        return cursor.execute("SELECT number FROM counter").fetchone()[0]
def open_connections():
    users = shared_writer_for(str(connection.settings_dict["NAME"]))._users
    return sum(isinstance(user, TrackedConnection) for user in list(users))
def in_threads(run, times=1):
    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
ONE_AFTER_THE_OTHER = """
used, links = threading.Lock(), set()
def read():
    with used:
        number()
        links.add(id(connection.connection))
        release_connection()
in_threads(read, 20)
print(len(links), open_connections())
"""
AT_ONCE = """
number()  # changes the file to a write-ahead log, which needs it for itself
release_connection()
all_read = threading.Barrier(20)
def read():
    number()
    all_read.wait(60)
    release_connection()
in_threads(read, 20)
print(open_connections())
"""
WAITING_TO_WRITE = """
turn, waiting = threading.Event(), threading.Barrier(21)
def write():
    number()
    waiting.wait(60)
    add_one()
with transaction.atomic():
    threads = [threading.Thread(target=write) for _ in range(20)]
    for thread in threads:
        thread.start()
    waiting.wait(60)
    until = time.monotonic() + 60
    while open_connections() > {most} and time.monotonic() < until:
        time.sleep(0.01)
    print(open_connections())
for thread in threads:
    thread.join()
print(number())
"""
OPEN_CURSOR = """
connection.cursor().execute("INSERT INTO counter VALUES (0), (0)")
rows = connection.cursor().execute("SELECT number FROM counter")
rows.fetchone()
release_connection()
def change_and_read():
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = 7")
    print(number())
in_threads(change_and_read)
print(len(rows.fetchall()))
"""
SNAPSHOT = """
connection.ensure_connection()
link = connection.connection
link.execute("BEGIN DEFERRED")
link.execute("SELECT number FROM counter").fetchone()
add_one()
release_connection()
print(number())
in_threads(lambda: print(number()))
link.rollback()
print(number())
"""
CANNOT_OPEN = """
import sqlite3
from django.db import Error
from database.sqlite import idle_connections
idle_connections.MAX_IDLE = 0
opened, refusals = DatabaseWrapper._open_connection, []
def refuse(self, params):
    if refusals:
        raise sqlite3.OperationalError(refusals.pop())
    return opened(self, params)
DatabaseWrapper._open_connection = refuse
def change(end):
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = number + 1")
        refusals.append("unable to open database file")
        end()
for end in (lambda: None, lambda: int("none")):
    try:
        change(end)
    except (Error, ValueError) as error:
        print(type(error).__name__)
in_threads(add_one)
print(number())
"""
AFTER_ROLLBACK = """
connection.rollback()
connection.cursor().execute("UPDATE counter SET number = 5")
in_threads(lambda: print(number()))
"""
CHANGED_AND_CLOSED = """
in_threads(lambda: (number(), release_connection()))
connection.cursor().execute("PRAGMA cache_size = -777")
connection.close()
in_threads(lambda: (number(), release_connection()))
number()
print(connection.uses_own_transactions)
"""
FAILED = """
number()
link = connection.connection
try:
    connection.cursor().execute("SELECT nothing")
except Exception:
    pass
gc.collect()  # the error refers to its cursor
release_connection()
try:
    link.execute("SELECT 1")
except Exception as error:
    print(error)
print(number())
"""
CLOSED = """
in_threads(lambda: (number(), release_connection()), 5)
before = open_connections()
connection.close()
path = str(connection.settings_dict["NAME"])
print(before > 0, open_connections(), os.path.exists(path + "-wal"))
"""
HOOKS = """
from database.sqlite import idle_connections
idle_connections.MAX_IDLE = 0
with transaction.atomic():
    connection.cursor().execute("UPDATE counter SET number = 5")
    transaction.on_commit(lambda: print("committed", number()))
"""
FORKED = """
number()
release_connection()
child = os.fork()
if not child:
    writer = shared_writer_for(str(connection.settings_dict["NAME"]))
    print(writer.idle_connections.acquire(), number(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(number())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_counter(tmp_path)


def said(file: Path, script: str) -> list[str]:
    """Run a script in a process. Returns the lines that it printed."""
    return finished(start(file, READERS + script)).splitlines()


@pytest.mark.submission
def test_threads_that_read_one_after_the_other_share_a_connection(file: Path) -> None:
    assert said(file, ONE_AFTER_THE_OTHER) == ["1 1"]


@pytest.mark.nightly
def test_few_of_many_connections_that_were_used_at_once_stay_open(file: Path) -> None:
    assert said(file, AT_ONCE) == [str(MAX_IDLE)]


@pytest.mark.nightly
def test_a_thread_that_waits_for_its_turn_to_write_holds_no_connection(file: Path) -> None:
    assert said(file, WAITING_TO_WRITE.format(most=MAX_IDLE)) == [str(MAX_IDLE), "20"]


@pytest.mark.submission
def test_a_connection_with_an_open_cursor_is_not_given_to_another_thread(file: Path) -> None:
    assert said(file, OPEN_CURSOR) == ["7", "2"]


@pytest.mark.nightly
def test_a_connection_that_holds_a_snapshot_stays_with_its_thread(file: Path) -> None:
    assert said(file, SNAPSHOT) == ["0", "1", "1"]


@pytest.mark.nightly
def test_a_connection_that_cannot_be_opened_after_a_transaction_is_a_database_error(file: Path) -> None:
    # What was committed stays so; after a rollback, the first error is the one that is raised.
    assert said(file, CANNOT_OPEN) == ["OperationalError", "ValueError", "2"]


@pytest.mark.nightly
def test_a_connection_that_is_opened_after_a_rollback_commits_each_statement(file: Path) -> None:
    assert said(file, AFTER_ROLLBACK) == ["5"]


@pytest.mark.nightly
def test_a_thread_whose_changed_connection_was_closed_shares_again(file: Path) -> None:
    assert said(file, CHANGED_AND_CLOSED) == ["False"]


@pytest.mark.nightly
def test_a_connection_with_a_failed_statement_is_closed(file: Path) -> None:
    assert said(file, FAILED) == ["Cannot operate on a closed database.", "0"]


@pytest.mark.nightly
def test_closing_a_connection_closes_the_idle_ones_too(file: Path) -> None:
    assert said(file, CLOSED) == ["True 0 False"]


@pytest.mark.nightly
def test_hooks_run_after_a_commit_if_no_connection_is_idle(file: Path) -> None:
    assert said(file, HOOKS) == ["committed 5"]


@pytest.mark.nightly
def test_a_forked_process_opens_connections_of_its_own(file: Path) -> None:
    assert said(file, FORKED) == ["None 0", "0"]
