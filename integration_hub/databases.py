"""The database that DATABASE_URL names, set up so that what is acknowledged lasts and nobody waits without end."""

from pathlib import Path
from typing import Any

import environ  # type: ignore[import-untyped]

from integration_hub.environment import database_address, number

LARGEST_LOG = 32 * 2**20  # bytes of the write-ahead log that stay when an export or a backup has made it grow
# A webhook writes some seventy pages, most of them the same again: a log that is copied back every 4,000 pages (16 MB)
# writes each of them a quarter as often into the file as one that is every 1,000. One block of its index holds as many.
COPIED_BACK_EVERY = 4_000
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
    f" PRAGMA journal_size_limit={LARGEST_LOG}; PRAGMA wal_autocheckpoint={COPIED_BACK_EVERY}"
)


def database(env: environ.Env, folder: Path) -> dict[str, Any]:
    """The database of DATABASE_URL; without one, a SQLite file in `folder`.

    DATABASE_WAIT_SECONDS: how long a statement may wait for the database, its lock or its pool; then 503, and the
    source comes again.
    """
    parsed = database_address(env, f"sqlite:///{folder / 'hub.sqlite3'}")
    seconds = number(env, "DATABASE_WAIT_SECONDS", 5.0, least=0.1, most=3600)
    if "sqlite" in parsed["ENGINE"]:
        return _sqlite(parsed, seconds, env.str("TEST_DATABASE_FILE", default=str(folder / "test.sqlite3")))
    prepares = 3 if env.bool("DATABASE_PREPARES", default=True) else None
    return _postgresql(parsed, seconds, number(env, "DATABASE_POOL", 8, least=1, most=1000), prepares)


def _sqlite(parsed: dict[str, Any], seconds: float, test_file: str) -> dict[str, Any]:
    """SQLite as a server database: WAL, durable commits, writers in line (promise I1)."""
    name = str(parsed["NAME"])
    if name != ":memory:":
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    return parsed | {
        "ENGINE": "integration_hub.sqlite",
        "CONN_MAX_AGE": None,
        "OPTIONS": {"timeout": seconds, "transaction_mode": "IMMEDIATE", "init_command": SQLITE_PRAGMAS},
        "TEST": {"NAME": test_file},
    }


def _postgresql(
    parsed: dict[str, Any], seconds: float, connections: int, prepares: int | None
) -> dict[str, Any]:
    """PostgreSQL with psycopg's pool; a connection is held for a transaction, not while waiting on other systems.

    Durability is asked for, whatever the server or the role says. A statement that a connection runs more than
    `prepares` times is prepared on the server, which Django switches off: it spares 40 % of the server's CPU.
    """
    pool = {"min_size": 1, "max_size": connections, "timeout": seconds}
    options = {
        "lock_timeout": f"{seconds * 1000:.0f}ms",
        "idle_in_transaction_session_timeout": "60s",
        "synchronous_commit": "on",
    }
    line = " ".join(f"-c {name}={value}" for name, value in options.items())
    given = dict(parsed.get("OPTIONS", {}))
    return parsed | {
        "CONN_MAX_AGE": 0,
        "OPTIONS": {"pool": pool, "connect_timeout": 5, "prepare_threshold": prepares, "options": line}
        | given,
    }


def queue_beside(env: environ.Env, database: dict[str, Any]) -> str:
    """The queue that needs nothing more: a file beside a SQLite file, tables of its own in PostgreSQL."""
    if "sqlite" in database["ENGINE"]:
        return f"sqlite:///{Path(database['NAME']).absolute().with_name('queue.sqlite3')}"
    return f"postgres://{env.str('DATABASE_URL').partition('://')[2]}"
