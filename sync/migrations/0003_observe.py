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
        migrations.AlterField(
            model_name='comparison',
            name='repair',
            field=models.CharField(blank=True, choices=[('made', 'differences were made equal'), ('nothing', 'there was nothing to make equal'), ('off', 'differences are only reported'), ('incomplete', 'nothing was made equal: the comparison is incomplete'), ('too-many', 'nothing was made equal: it found too many differences'), ('other-repair', 'nothing was made equal: another repair of the target was running'), ('refused', 'nothing was made equal: the route observes, or was disabled or changed')], default='', max_length=12),
        ),
    ]
