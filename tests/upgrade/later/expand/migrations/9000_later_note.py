"""Add a column, a table and an index that the present code does not use."""

from django.db import migrations, models

from tests.upgrade.later.expand.migrations import LAST


class Migration(migrations.Migration):
    dependencies = [("sync", LAST)]
    operations = [
        migrations.AddField("delivery", "later_note", models.CharField(max_length=20, null=True)),
        migrations.CreateModel("LaterNote", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddIndex("delivery", models.Index(fields=["later_note"], name="delivery_later_note")),
    ]
