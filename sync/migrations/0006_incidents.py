import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sync', '0005_search_digests'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='failuregroup',
            options={'default_permissions': ('view',), 'permissions': [('manage_failuregroup', 'Can manage failure groups')], 'verbose_name_plural': 'failures'},
        ),
        migrations.AddField(
            model_name='alarm',
            name='peak',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='the highest count'),
        ),
        migrations.AddField(
            model_name='breaker',
            name='status',
            field=models.PositiveSmallIntegerField(help_text='HTTP status of the response that opened it', null=True),
        ),
        migrations.AddField(
            model_name='failuregroup',
            name='ticket_url',
            field=models.URLField(blank=True, db_default='', default='', help_text='where the failure is handled', max_length=300),
        ),
        migrations.AlterField(
            model_name='personrequest',
            name='pace',
            field=models.CharField(blank=True, choices=[('gentle', 'gentle'), ('normal', 'normal'), ('first', 'send one first, then pause'), ('answered', 'gentle, once the system answers again')], default='', max_length=8),
        ),
        migrations.AlterField(
            model_name='alarm',
            name='kind',
            field=models.CharField(choices=[('source-silent', 'source silent'), ('deliveries-late', 'deliveries late'), ('deliveries-dead', 'events failed'), ('deliveries-held', 'events held'), ('connection-paused', 'connection failing'), ('out-of-step', 'systems out of step'), ('comparison-failed', 'comparison failed'), ('comparison-late', 'comparison late'), ('catch-up-late', 'catch-up late'), ('ids-changed', 'ids of a target changed'), ('certificate-ending', 'client certificate expires soon'), ('certificate-expired', 'client certificate expired'), ('audit-unsealed', 'audit log not sealed'), ('audit-late', 'audit entries sealed late'), ('audit-foreign-rows', 'foreign rows in the audit log'), ('audit-unanchored', 'checkpoints not delivered'), ('audit-broken', 'audit log changed'), ('audit-unchecked', 'audit log not checked'), ('audit-unread', 'nobody can read the audit log'), ('logins-failing', 'failed logins'), ('addresses-unreadable', 'client addresses not readable'), ('break-glass', 'break-glass command used')], max_length=20),
        ),
        migrations.AlterField(
            model_name='connection',
            name='breaker_failures',
            field=models.PositiveSmallIntegerField(default=10, validators=[django.core.validators.MinValueValidator(1)], verbose_name='stop sending after failures'),
        ),
        migrations.AlterField(
            model_name='connection',
            name='breaker_seconds',
            field=models.PositiveIntegerField(default=15, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(600)], verbose_name='first check after (seconds)'),
        ),
    ]
