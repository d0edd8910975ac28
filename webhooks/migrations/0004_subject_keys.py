"""A key for each subject, and the pepper under which their pseudonyms are made, once and for all."""

import os

import django.db.models.deletion
from django.db import migrations, models

from webhooks.sealing import seal


def make_pepper(apps, schema_editor):
    peppers = apps.get_model("webhooks", "Pepper").objects.using(schema_editor.connection.alias)
    if not peppers.exists():
        peppers.create(sealed=seal(os.urandom(32)))


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0003_leaner_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='Pepper',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sealed', models.BinaryField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='SubjectKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pseudonym', models.CharField(max_length=64)),
                ('wrapped', models.BinaryField(help_text='the key, sealed under SEALING_KEYS', null=True)),
                ('made_at', models.DateTimeField()),
                ('destroyed_at', models.DateTimeField(null=True)),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(condition=models.Q(('destroyed_at__isnull', False)), fields=['destroyed_at'], name='subject_destroyed')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('destroyed_at', None)), fields=('pseudonym',), name='one_key_a_subject'), models.CheckConstraint(condition=models.Q(models.Q(('destroyed_at__isnull', False), ('wrapped', None)), models.Q(('destroyed_at', None), ('wrapped__isnull', False)), _connector='OR'), name='destroyed_means_no_key')],
            },
        ),
        migrations.AddField(
            model_name='payload',
            name='subject',
            field=models.ForeignKey(db_index=False, help_text='whose key seals it; without one, SEALING_KEYS do', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='webhooks.subjectkey'),
        ),
        migrations.AddIndex(
            model_name='payload',
            index=models.Index(condition=models.Q(('subject__isnull', False)), fields=['subject'], name='payload_subject'),
        ),
        migrations.RunPython(make_pepper, migrations.RunPython.noop),
    ]
