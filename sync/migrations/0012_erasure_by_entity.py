from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("sync", "0011_mapping_drafts"),
    ]

    operations = [
        migrations.AddIndex(
            model_name='erasure',
            index=models.Index(fields=['entity_id'], name='erasure_entity'),
        ),
    ]
