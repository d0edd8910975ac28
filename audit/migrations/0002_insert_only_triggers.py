"""Refuse changes of the audit log by triggers, on both databases.

Rows of the log are inserted only. Two exceptions: entries may be deleted once a row of `audit_cut` covers them, and the
private half of a signing key may be removed.
"""

from django.db import migrations

from database.row_ids import create_id_triggers

ENTRY, SEGMENT, CHECKPOINT, PUBLICATION, VERIFICATION, SIGNING_KEY = TABLES = (
    "audit_entry",
    "audit_segment",
    "audit_checkpoint",
    "audit_publishedcheckpoint",
    "audit_verification",
    "audit_signingkey",
)
MESSAGES = {
    ENTRY: "audit entries are insert-only",
    SEGMENT: "audit segments are insert-only",
    CHECKPOINT: "audit checkpoints are insert-only",
    PUBLICATION: "audit publications are insert-only",
    VERIFICATION: "audit verifications are insert-only",
    SIGNING_KEY: "signing keys are evidence",
}
UNIQUE = {
    ENTRY: ("id = NEW.id", "stream = NEW.stream AND stream_seq = NEW.stream_seq"),
    SEGMENT: ("number = NEW.number",),
    CHECKPOINT: ("count = NEW.count",),
    PUBLICATION: ("id = NEW.id",),
    VERIFICATION: ("id = NEW.id",),
    SIGNING_KEY: ("number = NEW.number OR key = NEW.key",),
}

IS_PRUNED = "EXISTS (SELECT 1 FROM audit_cut WHERE highest_id >= OLD.id)"
UNCHANGED = " AND ".join(
    f"NEW.{column} = OLD.{column}" for column in ("number", "key", "public", "valid_from", "signature")
)
IS_END_OF_KEY = (
    f"{UNCHANGED} AND NOT (OLD.private IS NULL AND NEW.private IS NOT NULL) "
    "AND (OLD.valid_until IS NULL OR NEW.valid_until IS NOT NULL AND NEW.valid_until = OLD.valid_until)"
)
MAY_UPDATE = {SIGNING_KEY: IS_END_OF_KEY}
MAY_DELETE = {ENTRY: IS_PRUNED}


def sqlite_triggers(table):
    refuse = f"BEGIN SELECT RAISE(ABORT, '{MESSAGES[table]}'); END"
    update = f"WHEN NOT ({MAY_UPDATE[table]}) " if table in MAY_UPDATE else ""
    delete = f"WHEN NOT {MAY_DELETE[table]} " if table in MAY_DELETE else ""
    # INSERT OR REPLACE deletes the row in its way without firing a DELETE trigger
    replaces = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {same})" for same in UNIQUE[table])
    return [
        f"CREATE TRIGGER {table}_no_UPDATE BEFORE UPDATE ON {table} {update}{refuse}",
        f"CREATE TRIGGER {table}_no_DELETE BEFORE DELETE ON {table} {delete}{refuse}",
        f"CREATE TRIGGER {table}_no_REPLACE BEFORE INSERT ON {table} WHEN {replaces} {refuse}",
    ]


def postgresql_triggers(table):
    refuses = f"{table}_kept" if table == SIGNING_KEY else f"{table}_insert_only"
    deletes = f"{table}_kept" if table in MAY_DELETE else refuses
    update = f"WHEN (NOT ({MAY_UPDATE[table]})) " if table in MAY_UPDATE else ""
    raises = f"RAISE EXCEPTION '{MESSAGES[table]}';"
    functions = [
        f"CREATE FUNCTION {refuses}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raises} END $$"
    ]
    if table in MAY_DELETE:
        functions.append(
            f"CREATE FUNCTION {deletes}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {MAY_DELETE[table]} THEN RETURN OLD; END IF; {raises} END $$"
        )
    return [
        *functions,
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE ON {table} "
        f"FOR EACH ROW {update}EXECUTE FUNCTION {refuses}()",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {deletes}()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {refuses}()",
    ]


def create_triggers(apps, schema_editor):
    is_sqlite = schema_editor.connection.vendor == "sqlite"
    for table in TABLES:
        for statement in sqlite_triggers(table) if is_sqlite else postgresql_triggers(table):
            schema_editor.execute(statement)
    create_id_triggers(schema_editor, ENTRY)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(create_triggers)]
