"""`manage.py grant_rights --role hub_app`: limit the rights of the role that runs the hub, on PostgreSQL."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from audit.retention.database_grants import EVIDENCE_TABLES, grant_statements

_ROLE_STATUS = """SELECT rolsuper, rolname = current_user OR EXISTS (
    SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND pg_has_role(%s, tableowner, 'MEMBER'))
    FROM pg_roles WHERE rolname = %s"""


class Command(BaseCommand):
    help = (
        "Print the SQL that allows a role to run the hub but not to change the audit log; with "
        "--execute, run it. Run this as the owner of the tables after each migrate. The role "
        "must exist, own no table, and not be a superuser."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--role", required=True, help="the role in DATABASE_URL of the web processes and workers"
        )
        parser.add_argument(
            "--execute", action="store_true", help="run the SQL in one transaction and verify the result"
        )

    def handle(self, *, role: str, execute: bool, **_: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError(
                "Only PostgreSQL has roles. Anyone who can write a SQLite file can change all of it."
            )
        statements = list(grant_statements(connection.ops.quote_name(role)))
        if not execute:
            self.stdout.write(";\n".join(statements) + ";")
            return
        _check_role(role)
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            _verify_rights(cursor, role)
        self.stdout.write(f"{role} can run the hub and cannot change the audit log.")


def _check_role(role: str) -> None:
    """Raise CommandError if the role does not exist, or if its rights cannot be limited: as a superuser or owner."""
    with connection.cursor() as cursor:
        cursor.execute(_ROLE_STATUS, [role, role])
        role_status = cursor.fetchone()
    if role_status is None:
        raise CommandError(f"There is no role {role}. Create it with CREATE ROLE … LOGIN.")
    if any(role_status):
        raise CommandError(
            f"{role} is a superuser or owns tables of the hub, so its rights cannot be limited."
        )


def _verify_rights(cursor: Any, role: str) -> None:
    """Raise CommandError if the role can still change the audit log, through PUBLIC or another role."""
    for table in EVIDENCE_TABLES:
        for right in ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
            cursor.execute("SELECT has_table_privilege(%s, %s, %s)", [role, f"public.audit_{table}", right])
            if cursor.fetchone()[0]:
                origin = "through PUBLIC or another role; nothing was changed"
                raise CommandError(f"{role} has {right} on audit_{table} {origin}.")
