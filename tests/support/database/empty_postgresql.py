"""An empty PostgreSQL database, whichever database the tests of this run use."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.database import postgresql


@contextmanager
def empty_postgresql() -> Iterator[str]:
    """Yield the URL of a new database on the tests' server; drop it at the end."""
    name = f"hub_empty_{secrets.token_hex(6)}"
    server = postgresql.url()
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")
