"""The oldest entries may be deleted once the log says so: everything else refuses as before."""

from django.db import migrations, models

IS_CUT = "EXISTS (SELECT 1 FROM audit_cut WHERE highest_id >= OLD.id)"
WORDS = "audit entries are insert-only"

SQLITE = [
    "DROP TRIGGER audit_entry_no_DELETE",
    f"CREATE TRIGGER audit_entry_no_DELETE BEFORE DELETE ON audit_entry WHEN NOT {IS_CUT} "
    f"BEGIN SELECT RAISE(ABORT, '{WORDS}'); END",
]
SQLITE_BACK = [
    "DROP TRIGGER audit_entry_no_DELETE",
    f"CREATE TRIGGER audit_entry_no_DELETE BEFORE DELETE ON audit_entry BEGIN SELECT RAISE(ABORT, '{WORDS}'); END",
]
POSTGRESQL = [
    "DROP TRIGGER audit_entry_no_delete ON audit_entry",
    "CREATE FUNCTION audit_entry_kept() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN IF {IS_CUT} THEN RETURN OLD; END IF; RAISE EXCEPTION '{WORDS}'; END $$",
    "CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry "
    "FOR EACH ROW EXECUTE FUNCTION audit_entry_kept()",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER audit_entry_no_delete ON audit_entry",
    "DROP FUNCTION audit_entry_kept()",
    "CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry "
    "FOR EACH ROW EXECUTE FUNCTION audit_entry_insert_only()",
]


def run(schema_editor, sqlite, postgresql):
    for statement in sqlite if schema_editor.connection.vendor == "sqlite" else postgresql:
        schema_editor.execute(statement)


def loosen(apps, schema_editor):
    run(schema_editor, SQLITE, POSTGRESQL)


def tighten(apps, schema_editor):
    run(schema_editor, SQLITE_BACK, POSTGRESQL_BACK)


class Migration(migrations.Migration):
    dependencies = [("audit", "0008_entries_by_person_and_object")]
    operations = [
        migrations.CreateModel(
            name="Cut",
            fields=[
                ("segment", models.BigIntegerField(primary_key=True, serialize=False)),
                (
                    "highest_id",
                    models.BigIntegerField(
                        help_text="in these segments: the database lets no higher one be deleted"
                    ),
                ),
                ("entry_id", models.BigIntegerField(help_text="of the entry that says so")),
                (
                    "emptied",
                    models.BigIntegerField(
                        help_text="number of the segment up to which all entries are deleted"
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Stub",
            fields=[
                ("stream", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField()),
                ("leaf", models.BinaryField()),
                ("segment", models.BigIntegerField(help_text="that has the leaf")),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunPython(loosen, tighten),
    ]
