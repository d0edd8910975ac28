"""The connection that all transactions of a process share: reported commits are on disk, and failures are separate.

What reaches the disk is seen where the log is synced: `os.fdatasync`, which each script puts a gate into.
"""

import shutil
import signal
from pathlib import Path

import pytest

from tests.support.processes.sqlite_processes import count, finished, make_counter, start

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

NO_TABLE = "OperationalError no such table: counter"

# `gate` holds each sync up once it is closed; `syncs` counts those that ended, `broken` makes the next one fail.
GATE = """
import errno, threading
from database.sqlite.shared_writer import shared_writer_for
gate, begun, broken, syncs, told = threading.Event(), threading.Semaphore(0), [], [], []
gate.set()
sync = os.fdatasync
def watched(descriptor):
    begun.release()
    assert gate.wait(60)
    if broken:
        raise OSError(broken.pop(), "the disk is broken")
    sync(descriptor)
    syncs.append(descriptor)
os.fdatasync = watched
def tell():
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = number + 1")
        transaction.on_commit(lambda: told.append(len(syncs)))
def in_thread(run=tell):
    thread = threading.Thread(target=run)
    thread.start()
    return thread
def number():
    return connection.cursor().execute("SELECT number FROM counter").fetchone()[0]
def wait_until(holds):
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")
def attempt(run):
    try:
        run()
    except Exception as error:
        sys.stdout.write(f"{type(error).__name__} {error}\\n")
"""
BEFORE_THE_DISK = """
gate.clear()
thread = in_thread()
begun.acquire()
print(number(), told)
gate.set()
thread.join()
print(number(), told)
"""
TOGETHER = """
gate.clear()
threads = [in_thread()]
begun.acquire()
threads += [in_thread() for _ in range(8)]
writer = shared_writer_for(str(connection.settings_dict["NAME"]))
wait_until(lambda: writer._last_committed == 9)
# The gate of the first sync opens before that of the next one.
first_gate, gate = gate, threading.Event()
first_gate.set()
wait_until(lambda: told)
gate.set()
for thread in threads:
    thread.join()
print(len(syncs), sorted(told))
"""
BROKEN = """
tell()
broken.append(errno.EIO)
attempt(tell)
print(number(), told)
"""
BEHIND_A_GAP = """
gate.clear()
threads = [in_thread(lambda: attempt(tell))]
begun.acquire()
threads.append(in_thread(lambda: attempt(tell)))
wait_until(lambda: number() == 2)
def late():
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = number + 1")
        broken.append(errno.EIO)
        gate.set()
        for thread in threads:
            thread.join()
attempt(late)
tell()
print(number(), told)
"""
GAP = """
tell()
broken.append(errno.EIO)
attempt(tell)
{readers}
attempt(tell)
print("stands", flush=True)
time.sleep(60)
"""
STALE_READER = """
reading = connection.cursor()
reading.execute("BEGIN")
reading.execute("SELECT number FROM counter").fetchone()
reader = in_thread(lambda: attempt(tell))
reader.join()
reading.execute("ROLLBACK")
"""
APART = """
connection.cursor().execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
connection.cursor().execute(
    "CREATE TABLE child (parent INTEGER NOT NULL REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
)
def orphan():
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = 100")
        connection.cursor().execute("INSERT INTO child VALUES (7)")
        transaction.on_commit(lambda: told.append("an orphan"))
def refuse():
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = 1000")
        raise SystemExit("no more")
def refused():
    try:
        refuse()
    except SystemExit as end:
        sys.stdout.write(f"{end}\\n")
threads = [in_thread(run) for run in [tell, lambda: attempt(orphan), refused] * 4]
for thread in threads:
    thread.join()
print(number(), len(told))
"""
READING = """
with transaction.atomic():
    connection.cursor().execute("UPDATE counter SET number = 5")
    with transaction.atomic():
        connection.cursor().execute("UPDATE counter SET number = 6")
    print("inside", number())
    other = in_thread(lambda: print("another", number()))
    other.join()
print("after", number())
"""
CLOSED = """
with transaction.atomic():
    connection.cursor().execute("UPDATE counter SET number = 5")
    connection.close()
tell()
print(number(), os.path.exists(os.environ["DATABASE_URL"].removeprefix("sqlite:///") + "-wal"))
connection.close()
print(os.path.exists(os.environ["DATABASE_URL"].removeprefix("sqlite:///") + "-wal"))
tell()
print(number())
"""
# Each change of the files happens while this process and another thread of it have them open.
REPLACED = """
import gc, shutil, sqlite3
from contextlib import closing
path = str(connection.settings_dict["NAME"])
read, may_end = threading.Event(), threading.Event()
def keep_open():
    number()
    gc.collect()
    read.set()
    may_end.wait(60)
    connection.close_if_unusable_or_obsolete()
tell()
other = in_thread(keep_open)
read.wait(60)
{change}
attempt(tell)
may_end.set()
other.join()
reader = in_thread(lambda: attempt(lambda: print(number())))
reader.join()
with closing(sqlite3.connect(path)) as link:
    attempt(lambda: print(*link.execute("SELECT number FROM counter").fetchone(), told))
"""
ANOTHER_FILE = """
with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(path + ".new")) as copy:
    live.backup(copy)
    copy.execute("UPDATE counter SET number = 100")
    copy.commit()
for ending in ("-wal", "-shm"):
    os.unlink(path + ending)
os.rename(path + ".new", path)
"""
ANOTHER_FILE_AT_REST = """
with closing(sqlite3.connect(path + ".new")) as copy:
    copy.execute("CREATE TABLE counter (number INTEGER NOT NULL)")
    copy.execute("INSERT INTO counter VALUES (100)")
    copy.commit()
for ending in ("-wal", "-shm"):
    if os.path.exists(path + ending):
        os.unlink(path + ending)
os.rename(path + ".new", path)
"""
NO_FILE = """
for ending in ("", "-wal", "-shm"):
    os.unlink(path + ending)
"""
DELETED_LOG = 'os.unlink(path + "-wal")'
MOVED_LOG = 'os.rename(path + "-wal", path + "-moved")'
DELETED_INDEX = 'os.unlink(path + "-shm")'
DELETED_BOTH = f"{DELETED_LOG}; {DELETED_INDEX}"
# The index is deleted while another thread keeps a connection. This process and another one write, then the thread gives
# its connection back.
OTHER_PROCESS = """
import sqlite3, sys
link = sqlite3.connect(sys.argv[1], isolation_level=None)
for _ in range(30):
    link.execute("UPDATE counter SET number = number + 1")
print("written", flush=True)
sys.stdin.read()
"""
INDEX_IN_USE = """
import sqlite3, subprocess, sys
from contextlib import closing
path = str(connection.settings_dict["NAME"])
read, may_end = threading.Event(), threading.Event()
def keep_open():
    number()
    read.set()
    may_end.wait(60)
    connection.close_if_unusable_or_obsolete()
for _ in range(40):
    tell()
other = in_thread(keep_open)
read.wait(60)
{change}
attempt(tell)
command = [sys.executable, "-c", {other_process!r}, path]
process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
process.stdout.readline()
attempt(tell)
may_end.set()
other.join()
connection.close_if_unusable_or_obsolete()
for _ in range(3):
    attempt(tell)
connection.close()
process.communicate()
with closing(sqlite3.connect(path)) as link:
    attempt(lambda: print(link.execute("SELECT number FROM counter").fetchone()[0] - len(told)))
    attempt(lambda: print(*link.execute("PRAGMA integrity_check").fetchone()))
"""
SINGLE_STATEMENT = """
from database.connection import release_connection
path = str(connection.settings_dict["NAME"])
def add_single():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE counter SET number = number + 1")
def add_in_turn():
    attempt(add_single)
    gc.collect()  # the error refers to its cursor
    release_connection()
import gc, sqlite3
from contextlib import closing
tell()
in_thread(lambda: (number(), release_connection())).join()
{change}
for _ in range(2):
    in_thread(add_in_turn).join()
with closing(sqlite3.connect(path)) as link:
    print(*link.execute("SELECT number FROM counter").fetchone())
"""
# The thread keeps the error, and with it the cursor.
KEPT_ERROR = """
import sqlite3
from contextlib import closing
from database.connection import release_connection
path = str(connection.settings_dict["NAME"])
errors = []
def add_single():
    try:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE counter SET number = number + 1")
    except OperationalError as error:
        errors.append(error)
    release_connection()
tell()
{change}
for _ in range(3):
    add_single()
print(len(errors))
print(number())
"""
# The connection with which the thread reads is idle while the transaction notices the change.
READ_AFTERWARDS = """
import sqlite3
from contextlib import closing
path = str(connection.settings_dict["NAME"])
tell()
number()
{change}
tell()
print(number())
in_thread(lambda: print(number())).join()
"""
# No transaction has run, or the newest one failed: the shared connection is not open.
UNSHARED = """
import sqlite3
from contextlib import closing
path = str(connection.settings_dict["NAME"])
def add_single():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE counter SET number = number + 1")
def refuse():
    with transaction.atomic():
        connection.close()
{begin}
number()
{change}
attempt({write})
connection.close_if_unusable_or_obsolete()
print(number())
with closing(sqlite3.connect(path)) as link:
    print(*link.execute("SELECT number FROM counter").fetchone())
"""
PARTICULAR = """
def pragma(name):
    return connection.cursor().execute(f"PRAGMA {name}").fetchone()[0]
connection.cursor().execute("PRAGMA cache_size = -777")
with transaction.atomic():
    print(pragma("cache_size"), pragma("synchronous"))
connection.close()
with transaction.atomic():
    print(pragma("cache_size"), pragma("synchronous"))
"""
OLD_CURSOR = """
before = connection.cursor()
with transaction.atomic():
    inside = connection.cursor()
    print(before.execute("SELECT number FROM counter").fetchone()[0])
    attempt(lambda: before.execute("UPDATE counter SET number = 5"))
attempt(lambda: inside.execute("UPDATE counter SET number = 5"))
print(number())
"""
OTHER_LOG = """
log = os.environ["DATABASE_URL"].removeprefix("sqlite:///") + "-wal"
connection.close()
gate.clear()
threads = [in_thread()]
begun.acquire()
with transaction.atomic():
    connection.close()
number()
connection.close()
print(os.path.exists(log))
threads.append(in_thread())
wait_until(lambda: os.path.exists(log) and number() == 2)
first_gate, gate = gate, threading.Event()
first_gate.set()
wait_until(lambda: told)
gate.set()
for thread in threads:
    thread.join()
tell()
print(os.path.samestat(os.fstat(syncs[-1]), os.stat(log)), told)
"""
NO_LOG = """
connection.close()
gate.clear()
thread = in_thread()
begun.acquire()
with transaction.atomic():
    connection.close()
number()
connection.close()
gate.set()
thread.join()
print(told)
"""
KILLED = """
gate.clear()
in_thread()
begun.acquire()
print("committed", flush=True)
time.sleep(60)
"""
UNABLE = "disk I/O error: the log did not reach the disk"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return make_counter(tmp_path)


