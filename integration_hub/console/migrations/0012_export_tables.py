"""The table beside the evidence has several forms. `with_csv` stays in the database, with a default, for processes of the
version before; it means nothing any more."""

from django.db import migrations, models


def convert(apps, schema_editor):
    apps.get_model("console", "Export").objects.filter(with_csv=False).update(table="none")


class Migration(migrations.Migration):
    dependencies = [("console", "0011_replay_roles")]
    operations = [
        migrations.AddField(
            "export",
            "table",
            models.CharField(
                max_length=8,
                default="csv",
                db_default="csv",
                choices=[
                    ("none", "JSON Lines alone: complete, for machines"),
                    (
                        "csv",
                        "with CSV, safe for spreadsheets: a text that could be taken for a formula gets an apostrophe",
                    ),
                    ("csv-raw", "with CSV as it is, for programs"),
                    ("xlsx", "with XLSX, up to 1,048,575 events"),
                ],
            ),
        ),
        migrations.RunPython(convert, migrations.RunPython.noop),
        migrations.AlterField(
            "export",
            "with_csv",
            models.BooleanField(
                default=True, db_default=True, help_text="a table for reading, beside the evidence"
            ),
        ),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("export", "with_csv")]),
    ]
