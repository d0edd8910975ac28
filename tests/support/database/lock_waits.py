"""Which connections of PostgreSQL wait for the locks of another."""

from django.db import connection


def is_waited_for() -> bool:
    """Return True if another connection waits for a lock that this thread's connection holds.

    Tests of other processes use the same server, so waits in their databases must not count.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        row = cursor.fetchone()
    assert row is not None
    return bool(row[0])
