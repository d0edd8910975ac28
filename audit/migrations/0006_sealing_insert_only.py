"""Triggers for what sealing writes, on both databases: insert only; of a signing key, its private half may go."""

from django.db import migrations

TABLES = ("segment", "checkpoint", "anchoring", "verification")
SAME = " AND ".join(
    f"NEW.{column} = OLD.{column}" for column in ("number", "key", "public", "valid_from", "signature")
)
IS_ENDING = (
    f"{SAME} AND NOT (OLD.private IS NULL AND NEW.private IS NOT NULL) "
    "AND (OLD.valid_until IS NULL OR NEW.valid_until IS NOT NULL AND NEW.valid_until = OLD.valid_until)"
)
WORDS = "audit {0}s are insert-only"
KEY_WORDS = "signing keys are evidence"


def raising(words):
    return f"BEGIN SELECT RAISE(ABORT, '{words}'); END"


def of_sqlite(table):
    key = "id" if table in ("anchoring", "verification") else "count" if table == "checkpoint" else "number"
    refuse = raising(WORDS.format(table))
    name = f"audit_{table}"
    # INSERT OR REPLACE deletes without firing a DELETE trigger
    taken = f"EXISTS (SELECT 1 FROM {name} WHERE {key} = NEW.{key})"
    return [
        f"CREATE TRIGGER {name}_no_UPDATE BEFORE UPDATE ON {name} {refuse}",
        f"CREATE TRIGGER {name}_no_DELETE BEFORE DELETE ON {name} {refuse}",
        f"CREATE TRIGGER {name}_no_REPLACE BEFORE INSERT ON {name} WHEN {taken} {refuse}",
    ]


def of_postgresql(table, refusing):
    name = f"audit_{table}"
    return [
        f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} FOR EACH ROW EXECUTE FUNCTION {refusing}",
        f"CREATE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {refusing}",
    ]


def function(name, words):
    return (
        f"CREATE FUNCTION {name} RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{words}'; END $$"
    )


SQLITE = [statement for table in TABLES for statement in of_sqlite(table)] + [
    "CREATE TRIGGER audit_signingkey_no_UPDATE BEFORE UPDATE ON audit_signingkey "
    f"WHEN NOT ({IS_ENDING}) {raising(KEY_WORDS)}",
    f"CREATE TRIGGER audit_signingkey_no_DELETE BEFORE DELETE ON audit_signingkey {raising(KEY_WORDS)}",
    "CREATE TRIGGER audit_signingkey_no_REPLACE BEFORE INSERT ON audit_signingkey WHEN EXISTS "
    "(SELECT 1 FROM audit_signingkey WHERE number = NEW.number OR key = NEW.key) " + raising(KEY_WORDS),
]
POSTGRESQL = []
for table in TABLES:
    refusing = f"audit_{table}_insert_only()"
    POSTGRESQL += [
        function(refusing, WORDS.format(table)),
        f"CREATE TRIGGER audit_{table}_no_change BEFORE UPDATE ON audit_{table} "
        f"FOR EACH ROW EXECUTE FUNCTION {refusing}",
        *of_postgresql(table, refusing),
    ]
POSTGRESQL += [
    function("audit_signingkey_kept()", KEY_WORDS),
    "CREATE TRIGGER audit_signingkey_no_change BEFORE UPDATE ON audit_signingkey FOR EACH ROW "
    f"WHEN (NOT ({IS_ENDING})) EXECUTE FUNCTION audit_signingkey_kept()",
    *of_postgresql("signingkey", "audit_signingkey_kept()"),
]
EVERY = (*TABLES, "signingkey")
SQLITE_BACK = [f"DROP TRIGGER audit_{table}_no_{verb}" for table in EVERY for verb in ("UPDATE", "DELETE", "REPLACE")]
POSTGRESQL_BACK = [
    f"DROP TRIGGER audit_{table}_no_{verb} ON audit_{table}"
    for table in EVERY
    for verb in ("change", "delete", "truncate")
] + [
    *(f"DROP FUNCTION audit_{table}_insert_only()" for table in TABLES),
    "DROP FUNCTION audit_signingkey_kept()",
]


def run(schema_editor, sqlite, postgresql):
    for statement in sqlite if schema_editor.connection.vendor == "sqlite" else postgresql:
        schema_editor.execute(statement)


def guard(apps, schema_editor):
    run(schema_editor, SQLITE, POSTGRESQL)


def unguard(apps, schema_editor):
    run(schema_editor, SQLITE_BACK, POSTGRESQL_BACK)


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_sealing")]
    operations = [migrations.RunPython(guard, unguard)]
