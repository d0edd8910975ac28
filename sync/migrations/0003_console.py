"""Add the indexes of the list of differences."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0003_origin"), ("sync", "0003_walk")]

    operations = [
        migrations.AddIndex(
            model_name="difference",
            index=models.Index(fields=["comparison", "id"], name="difference_listed"),
        ),
        migrations.AddIndex(
            model_name="difference",
            index=models.Index(
                condition=models.Q(("status", "confirmed")),
                fields=["comparison", "id"],
                name="difference_confirmed",
            ),
        ),
    ]
