from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0003_scope"),
    ]

    operations = [
        migrations.AddField(
            model_name="route",
            name="mode_since",
            field=models.DateTimeField(
                editable=False,
                help_text="when the mode was set; null: it was live from the beginning",
                null=True,
            ),
        ),
    ]
