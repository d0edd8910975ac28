"""Statements of each webhook are parsed and planned by PostgreSQL once for each connection."""

import psycopg
import pytest
from django.db import connection, transaction

from database import statement
from database.statement import Statement

OFTEN = Statement("SELECT COUNT(*) FROM webhooks_event WHERE id = %s")


def prepared() -> list[str]:
    """Return the statements that this connection has prepared on its server; none on SQLite."""
    if connection.vendor == "sqlite":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [row[0] for row in cursor.fetchall()]


def test_a_frequent_statement_is_prepared_on_the_server(database: None) -> None:
    with transaction.atomic():
        for number in range(6):
            assert OFTEN.fetch_one(number) == (0,)
        found = [statement for statement in prepared() if "webhooks_event WHERE id" in statement]
    assert len(found) == (connection.vendor == "postgresql")


def test_statements_of_djangos_own_cursor_are_not_prepared(database: None) -> None:
    """Their text contains the values: preparing each would fill the server's memory."""
    with transaction.atomic(), connection.cursor() as cursor:
        for number in range(6):
            cursor.execute("SELECT COUNT(*) FROM webhooks_receipt WHERE id = %s", [number])
        assert [statement for statement in prepared() if "FROM webhooks_receipt WHERE id" in statement] == []


@pytest.mark.writers_at_once
def test_a_connection_keeps_the_cursor_that_knows_its_types(database: None) -> None:
    with transaction.atomic():
        assert OFTEN.fetch_one(1) == (0,)
        link = connection.connection
        known = statement._raw_cursor(link)
        assert OFTEN.fetch_one(2) == (0,)
        assert statement._raw_cursor(link) is known
    connection.close()
    with psycopg.connect(**connection.get_connection_params()) as other:
        assert statement._raw_cursor(other) is not known
