import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0014_replay_choices'),
        ('webhooks', '0004_subject_keys'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Member',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('skipped', 'skipped'), ('sent', 'under way'), ('succeeded', 'succeeded'), ('failed', 'failed again'), ('held', 'held for approval')], default='waiting', max_length=10)),
                ('why', models.CharField(blank=True, max_length=48)),
                ('at', models.DateTimeField(help_text='of its state')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AlterModelOptions(
            name='replay',
            options={'default_permissions': ('view',), 'permissions': [('approve_replay', "Can approve replays that are larger than somebody else's limit"), ('replay_many', 'Can replay as many events as REPLAY_LIMIT_ADMIN says without a second person'), ('replay_older', 'Can deliver a payload as received over newer data')]},
        ),
        migrations.AddField(
            model_name='replay',
            name='bound',
            field=models.BigIntegerField(help_text='the newest event there was', null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='cursor_at',
            field=models.DateTimeField(help_text='how far its events are counted', null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='cursor_id',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='decided_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='decided_by',
            field=models.ForeignKey(help_text='the second person, who approved or declined it', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='replay',
            name='due_at',
            field=models.DateTimeField(help_text='when the next is sent', null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='ended_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='failed',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='replay',
            name='filter',
            field=models.JSONField(help_text='resolved; empty: events that were chosen one by one', null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='frozen_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='held',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='replay',
            name='pace',
            field=models.CharField(blank=True, choices=[('gentle', 'gentle'), ('normal', 'normal'), ('first', 'one first, then ask me')], db_default='', default='', max_length=8),
        ),
        migrations.AddField(
            model_name='replay',
            name='paused',
            field=models.CharField(blank=True, choices=[('person', 'by a person'), ('first', 'the first event has ended'), ('failing', 'too many failed again')], db_default='', default='', max_length=8),
        ),
        migrations.AddField(
            model_name='replay',
            name='paused_by',
            field=models.ForeignKey(help_text='who paused or stopped it; empty: the hub', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='replay',
            name='pauses_above',
            field=models.PositiveSmallIntegerField(help_text='percent of those that ended and failed again; empty: it never pauses by itself', null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='seen_ended',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='when somebody last let it go on: counted from there'),
        ),
        migrations.AddField(
            model_name='replay',
            name='seen_failed',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='replay',
            name='skipped',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='replay',
            name='started_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='replay',
            name='state',
            field=models.CharField(choices=[('choosing', 'being counted'), ('chosen', 'not confirmed yet'), ('awaiting', 'waits for a second person'), ('running', 'running'), ('paused', 'paused'), ('stopping', 'stopping'), ('stopped', 'stopped'), ('finished', 'finished')], db_default='finished', default='finished', max_length=10),
        ),
        migrations.AddField(
            model_name='replay',
            name='succeeded',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='replay',
            name='total',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='events in the frozen set'),
        ),
        migrations.AlterField(
            model_name='replay',
            name='events',
            field=models.PositiveIntegerField(default=0, help_text='sent again'),
        ),
        migrations.AddIndex(
            model_name='replay',
            index=models.Index(condition=models.Q(('state__in', ['choosing', 'running', 'paused', 'stopping'])), fields=['id'], name='replay_under_way'),
        ),
        migrations.AddConstraint(
            model_name='replay',
            constraint=models.CheckConstraint(condition=models.Q(('decided_by', None), models.Q(('decided_by', models.F('requested_by')), _negated=True), _connector='OR'), name='a_second_person_approves'),
        ),
        migrations.AddField(
            model_name='member',
            name='event',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='webhooks.event'),
        ),
        migrations.AddField(
            model_name='member',
            name='replay',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='members', to='sync.replay'),
        ),
        migrations.AddIndex(
            model_name='member',
            index=models.Index(fields=['replay', 'state', 'event'], name='member_state'),
        ),
        migrations.AddIndex(
            model_name='member',
            index=models.Index(fields=['event', 'state'], name='member_event'),
        ),
        migrations.AddIndex(
            model_name='member',
            index=models.Index(fields=['replay', 'at', 'id'], name='member_at'),
        ),
        migrations.AddConstraint(
            model_name='member',
            constraint=models.UniqueConstraint(fields=('replay', 'event'), name='once_a_replay'),
        ),
    ]
