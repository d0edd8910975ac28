from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0002_comparisons'),
    ]

    operations = [
        migrations.AlterField(
            model_name='attempt',
            name='outcome',
            field=models.CharField(choices=[('started', 'started'), ('succeeded', 'succeeded'), ('unchanged', 'unchanged'), ('superseded', 'superseded'), ('ignored', 'ignored'), ('failed', 'failed'), ('held', 'held for approval'), ('unknown', 'unknown'), ('interrupted', 'interrupted before a write')], default='started', max_length=12),
        ),
    ]
