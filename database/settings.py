"""Connection settings for both databases: durable commits, and an upper bound for every wait."""

from pathlib import Path
from typing import Any

# The size that the write-ahead log keeps after an export or a backup has made it grow.
MAX_LOG_BYTES = 32 * 2**20
# A webhook writes some seventy pages, most of them the same again: a log that is copied back every 4,000 pages (16 MB)
# writes each of them a quarter as often into the file as one that is every 1,000. One block of its index holds as many.
CHECKPOINT_PAGES = 4_000
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    f" PRAGMA journal_size_limit={MAX_LOG_BYTES}; PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}"
)


# A server whose machine or network is down sends nothing, not even a refusal: by default the system waits a quarter of
# an hour for an acknowledgement of what it sent, and for ever for a response. With these limits, data that is not
# acknowledged within five seconds ends the connection, and so do two probes without an answer, two seconds apart. One
# lost probe ends none: five seconds must pass without any answer, since on Linux the first limit counts for probes too.
# The first is in milliseconds, the second and third in seconds.
SILENT_SERVER_LIMITS = {
    "tcp_user_timeout": 5000,
    "keepalives_idle": 2,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}
# psycopg's pool doubles the pause between two attempts to connect, from one second on, until this time has passed. Then
# the next thread that needs a connection begins again. By default the pauses grow for five minutes: after an outage of
# two minutes a process would refuse webhooks for two more.
RECONNECT_SECONDS = 5.0


def sqlite_settings(address: dict[str, Any], *, wait_seconds: float, test_file: str) -> dict[str, Any]:
    """Return Django's settings of a SQLite database that works like a server's: WAL, durable commits, writers in line.

    `address`: what DATABASE_URL says, as Django names it. Creates the folder of the file.
    """
    name = str(address["NAME"])
    if name != ":memory:":
        Path(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return address | {
        "ENGINE": "database.sqlite",
        "CONN_MAX_AGE": None,
        "OPTIONS": {"timeout": wait_seconds, "transaction_mode": "IMMEDIATE", "init_command": SQLITE_PRAGMAS},
        "TEST": {"NAME": test_file},
    }


def postgresql_settings(
    address: dict[str, Any], *, wait_seconds: float, pool_size: int, prepare_threshold: int | None
) -> dict[str, Any]:
    """Return Django's settings of a PostgreSQL database with psycopg's pool of connections.

    A connection is held for a transaction, not while waiting for other systems. Durability is asked for, whatever the
    server or the role says. A statement that a connection runs more than `prepare_threshold` times is prepared on the
    server, which Django switches off: otherwise the server would plan each execution.
    """
    # Imported here, so that a process on SQLite does not load psycopg.
    from database.response_limit import LimitedConnection

    pool = {
        "min_size": 1,
        "max_size": pool_size,
        "timeout": wait_seconds,
        "connection_class": LimitedConnection,
        "reconnect_timeout": RECONNECT_SECONDS,
    }
    options = {
        "lock_timeout": f"{wait_seconds * 1000:.0f}ms",
        "idle_in_transaction_session_timeout": "60s",
        "synchronous_commit": "on",
        # It compiled the statement that reads a backlog for seconds, which then ran for milliseconds.
        "jit": "off",
    }
    line = " ".join(f"-c {name}={value}" for name, value in options.items())
    given = dict(address.get("OPTIONS", {}))
    return address | {
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            "pool": pool,
            "connect_timeout": 5,
            **SILENT_SERVER_LIMITS,
            "prepare_threshold": prepare_threshold,
            "options": line,
        }
        | given,
    }