def said(file: Path, script: str, patience: float = 60.0) -> list[str]:
    """Run a script with the gate in a process. Returns the lines that it printed."""
    return finished(start(file, GATE + script, patience)).splitlines()


@pytest.mark.promise("I1")
def test_a_commit_is_reported_only_after_it_is_on_disk(file: Path) -> None:
    assert said(file, BEFORE_THE_DISK) == ["1 []", "1 [1]"]


@pytest.mark.submission
def test_commits_during_a_sync_share_the_next_one(file: Path) -> None:
    assert said(file, TOGETHER) == ["2 [1, 2, 2, 2, 2, 2, 2, 2, 2]"]


def test_a_commit_that_did_not_reach_the_disk_is_reported_as_failed(file: Path) -> None:
    assert said(file, BROKEN) == [f"OperationalError {UNABLE}", "2 [1]"]


@pytest.mark.submission
def test_a_commit_behind_a_failed_one_is_not_reported_as_durable(file: Path) -> None:
    assert said(file, BEHIND_A_GAP) == [f"OperationalError {UNABLE}"] * 3 + ["4 [1]"]


@pytest.mark.nightly
def test_a_hanging_disk_times_out(file: Path) -> None:
    script = """
gate.clear()
first = in_thread(lambda: attempt(tell))
begun.acquire()
attempt(tell)
gate.set()
first.join()
print(told)
"""
    assert said(file, script, 0.5) == [f"OperationalError {UNABLE} in time", "[1]"]


