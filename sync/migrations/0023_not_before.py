"""Until when the other side asked to be left alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0022_bounds_of_connections")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="not_before",
            field=models.DateTimeField(
                help_text="the other side asked to be left alone until then: Retry-After", null=True
            ),
        ),
    ]
