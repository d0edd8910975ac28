
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0003_observe'),
    ]

    operations = [
        migrations.AlterField(
            model_name='route',
            name='condition',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AlterField(
            model_name='route',
            name='on_leaving',
            field=models.CharField(choices=[('leave', 'do not change the record'), ('deactivate', 'set the fields that mark a record as inactive'), ('delete', 'delete the record'), ('unlink', 'end the link')], default='leave', max_length=12, verbose_name='when an entity leaves the scope'),
        ),
        migrations.AlterField(
            model_name='route',
            name='reactivation',
            field=models.JSONField(blank=True, null=True, verbose_name='fields set when it comes back'),
        ),
    ]
