import django.db.models.deletion
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("sync", "0010_counts_and_failures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='mapping',
            options={'ordering': ['name'], 'permissions': [('activate_mapping', 'Can put a draft of a mapping, or an earlier version, in force')]},
        ),
        migrations.AddField(
            model_name='mappingversion',
            name='made_by',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='mappingversion',
            name='note',
            field=models.CharField(blank=True, db_default='', default='', help_text='what it changes', max_length=500),
        ),
        migrations.AddField(
            model_name='mappingversion',
            name='reason',
            field=models.CharField(blank=True, db_default='', default='', help_text='why it was put in force', max_length=500),
        ),
        migrations.AddField(
            model_name='mappingversion',
            name='restores',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sync.mappingversion'),
        ),
        migrations.AddField(
            model_name='mappingversion',
            name='text',
            field=models.TextField(blank=True, db_default='', default='', help_text='the declaration as it was typed'),
        ),
        migrations.CreateModel(
            name='MappingDraft',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('declaration', models.JSONField()),
                ('text', models.TextField(blank=True, help_text='the declaration as it was typed')),
                ('note', models.CharField(blank=True, max_length=500)),
                ('made_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('open', 'open'), ('replaced', 'replaced by a later draft'), ('activated', 'put in force'), ('discarded', 'discarded')], default='open', max_length=10)),
                ('base', models.ForeignKey(db_index=False, help_text='the version in force when it was saved', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sync.mappingversion')),
                ('made_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('mapping', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='drafts', to='sync.mapping')),
                ('version', models.ForeignKey(db_index=False, help_text='that it became', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sync.mappingversion')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='BackTest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('uuid', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('wanted', models.PositiveSmallIntegerField(help_text='events that can be tested')),
                ('asked_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('state', models.CharField(choices=[('waiting', 'waiting for a worker'), ('running', 'running'), ('done', 'done'), ('failed', 'failed')], default='waiting', max_length=8)),
                ('ended_by', models.CharField(blank=True, help_text='enough, no-more or time', max_length=12)),
                ('looked_at', models.PositiveIntegerField(default=0, help_text='events')),
                ('oldest_at', models.DateTimeField(help_text='when the oldest of them was received', null=True)),
                ('newest_at', models.DateTimeField(null=True)),
                ('counts', models.JSONField(default=dict, help_text='tested events by outcome')),
                ('untestable', models.JSONField(default=dict, help_text='other events by reason')),
                ('fields', models.JSONField(default=dict, help_text='how often each field differs')),
                ('examples', models.JSONField(default=list)),
                ('token', models.UUIDField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('asked_by', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('base', models.ForeignKey(db_index=False, help_text='compared with', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sync.mappingversion')),
                ('draft', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='backtests', to='sync.mappingdraft')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddConstraint(
            model_name='mappingdraft',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('mapping',), name='one_open_draft'),
        ),
        migrations.AddConstraint(
            model_name='mappingdraft',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'activated'), ('version__isnull', False)), models.Q(models.Q(('state', 'activated'), _negated=True), ('version', None)), _connector='OR'), name='activated_means_a_version'),
        ),
        migrations.AddIndex(
            model_name='backtest',
            index=models.Index(condition=models.Q(('state__in', ['waiting', 'running'])), fields=['id'], name='backtest_open'),
        ),
        migrations.AddConstraint(
            model_name='backtest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('lease_until__isnull', False), ('state', 'running'), ('token__isnull', False)), models.Q(models.Q(('state', 'running'), _negated=True), ('lease_until', None), ('token', None)), _connector='OR'), name='running_backtest_is_claimed'),
        ),
    ]
