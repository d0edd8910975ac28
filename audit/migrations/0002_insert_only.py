"""Triggers that refuse every UPDATE and DELETE (and TRUNCATE) of audit entries, on both databases."""

from django.db import migrations

SQLITE = [
    "CREATE TRIGGER audit_entry_no_{0} BEFORE {0} ON audit_entry "
    "BEGIN SELECT RAISE(ABORT, 'audit entries are insert-only'); END".format(verb)
    for verb in ("UPDATE", "DELETE")
] + [
    # INSERT OR REPLACE deletes without firing a DELETE trigger
    "CREATE TRIGGER audit_entry_no_REPLACE BEFORE INSERT ON audit_entry "
    "WHEN EXISTS (SELECT 1 FROM audit_entry WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'audit entries are insert-only'); END"
]
POSTGRESQL = [
    "CREATE FUNCTION audit_entry_insert_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'audit entries are insert-only'; END $$",
    "CREATE TRIGGER audit_entry_no_change BEFORE UPDATE OR DELETE ON audit_entry "
    "FOR EACH ROW EXECUTE FUNCTION audit_entry_insert_only()",
    "CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_insert_only()",
]
SQLITE_BACK = [f"DROP TRIGGER audit_entry_no_{verb}" for verb in ("UPDATE", "DELETE", "REPLACE")]
POSTGRESQL_BACK = [
    "DROP TRIGGER audit_entry_no_truncate ON audit_entry",
    "DROP TRIGGER audit_entry_no_change ON audit_entry",
    "DROP FUNCTION audit_entry_insert_only()",
]


def guard(apps, schema_editor):
    run(schema_editor, SQLITE, POSTGRESQL)


def unguard(apps, schema_editor):
    run(schema_editor, SQLITE_BACK, POSTGRESQL_BACK)


def run(schema_editor, sqlite, postgresql):
    for statement in sqlite if schema_editor.connection.vendor == "sqlite" else postgresql:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_entry")]
    operations = [migrations.RunPython(guard, unguard)]
