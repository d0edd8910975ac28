"""Rewrite a table, remove a column, and run code that cannot be undone."""

from typing import Any

from django.db import migrations, models

from tests.upgrade.later.expand.migrations import LAST


def forget(apps: Any, schema_editor: Any) -> None:
    """Would change rows."""


class Migration(migrations.Migration):
    dependencies = [("sync", LAST)]
    operations = [
        migrations.AlterField("link", "record_id", models.TextField()),
        migrations.AddIndex("delivery", models.Index(fields=["settled_at"], name="delivery_settled_later")),
        migrations.RemoveField("route", "deactivation"),
        migrations.RunPython(forget),
    ]
