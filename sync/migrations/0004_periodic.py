from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0003_alarms'),
    ]

    operations = [
        migrations.CreateModel(
            name='Periodic',
            fields=[
                ('name', models.CharField(max_length=50, primary_key=True, serialize=False)),
                ('due_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(blank=True, help_text='When it last ran to its end.', null=True)),
            ],
            options={
                'verbose_name_plural': 'periodic work',
                'default_permissions': ('view',),
            },
        ),
    ]