@pytest.mark.nightly
def test_after_a_sync_that_failed_the_log_is_moved_into_the_file_before_anything_follows(
    file: Path, tmp_path: Path
) -> None:
    process = start(file, GATE + GAP.format(readers=""))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"OperationalError {UNABLE}\n"
        assert process.stdout.readline() == "stands\n"
        process.send_signal(signal.SIGSTOP)
        shutil.copy(file, tmp_path / "without-its-log.sqlite3")
        assert count(tmp_path / "without-its-log.sqlite3") == 2
    finally:
        process.kill()
        process.communicate()
    assert count(file) == 3


@pytest.mark.nightly
def test_nothing_is_written_after_a_doubtful_log_that_a_reader_holds(file: Path) -> None:
    process = start(file, GATE + GAP.format(readers=STALE_READER), 0.5)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(3)]
    finally:
        process.kill()
        process.communicate()
    busy = "OperationalError database is locked: the log is still read, and may have a gap"
    assert lines == [f"OperationalError {UNABLE}", busy, "stands"]
    assert count(file) == 3


@pytest.mark.submission
def test_a_failing_transaction_does_not_affect_others(file: Path) -> None:
    *failures, last = said(file, APART)
    assert sorted(failures) == ["IntegrityError FOREIGN KEY constraint failed"] * 4 + ["no more"] * 4
    assert last == "4 4"


