from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0002_comparisons'),
    ]

    operations = [
        migrations.AlterField(
            model_name='attempt',
            name='cause',
            field=models.CharField(choices=[('webhook', 'the webhook'), ('retry', 'a retry'), ('replay', 'a replay'), ('recheck', 'a re-check'), ('comparison', 'a comparison'), ('catch-up', 'a catch-up')], max_length=12),
        ),
    ]
