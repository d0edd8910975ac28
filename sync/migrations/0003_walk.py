from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0002_comparisons'),
    ]

    operations = [
        migrations.AddField(
            model_name='comparison',
            name='request_count',
            field=models.PositiveIntegerField(default=0, help_text='requests to both systems'),
        ),
        migrations.AddField(
            model_name='comparisonrecord',
            name='is_deactivated',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='comparisonrecord',
            name='fields',
            field=models.BinaryField(help_text='digests: of all, then of each that may be left out', null=True),
        ),
    ]
