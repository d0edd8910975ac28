"""The sentences with which a process ends that cannot start: on standard error, without a traceback."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

# With this code gunicorn starts no other process.
EXIT_CODE = 3
# What the server, or its library, says of a mistake in DATABASE_URL. A failed connection has no SQLSTATE.
_REFUSAL = re.compile(
    r"password authentication failed|no password supplied|(role|database) \".*\" does not exist|no pg_hba\.conf entry"
    r"|invalid (port|integer)"
)


@contextmanager
def settings_or_exit() -> Iterator[None]:
    """End this process with the sentence about the setting that is invalid or missing, if one is."""
    try:
        yield
    except ImproperlyConfigured as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_CODE)


def describe_unsafe_settings() -> list[str]:
    """Return a sentence for each error of the system checks, which Django runs for its own commands only."""
    errors = [message for message in checks.run_checks() if message.is_serious()]
    return [f"{error.msg} {error.hint or ''} ({error.id})" for error in errors]


def describe_failed_connection(alias: str = DEFAULT_DB_ALIAS) -> str:
    """Connect to the server of a PostgreSQL database. Returns why that failed; empty if it did not, and on SQLite.

    The pool of connections would say only that none came in time.
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return ""
    # Imported here, so that a process on SQLite does not load it.
    import psycopg

    try:
        psycopg.connect(**connection.get_connection_params()).close()
    except psycopg.Error as error:
        # The last line is about the last address of the host. It names the user and the host, never the password.
        return str(error).strip().splitlines()[-1].rpartition("FATAL:")[2].strip()
    return ""


def is_refusal(failure: str) -> bool:
    """Return True if the failure will last until DATABASE_URL or the server's own settings are corrected."""
    return _REFUSAL.search(failure) is not None
