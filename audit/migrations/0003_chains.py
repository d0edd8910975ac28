"""Entries get their place in a chain for each stream.

The new columns may be empty, so that a process of the version before can go on writing while it ends; what it writes is
chained soon after. The triggers let a row be chained once and changed never: they are taken away and set up again within
this one transaction, for SQLite builds the table anew.
"""

import importlib

from django.db import migrations, models

BEFORE = importlib.import_module("audit.migrations.0002_insert_only")

SAME = " AND ".join(f"NEW.{column} = OLD.{column}" for column in ("id", "stream", "at", "action", "actor"))
IS_CHAINING = f"OLD.leaf IS NULL AND NEW.leaf IS NOT NULL AND {SAME}"
TAKEN = "SELECT 1 FROM audit_entry WHERE stream = NEW.stream AND stream_seq = NEW.stream_seq"
REFUSE = "BEGIN SELECT RAISE(ABORT, 'audit entries are insert-only'); END"

SQLITE = [
    f"CREATE TRIGGER audit_entry_no_DELETE BEFORE DELETE ON audit_entry {REFUSE}",
    # UPDATE OR REPLACE and INSERT OR REPLACE delete what is in their way without firing a DELETE trigger
    f"CREATE TRIGGER audit_entry_no_UPDATE BEFORE UPDATE ON audit_entry "
    f"WHEN NOT ({IS_CHAINING}) OR EXISTS ({TAKEN}) {REFUSE}",
    f"CREATE TRIGGER audit_entry_no_REPLACE BEFORE INSERT ON audit_entry "
    f"WHEN EXISTS (SELECT 1 FROM audit_entry WHERE id = NEW.id) OR EXISTS ({TAKEN}) {REFUSE}",
]
POSTGRESQL = [
    "CREATE FUNCTION audit_entry_insert_only() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'audit entries are insert-only'; END $$",
    f"CREATE TRIGGER audit_entry_no_change BEFORE UPDATE ON audit_entry FOR EACH ROW "
    f"WHEN (NOT ({IS_CHAINING})) EXECUTE FUNCTION audit_entry_insert_only()",
    "CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry "
    "FOR EACH ROW EXECUTE FUNCTION audit_entry_insert_only()",
    "CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_insert_only()",
]
SQLITE_BACK = BEFORE.SQLITE_BACK
POSTGRESQL_BACK = ["DROP TRIGGER audit_entry_no_delete ON audit_entry", *BEFORE.POSTGRESQL_BACK]


def guard(apps, schema_editor):
    BEFORE.run(schema_editor, SQLITE, POSTGRESQL)


def unguard(apps, schema_editor):
    BEFORE.run(schema_editor, SQLITE_BACK, POSTGRESQL_BACK)


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_insert_only")]
    operations = [
        migrations.RunPython(BEFORE.unguard, BEFORE.guard),
        migrations.CreateModel(
            name="Head",
            fields=[
                ("stream", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(help_text="of its last entry")),
                ("added", models.IntegerField(help_text="how many entries the last append added")),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AddField(
            "entry", "stream_seq", models.BigIntegerField(help_text="1, 2, 3 … in its stream", null=True)
        ),
        migrations.AddField(
            "entry",
            "prev_leaf",
            models.BinaryField(help_text="of the entry before it in its stream", null=True),
        ),
        migrations.AddField("entry", "leaf", models.BinaryField(help_text="the hash of its body", null=True)),
        migrations.AddConstraint(
            "entry", models.UniqueConstraint(fields=["stream", "stream_seq"], name="one_entry_a_place")
        ),
        migrations.AddIndex(
            "entry", models.Index("id", condition=models.Q(leaf=None), name="audit_entry_unchained")
        ),
        migrations.RemoveIndex("entry", "audit_entry_stream"),
        migrations.RunPython(guard, unguard),
    ]