@pytest.mark.submission
def test_a_change_is_seen_inside_its_transaction_only_until_it_ends(file: Path) -> None:
    assert said(file, READING) == ["inside 6", "another 0", "after 6"]


@pytest.mark.nightly
def test_closing_inside_a_transaction_undoes_it_and_the_last_to_close_closes_all(file: Path) -> None:
    assert said(file, CLOSED) == ["1 True", "False", "2"]


@pytest.mark.nightly
def test_a_log_that_restarts_while_a_thread_waits_for_the_disk_is_synced(
    file: Path,
) -> None:
    """Every connection may close meanwhile, and the last one deletes the log."""
    assert said(file, OTHER_LOG) == ["False", "True [1, 2, 3]"]


@pytest.mark.nightly
def test_a_commit_whose_log_the_last_connection_deleted_is_on_disk(file: Path) -> None:
    assert said(file, NO_LOG) == ["[1]"]


@pytest.mark.submission
@pytest.mark.parametrize(
    ("change", "lines"),
    [
        pytest.param(ANOTHER_FILE, ["101", "101 [1, 2]"], id="another file"),
        pytest.param(NO_FILE, [NO_TABLE, NO_TABLE, NO_TABLE], id="no file", marks=pytest.mark.nightly),
        pytest.param(DELETED_LOG, ["2", "2 [1, 2]"], id="no log"),
        pytest.param(MOVED_LOG, ["2", "2 [1, 2]"], id="moved log", marks=pytest.mark.nightly),
    ],
)
def test_commits_after_a_replacement_are_in_the_new_files(file: Path, change: str, lines: list[str]) -> None:
    assert said(file, REPLACED.format(change=change)) == lines


def test_a_thread_reads_the_new_file_after_it_has_written_to_it(file: Path) -> None:
    assert said(file, READ_AFTERWARDS.format(change=ANOTHER_FILE)) == ["101", "101"]


@pytest.mark.nightly
@pytest.mark.parametrize("change", [DELETED_INDEX, DELETED_BOTH], ids=["index", "log and index"])
def test_no_commit_is_lost_though_the_index_of_the_log_was_deleted(file: Path, change: str) -> None:
    """A transaction is refused while a connection of its process uses the deleted index."""
    lines = said(file, INDEX_IN_USE.format(change=change, other_process=OTHER_PROCESS))
    refused = "OperationalError the index of the write-ahead log was deleted while it is in use"
    assert lines == [refused, refused, "30", "ok"]


@pytest.mark.submission
def test_a_single_statement_does_not_write_to_a_deleted_file(file: Path) -> None:
    refused = "OperationalError the database or its log was deleted or replaced"
    assert said(file, SINGLE_STATEMENT.format(change=ANOTHER_FILE)) == [refused, "101"]


@pytest.mark.nightly
def test_a_thread_is_refused_once_even_if_it_keeps_the_error(file: Path) -> None:
    assert said(file, KEPT_ERROR.format(change=ANOTHER_FILE)) == ["1", "102"]


@pytest.mark.nightly
@pytest.mark.parametrize("begin", ["", "refuse()"], ids=["no transaction", "failed transaction"])
@pytest.mark.parametrize(
    ("write", "lines"),
    [
        pytest.param(
            "add_single",
            ["OperationalError the database or its log was deleted or replaced", "100", "100"],
            id="single statement",
        ),
        pytest.param("tell", ["101", "101"], id="transaction"),
    ],
)
def test_a_replaced_file_is_noticed_while_the_shared_connection_is_closed(
    file: Path, begin: str, write: str, lines: list[str]
) -> None:
    script = UNSHARED.format(begin=begin, change=ANOTHER_FILE_AT_REST, write=write)
    assert said(file, script) == lines


@pytest.mark.nightly
def test_a_connection_with_changed_settings_is_not_shared(file: Path) -> None:
    assert said(file, PARTICULAR) == ["-777 2", "-2000 1"]


@pytest.mark.nightly
def test_a_cursor_from_before_a_transaction_reads_but_does_not_write(file: Path) -> None:
    refusal = "ProgrammingError this cursor does not belong to the open transaction"
    assert said(file, OLD_CURSOR) == ["0", refusal, refusal, "0"]


@pytest.mark.nightly
def test_a_process_that_dies_during_a_sync_leaves_the_file_intact_and_the_queue_free(file: Path) -> None:
    process = start(file, GATE + KILLED)
    assert process.stdout is not None
    assert process.stdout.readline() == "committed\n"
    process.kill()
    process.communicate()
    assert said(file, "tell()\nprint(number())") == ["2"]
